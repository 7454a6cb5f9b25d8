//! Promoting a build: the dialog of a new release.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::forecast::Forecast;
use tidegate_domain::{BuildId, Role, RolloutDraft, RolloutState};
use tidegate_service::{Comparison, Error};

use super::cards::{Card, name};
use super::covers::{self, Covers};
use super::outlook::Outlook;
use super::past::{self, TakenBack};
use super::plan_choice::PlanChoice;
use super::release_form::{self, CONFIRM_ABOVE, Form, PICKS, promotion, terms};
use super::waterfall::{Told, Waterfall};
use super::{BuildPath, build, done_by};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "promote.html")]
struct Page {
    frame: Frame,
    card: Card,
    /// The build that is current now.
    seen: Option<BuildId>,
    /// The same with its name, if it is another one.
    current: Option<(i64, String)>,
    comparison: Option<Comparison>,
    /// By whom it was taken back, if it was: then its version is typed.
    taken_back: Option<TakenBack>,
    /// What promoting it would not do, where a newer one is current.
    older: Option<String>,
    picks: [u8; 6],
    /// The share as it was typed.
    percent: String,
    confirm_above: u8,
    form: Form,
    calendars: Vec<String>,
    covers: Covers,
    choice: PlanChoice,
    told: Told,
    /// What the button says.
    button: String,
    /// The same before it is known whom it would reach.
    plain_button: String,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = build::card_of(&app, id).await?;
    let proposed = app.packages.get(&card.build.facts.package).await?.gate;
    page_with(&app, &visitor, card, Form::new(proposed), Told::default(), None).await
}

async fn page_with(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    form: Form,
    told: Told,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let track = app.rollouts.track(&card.build.facts.package).await?;
    let seen = track.current().map(|release| release.build.id);
    let current = track
        .current()
        .filter(|release| release.build.id != card.build.id)
        .map(|release| (release.build.id.0, name(&release.build)));
    let choice = PlanChoice::of(&app.packages.get(&card.build.facts.package).await?);
    let covers = covers::of(app, card.build.id, form.share(&choice), false).await?;
    let covers = if form.is_narrowed() {
        covers.untold()
    } else {
        covers
    };
    let view = app.builds.get(card.build.id).await?;
    let plain_button = format!("Promote {}", card.name());
    Ok(html(&Page {
        taken_back: TakenBack::of(app, &view).await?,
        older: past::older(app, &view).await?,
        frame: Frame::new(visitor, Section::Builds, format!("Promote {}", card.name())),
        seen,
        current,
        comparison: app.builds.compare_with_current(card.build.id).await?,
        button: button(&told, &card, form.by_plan.is_some()).unwrap_or_else(|| plain_button.clone()),
        plain_button,
        card,
        picks: PICKS,
        percent: form.percent.clone(),
        confirm_above: CONFIRM_ABOVE,
        form,
        calendars: release_form::calendars(app).await?,
        covers,
        choice,
        told,
        error,
    }))
}

/// What the button says where it is known whom the release would reach.
fn button(told: &Told, card: &Card, by_plan: bool) -> Option<String> {
    let devices = told.waterfall.as_ref()?.reached;
    let first = if by_plan { " first" } else { "" };
    Some(format!(
        "Offer {} to {}{first}",
        card.name(),
        show::many(devices, "device")
    ))
}

pub(crate) async fn promote(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = build::card_of(&app, id).await?;
    if fields.ticked("check") {
        return check(&app, &visitor, card, &fields).await;
    }
    let proposed = app.packages.get(&card.build.facts.package).await?.gate;
    let meant = typed(&app, &card, &fields).await?;
    let promoted = match meant.and_then(|()| promotion(&fields, proposed)) {
        Ok((promotion, seen)) => app.rollouts.promote(&visitor.actor, id, promotion, seen).await,
        Err(error) => Err(error),
    };
    match promoted {
        Ok(promoted) => {
            let waits = promoted.rollout.spec.state == RolloutState::Proposed;
            Ok(done_by(id, promoted.rollout.id, "promoted", waits))
        }
        Err(error) => {
            let (status, form) = (status(error.kind), Form::of(&fields, proposed));
            let page = page_with(&app, &visitor, card, form, Told::default(), Some(error.message)).await?;
            Ok((status, page).into_response())
        }
    }
}

/// Shows the form again with whom its audience takes and what its release would do, or with what is wrong with it, which is
/// an answer too. Nothing is released.
async fn check(app: &AppState, visitor: &Visitor, card: Card, fields: &Fields) -> Result<Response, Refusal> {
    let package = &card.build.facts.package;
    let form = Form::of(fields, app.packages.get(package).await?.gate);
    let mut told = Told::default();
    match release_form::reach(app, fields, package).await {
        Ok(reach) => {
            told.reach = reach;
            match forecast(app, visitor, &card.build, fields).await {
                Ok(forecast) => {
                    told.waterfall = forecast
                        .steps
                        .first()
                        .map(|first| Waterfall::of(&forecast, first, None));
                    told.outlook = Some(Outlook::of(&forecast));
                }
                Err(error) => told.fails(&error),
            }
        }
        Err(error) => told.fault = Some(error.message),
    }
    page_with(app, visitor, card, form, told, None).await
}

/// What the release would do that the form describes.
async fn forecast(
    app: &AppState,
    visitor: &Visitor,
    build: &tidegate_domain::Build,
    fields: &Fields,
) -> Result<Forecast, Error> {
    let proposed = app.packages.get(&build.facts.package).await?.gate;
    let draft = RolloutDraft {
        name: String::new(),
        priority: 0,
        promotion: terms(fields, proposed)?,
    };
    let (forecast, _) = app.forecasts.forecast(&visitor.actor, build.id, draft).await?;
    Ok(forecast)
}

/// Refuses to release what was taken back, unless its version was typed.
async fn typed(app: &AppState, card: &Card, fields: &Fields) -> Result<Result<(), Error>, Error> {
    let view = app.builds.get(card.build.id).await?;
    if !past::is_taken_back(&view) || fields.text("version_name") == card.name().trim() {
        return Ok(Ok(()));
    }
    let fault = format!(
        "must be the one that was rolled back: type {} to release it again",
        card.name()
    );
    Ok(Err(Error::invalid("version_name", fault)))
}
