//! The devices of a filter as a file for spreadsheets, however many there are: one part of the list at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use tidegate_domain::Device;
use tidegate_service::{DeviceFilter, Error};

use super::Query;
use super::device_query::Typed;
use crate::AppState;
use crate::csv;
use crate::error::Refusal;
use crate::session::Visitor;
use crate::show;

const HEAD: &str = "device_id,alias,manufacturer,model,android,api_level,region,runs,told,last_outcome,\
                    last_outcome_reason,last_outcome_at,last_seen,enrolled,can_be_nudged\r\n";

pub(crate) async fn file(
    State(app): State<Arc<AppState>>,
    _: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let typed = Typed::of(&query);
    let filter = app.devices.resolve(typed.parse(app.clock.now())?)?;
    let part = move |token| part(Arc::clone(&app), filter.clone(), token);
    Ok(csv::file("devices.csv", HEAD, part).await?)
}

/// The devices of a part; none where no device can match.
async fn part(
    app: Arc<AppState>,
    filter: Option<DeviceFilter>,
    token: Option<String>,
) -> Result<csv::Part, Error> {
    let Some(filter) = filter else {
        return Ok((String::new(), None));
    };
    let page = app.devices.next_part(&filter, token).await?;
    let devices = page.items;
    let mut told = app.devices.standings_of(&devices).await?;
    let mut outcomes = app.devices.last_outcomes(&devices).await?;
    let names = app.devices.version_names(&devices).await?;
    let mut text = String::new();
    for device in &devices {
        let runs = device.installed.iter().map(|(package, version)| {
            let name = names.get(&(package.clone(), *version));
            name.map_or_else(
                || format!("{package} {version}"),
                |name| format!("{package} {name} ({version})"),
            )
        });
        let told = told.remove(&device.id).unwrap_or_default();
        let told = told.iter().map(|(package, word)| format!("{package} {word}"));
        let mut cells = said(device);
        cells.push(runs.collect::<Vec<_>>().join("; "));
        cells.push(told.collect::<Vec<_>>().join("; "));
        let outcome = outcomes.remove(&device.id);
        cells.push(outcome.as_ref().map(|of| of.status.clone()).unwrap_or_default());
        cells.push(
            outcome
                .as_ref()
                .and_then(|of| of.reason.clone())
                .unwrap_or_default(),
        );
        cells.push(outcome.map(|of| show::stamp(of.at)).unwrap_or_default());
        cells.push(device.last_seen_at.map(show::stamp).unwrap_or_default());
        cells.push(show::stamp(device.enrolled_at));
        cells.push(device.has_fcm_token.to_string());
        csv::write(&mut text, &cells);
    }
    Ok((text, page.next_page_token))
}

/// What a device is, and says of itself.
fn said(device: &Device) -> Vec<String> {
    let shown = device.shown();
    let text = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap_or_default().into_owned();
    vec![
        device.id.to_string(),
        device.alias.clone().unwrap_or_default(),
        text(shown.manufacturer),
        text(shown.model),
        text(shown.android),
        shown.sdk.map(|sdk| sdk.to_string()).unwrap_or_default(),
        text(shown.region),
    ]
}
