//! Taking the current build back.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{BuildId, Role};
use tidegate_service::{BuildView, Condition, Error, Kind};

use super::cards::Card;
use super::{BuildPath, build, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "rollback.html")]
struct Page {
    frame: Frame,
    card: Card,
    to: Option<Card>,
    same_signer: bool,
    force_downgrade: bool,
    touched: String,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let (from, to) = sides(&app, id).await?;
    shown(&app, &visitor, from, to, false, None).await
}

/// The build to take back, and the one to go back to, if there is one.
async fn sides(app: &AppState, id: BuildId) -> Result<(Card, Option<Card>), Refusal> {
    let from = build::card_of(app, id).await?;
    let track = app.rollouts.track(&from.build.facts.package).await?;
    if track.current().map(|release| release.build.id) != Some(id) {
        let message = format!(
            "{} is not the current build, so there is nothing to take back",
            from.name()
        );
        return Err(Error::new(Kind::Conflict, "not_current", message).into());
    }
    let Some(to) = track.predecessor else {
        return Ok((from, None));
    };
    let stats = app.builds.stats(to.build.id, 0).await?.stats;
    let view = BuildView {
        rollout: Some(to.rollout),
        last: None,
        deleted_at: None,
        build: (*to.build).clone(),
    };
    Ok((from, Some(Card::new(view, stats, app.clock.now()))))
}

async fn shown(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    to: Option<Card>,
    force: bool,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let same_signer = to
        .as_ref()
        .is_some_and(|to| to.build.facts.signers == card.build.facts.signers);
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Builds, format!("Roll back {}", card.name())),
        touched: touched(app, &card).await?,
        card,
        to,
        same_signer,
        force_downgrade: force,
        error,
    }))
}

/// How many devices a roll-back touches.
async fn touched(app: &AppState, card: &Card) -> Result<String, Refusal> {
    let coverage = app.fleet.coverage(card.build.id).await?;
    if coverage.measured_at.is_none() {
        return Ok("The server has just started and has not counted the fleet yet.".to_owned());
    }
    let conditions = app.fleet.conditions_of(&card.build.facts.package);
    let pending = show::many(conditions.count(Condition::Pending), "device");
    let running = show::many(coverage.running, "device");
    Ok(format!(
        "Pending: {pending}. What they were offered ends. Running it now: {running}. They are stranded on it until a higher \
         version is released, unless they are forced back."
    ))
}

pub(crate) async fn roll_back(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let (from, to) = sides(&app, id).await?;
    let force = fields.ticked("force_downgrade");
    let rolled_back = if fields.text("version_name") == from.name().trim() {
        let package = Some(from.build.facts.package.clone());
        app.rollouts
            .roll_back(&visitor.actor, package, Some(id), force)
            .await
    } else {
        let fault = format!("must be the one that is taken back: type {}", from.name());
        Err(Error::invalid("version_name", fault))
    };
    match rolled_back {
        Ok(rolled_back) => Ok(done(&format!("/builds/{}", rolled_back.to.id), "rolled_back")),
        Err(error) => {
            let page = shown(&app, &visitor, from, to, force, Some(error.message)).await?;
            Ok((status(error.kind), page).into_response())
        }
    }
}
