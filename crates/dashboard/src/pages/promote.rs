//! Promoting a build.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::forecast::Forecast;
use tidegate_domain::gate::{GateTerms, OnHalt};
use tidegate_domain::{
    Audience, BuildId, PackageName, Percent, Promotion, Role, RolloutDraft, RolloutSettings, RolloutState,
};
use tidegate_service::{Comparison, Error, Reach};

use super::cards::{Card, name};
use super::covers::{self, Covers};
use super::outlook::Outlook;
use super::past::{self, TakenBack};
use super::plan_choice::{self, PlanChoice, is_by_plan};
use super::{BuildPath, build, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// Above this share a promotion or a raise has to be confirmed, in percent.
pub(crate) const CONFIRM_ABOVE: u8 = 25;

/// The shares to pick at once.
const PICKS: [u8; 6] = [1, 5, 10, 25, 50, 100];

/// The share that the dialog proposes.
const FIRST_SHARE: u8 = 10;

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
    confirm_above: u8,
    form: Form,
    covers: Covers,
    choice: PlanChoice,
    /// Whom the audience takes, where that was asked.
    reach: Option<String>,
    /// What it would do, where that was asked, or why that can't be told.
    outlook: Option<Outlook>,
    untold: Option<String>,
    error: Option<String>,
}

/// What the form holds, for showing it again after a refusal.
struct Form {
    percent: u8,
    by_plan: bool,
    audience: String,
    wifi_only: bool,
    must_install: bool,
    keep_previous: bool,
    retry_failed: bool,
    /// At more failures than this, in percent, the gate of a plan stops it; empty: it has none.
    failed_percent: String,
    /// Whether it is then taken back.
    takes_back: bool,
}

impl Form {
    /// As it is shown first, with what is proposed of a gate.
    fn new(proposed: Option<GateTerms>) -> Self {
        let gate = proposed.unwrap_or_default();
        Self {
            failed_percent: gate.settings.failed_percent.as_percent().to_string(),
            takes_back: gate.on_halt == OnHalt::RollBack,
            percent: FIRST_SHARE,
            by_plan: false,
            audience: String::new(),
            wifi_only: false,
            must_install: false,
            keep_previous: true,
            retry_failed: false,
        }
    }

    fn of(fields: &Fields) -> Self {
        Self {
            percent: fields.text("rollout_percent").parse().unwrap_or(0),
            by_plan: is_by_plan(fields),
            audience: fields.text("audience").to_owned(),
            wifi_only: fields.ticked("wifi_only"),
            must_install: fields.ticked("must_install"),
            keep_previous: fields.ticked("keep_previous"),
            retry_failed: fields.ticked("retry_failed"),
            failed_percent: fields.text("failed_percent").to_owned(),
            takes_back: fields.text("on_halt") == OnHalt::RollBack.as_str(),
        }
    }
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    BuildPath(id): BuildPath,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = build::card_of(&app, id).await?;
    let proposed = app.packages.get(&card.build.facts.package).await?.gate;
    page_with(&app, &visitor, card, Form::new(proposed), Told::default()).await
}

/// What became of the form.
#[derive(Default)]
struct Told {
    reach: Option<String>,
    outlook: Option<Outlook>,
    untold: Option<String>,
    error: Option<String>,
}

impl Told {
    fn of(error: Error) -> Self {
        Self {
            error: Some(error.message),
            ..Self::default()
        }
    }
}

async fn page_with(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    form: Form,
    told: Told,
) -> Result<Response, Refusal> {
    let track = app.rollouts.track(&card.build.facts.package).await?;
    let seen = track.current().map(|release| release.build.id);
    let current = track
        .current()
        .filter(|release| release.build.id != card.build.id)
        .map(|release| (release.build.id.0, name(&release.build)));
    let choice = PlanChoice::of(&app.packages.get(&card.build.facts.package).await?);
    let share = if form.by_plan {
        choice.first
    } else {
        form.percent.into()
    };
    let covers = covers::of(app, card.build.id, share, false).await?;
    let view = app.builds.get(card.build.id).await?;
    Ok(html(&Page {
        taken_back: TakenBack::of(app, &view).await?,
        older: past::older(app, &view).await?,
        frame: Frame::new(visitor, Section::Builds, format!("Promote {}", card.name())),
        seen,
        current,
        comparison: app.builds.compare_with_current(card.build.id).await?,
        card,
        picks: PICKS,
        confirm_above: CONFIRM_ABOVE,
        form,
        covers,
        choice,
        reach: told.reach,
        outlook: told.outlook,
        untold: told.untold,
        error: told.error,
    }))
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
            let what = if waits { "waits" } else { "promoted" };
            Ok(done(&format!("/builds/{id}"), what))
        }
        Err(error) => {
            let status = status(error.kind);
            let page = page_with(&app, &visitor, card, Form::of(&fields), Told::of(error)).await?;
            Ok((status, page).into_response())
        }
    }
}

