//! Changing a rollout that serves: its share, and whether it is held.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{Percent, Resume, Role};
use tidegate_service::{Error, Kind};

use super::cards::Card;
use super::covers::{self, Covers};
use super::promote::{CONFIRM_ABOVE, confirmed};
use super::{BuildPath, build, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

/// What plus and minus add and take, in percent.
const STEP: u8 = 5;

#[derive(Template)]
#[template(path = "rollout.html")]
struct Page {
    frame: Frame,
    card: Card,
    percent: f64,
    step: u8,
    confirm_above: u8,
    covers: Covers,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = serving(&app, id).await?;
    let percent = card.percent();
    show(&app, &visitor, card, percent, None).await
}

async fn serving(app: &AppState, id: tidegate_domain::BuildId) -> Result<Card, Refusal> {
    let card = build::card_of(app, id).await?;
    if card.rollout.is_none() {
        let message = format!("{} is offered to nobody: promote it first", card.name());
        return Err(Error::new(Kind::Conflict, "not_serving", message).into());
    }
    Ok(card)
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    percent: f64,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let covers = covers::of(app, card.build.id, percent, true).await?;
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Builds, format!("Rollout of {}", card.name())),
        card,
        percent,
        step: STEP,
        confirm_above: CONFIRM_ABOVE,
        covers,
        error,
    }))
}

pub(crate) async fn adjust(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = serving(&app, id).await?;
    let adjusted = match wanted(&fields, card.percent()) {
        Ok(percent) => app.rollouts.adjust(&visitor.actor, id, percent).await,
        Err(error) => Err(error),
    };
    match adjusted {
        Ok(adjusted) => {
            let what = if adjusted.waits { "waits" } else { "adjusted" };
            Ok(done(&format!("/builds/{id}"), what))
        }
        Err(error) => {
            let percent = fields.text("rollout_percent").parse().unwrap_or(card.percent());
            let page = show(&app, &visitor, card, percent, Some(error.message)).await?;
            Ok((status(error.kind), page).into_response())
        }
    }
}

/// Only a raise has to be confirmed: lowering a share reaches nobody.
fn wanted(fields: &Fields, now: f64) -> Result<Percent, Error> {
    let percent = Percent::of_decimal(fields.decimal("rollout_percent")?)?;
    if percent.as_decimal() > now {
        confirmed(fields, percent, false)?;
    }
    Ok(percent)
}

pub(crate) async fn pause(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    app.rollouts.pause(&visitor.actor, id).await?;
    Ok(done(&format!("/builds/{id}"), "paused"))
}

pub(crate) async fn resume(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    app.rollouts.resume(&visitor.actor, id, Resume::default()).await?;
    Ok(done(&format!("/builds/{id}"), "resumed"))
}
