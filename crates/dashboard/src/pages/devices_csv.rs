//! The devices of a filter as a file for spreadsheets, however many there are: one part of the list at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
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

/// Where the file goes on.
enum Next {
    /// After this page.
    Part(Option<String>),
    Nothing,
}

pub(crate) async fn file(
    State(app): State<Arc<AppState>>,
    _: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let typed = Typed::of(&query);
    let filter = app.devices.resolve(typed.parse(app.clock.now())?)?;
    // The first part comes before the answer begins, so that what is wrong is said and not cut off.
    let (first, next) = match &filter {
        Some(filter) => part(&app, filter, None).await?,
        None => (String::new(), Next::Nothing),
    };
    let filter = filter.unwrap_or_default();
    let begin = stream::once(async move { Ok::<_, Error>(Bytes::from(format!("{HEAD}{first}"))) });
    let rest = stream::try_unfold((app, filter, next), |(app, filter, next)| async move {
        let Next::Part(token) = next else {
            return Ok(None);
        };
        let (text, next) = part(&app, &filter, token).await?;
        Ok::<_, Error>(Some((Bytes::from(text), (app, filter, next))))
    });
    Ok(csv::answer("devices.csv", futures::StreamExt::chain(begin, rest)))
}

async fn part(app: &AppState, filter: &DeviceFilter, token: Option<String>) -> Result<(String, Next), Error> {
    let page = app.devices.next_part(filter, token).await?;
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
    let next = match page.next_page_token {
        Some(token) => Next::Part(Some(token)),
        None => Next::Nothing,
    };
    Ok((text, next))
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
