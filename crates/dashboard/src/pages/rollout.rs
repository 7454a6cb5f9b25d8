//! Changing a rollout that serves: its share, and whether it is held.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{
    InstallTerms, Percent, Plan, PlanStep, Promotion, Resume, Role, Rollout, RolloutDraft, RolloutSettings,
    RolloutState, Span, Stage,
};
use tidegate_service::{Error, Kind};

use super::cards::Card;
use super::covers::{self, Covers};
use super::release_form::{CONFIRM_ABOVE, PICKS, confirmed};
use super::waterfall::{Told, Waterfall};
use super::{BuildPath, build, done, done_by};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// What plus and minus add and take, in percent.
const STEP: u8 = 5;

#[derive(Template)]
#[template(path = "rollout.html")]
struct Page {
    frame: Frame,
    card: Card,
    /// The rollout's terms as the page shows them: what somebody else changed since is not overwritten.
    revision: u32,
    /// The share as it was typed.
    percent: String,
    step: u8,
    picks: [u8; 6],
    confirm_above: u8,
    covers: Covers,
    /// What becomes of its plan when the share is set by hand.
    plan: Option<String>,
    told: Told,
    button: String,
    plain_button: &'static str,
    error: Option<String>,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let (card, _) = serving(&app, id).await?;
    let percent = card.percent().to_string();
    show(&app, &visitor, card, percent, Told::default(), None).await
}

async fn serving(app: &AppState, id: tidegate_domain::BuildId) -> Result<(Card, Rollout), Refusal> {
    let card = build::card_of(app, id).await?;
    match card.rollout.clone() {
        Some(rollout) => Ok((card, rollout)),
        None => {
            let message = format!("{} is offered to nobody: promote it first", card.name());
            Err(Error::new(Kind::Conflict, "not_serving", message).into())
        }
    }
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    percent: String,
    told: Told,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let share: f64 = percent.parse().unwrap_or(0.0);
    let covers = covers::of(app, card.build.id, share, true).await?;
    let plain_button = "Change rollout";
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Builds, format!("Rollout of {}", card.name())),
        plan: card.rollout.as_ref().and_then(becomes_of_plan),
        button: button(&told, share, card.percent()).unwrap_or_else(|| plain_button.to_owned()),
        plain_button,
        revision: card.rollout.as_ref().map_or(0, |rollout| rollout.spec.revision),
        card,
        percent,
        step: STEP,
        picks: PICKS,
        confirm_above: CONFIRM_ABOVE,
        covers,
        told,
        error,
    }))
}

/// What the button says where it is known whom the change would reach.
fn button(told: &Told, share: f64, now: f64) -> Option<String> {
    let devices = told.waterfall.as_ref()?.reached;
    match share > now {
        true => Some(format!(
            "Raise to {share} %: {}",
            show::many(devices, "more device")
        )),
        false => None,
    }
}

/// What a change by hand means for a plan that is not at its end.
fn becomes_of_plan(rollout: &Rollout) -> Option<String> {
    let run = rollout.spec.plan.as_ref()?;
    let (number, many) = (run.progress.step + 1, run.plan.steps().len());
    (run.progress.stage != Stage::Done).then(|| {
        format!(
            "This rollout goes by a plan, and is at step {number} of {many}. A share that is set by hand holds the plan \
             there until you press “Go on”: it then goes on from that share."
        )
    })
}

pub(crate) async fn adjust(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let (card, rollout) = serving(&app, id).await?;
    let typed = fields.text("rollout_percent").to_owned();
    if fields.ticked("check") {
        let told = foretold(&app, &visitor, &rollout, &card, &fields).await;
        return show(&app, &visitor, card, typed, told, None).await;
    }
    let seen = fields.seen("revision")?.map(|revision| (rollout.id, revision));
    let adjusted = match wanted(&fields, card.percent()) {
        Ok(percent) => app.rollouts.adjust(&visitor.actor, id, percent, seen).await,
        Err(error) => Err(error),
    };
    match adjusted {
        Ok(adjusted) => {
            let is_stopped = matches!(rollout.spec.state, RolloutState::Paused | RolloutState::Halted);
            let what = if is_stopped {
                "adjusted_stopped"
            } else {
                "adjusted"
            };
            Ok(done_by(id, rollout.id, what, adjusted.waits))
        }
        Err(error) => {
            let status = status(error.kind);
            let page = show(&app, &visitor, card, typed, Told::default(), Some(error.message)).await?;
            Ok((status, page).into_response())
        }
    }
}

/// What the change would do, by the forecast of a rollout on the same terms that has the new share after the old one.
async fn foretold(
    app: &AppState,
    visitor: &Visitor,
    rollout: &Rollout,
    card: &Card,
    fields: &Fields,
) -> Told {
    let mut told = Told::default();
    let now = match Percent::of_decimal(card.percent()) {
        Ok(now) => now,
        Err(_) => Percent::NOBODY,
    };
    let wanted = match share(fields) {
        Ok(wanted) => wanted,
        Err(error) => {
            told.fails(&error);
            return told;
        }
    };
    if wanted <= now {
        told.untold = Some(match wanted == now {
            true => format!("It is offered to {now} now: choose another share."),
            false => {
                "A lower share ends new offers, and takes nothing back from devices that have the build."
                    .to_owned()
            }
        });
        return told;
    }
    let draft = draft(rollout, now, wanted);
    match app.forecasts.forecast(&visitor.actor, card.build.id, draft).await {
        Ok((forecast, _)) => {
            let last = forecast.steps.last();
            told.waterfall = last.map(|step| {
                let all = step.within.offered + step.within.waiting;
                Waterfall::of(&forecast, step, Some(all.saturating_sub(step.new_devices)))
            });
            if matches!(rollout.spec.state, RolloutState::Paused | RolloutState::Halted) {
                told.untold = Some("It is stopped: nobody is offered it before it is resumed.".to_owned());
            }
        }
        Err(error) => told.fails(&error),
    }
    told
}

/// A rollout like this one that goes from the share that it has to another. What the second step adds is what the change
/// would do.
fn draft(rollout: &Rollout, now: Percent, wanted: Percent) -> RolloutDraft {
    let step = |percent| PlanStep::to(percent, Span::NONE);
    let plan = match now == Percent::NOBODY {
        true => None,
        false => Plan::new(vec![step(now), step(wanted)]).ok(),
    };
    let first = plan.as_ref().map_or(wanted, |plan| plan.first().percent);
    RolloutDraft {
        name: String::new(),
        priority: rollout.spec.priority,
        promotion: Promotion {
            settings: RolloutSettings {
                percent: first,
                // A deadline that has passed can't be asked for anew, and is nothing to whom it reaches.
                install: InstallTerms::default(),
                ..rollout.spec.settings.clone()
            },
            keep_previous: true,
            retry_failed: false,
            auto_start: false,
            plan,
            gate: None,
        },
    }
}

fn share(fields: &Fields) -> Result<Percent, Error> {
    Ok(Percent::of_decimal(fields.decimal("rollout_percent")?)?)
}

/// Only a raise has to be confirmed: lowering a share reaches nobody.
fn wanted(fields: &Fields, now: f64) -> Result<Percent, Error> {
    let percent = share(fields)?;
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