/// Shows the form again with whom its audience takes and what its release would do, or with what is wrong with it, which is
/// an answer too. Nothing is released.
async fn check(app: &AppState, visitor: &Visitor, card: Card, fields: &Fields) -> Result<Response, Refusal> {
    let told = match reach(app, fields, &card.build.facts.package).await {
        Ok(reach) => {
            let (outlook, untold) = match forecast(app, visitor, &card.build, fields).await {
                Ok(forecast) => (Some(Outlook::of(&forecast)), None),
                Err(error) => (
                    None,
                    Some(format!("What it would do is not told: {}", error.message)),
                ),
            };
            Told {
                reach: Some(sentence(&reach)),
                outlook,
                untold,
                error: None,
            }
        }
        Err(error) => Told::of(error),
    };
    page_with(app, visitor, card, Form::of(fields), told).await
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

async fn reach(app: &AppState, fields: &Fields, package: &PackageName) -> Result<Reach, Error> {
    app.audiences.reach(&audience(fields)?, Some(package)).await
}

/// The audience that was typed; nothing is everybody.
fn audience(fields: &Fields) -> Result<Audience, Error> {
    match fields.text("audience") {
        "" => Ok(Audience::everybody()),
        text => Ok(Audience::parse(text)?),
    }
}

fn sentence(reach: &Reach) -> String {
    let about = if reach.estimated { "about " } else { "" };
    let devices = show::many(reach.total, "device");
    let mut said = format!("The audience is {about}{} of {devices} now", reach.devices);
    if !reach.examples.is_empty() {
        let examples: Vec<&str> = reach.examples.iter().map(|id| id.as_str()).collect();
        said.push_str(": ");
        said.push_str(&examples.join(", "));
        if reach.devices > u64::try_from(examples.len()).unwrap_or(u64::MAX) {
            said.push_str(", …");
        }
    }
    said.push('.');
    said
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

/// What is asked for, and the build that was current when the dialog was opened.
fn promotion(fields: &Fields, proposed: Option<GateTerms>) -> Result<(Promotion, Option<BuildId>), Error> {
    let promotion = terms(fields, proposed)?;
    let settings = &promotion.settings;
    confirmed(fields, settings.percent, settings.must_install)?;
    let seen = match fields.text("current") {
        "" => None,
        _ => Some(BuildId(fields.number("current")?)),
    };
    Ok((promotion, seen))
}

/// What is asked for.
fn terms(fields: &Fields, proposed: Option<GateTerms>) -> Result<Promotion, Error> {
    let (plan, gate) = match is_by_plan(fields) {
        true => (
            Some(plan_choice::chosen(fields)?),
            plan_choice::gate(fields, proposed)?,
        ),
        false => (None, proposed),
    };
    let percent = match &plan {
        Some(plan) => plan.first().percent,
        None => Percent::of_decimal(fields.decimal("rollout_percent")?)?,
    };
    Ok(Promotion {
        settings: RolloutSettings {
            audience: audience(fields)?,
            wifi_only: fields.ticked("wifi_only"),
            must_install: fields.ticked("must_install"),
            ..RolloutSettings::to(percent)
        },
        keep_previous: fields.ticked("keep_previous"),
        retry_failed: fields.ticked("retry_failed"),
        auto_start: false,
        plan,
        gate,
    })
}

/// Refuses a large or pressing release that was not confirmed.
pub(crate) fn confirmed(fields: &Fields, percent: Percent, must_install: bool) -> Result<(), Error> {
    let grave = percent.rounded_up() > CONFIRM_ABOVE || must_install;
    if grave && !fields.ticked("confirm") {
        let what = if must_install {
            "must install"
        } else {
            "this share"
        };
        let fault = format!("is missing: tick the box that says that you mean {what}");
        return Err(Error::invalid("confirm", fault));
    }
    Ok(())
}
