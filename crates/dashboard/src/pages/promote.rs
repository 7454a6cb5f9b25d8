//! Promoting a build.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{BuildId, Percent, Promotion, Role, RolloutSettings};
use tidegate_service::{Comparison, Error};

use super::cards::{Card, name};
use super::covers::{self, Covers};
use super::{BuildPath, build, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

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
    picks: [u8; 6],
    confirm_above: u8,
    form: Form,
    covers: Covers,
    error: Option<String>,
}

/// What the form holds, for showing it again after a refusal.
struct Form {
    percent: u8,
    wifi_only: bool,
    must_install: bool,
    keep_previous: bool,
    retry_failed: bool,
}

impl Form {
    fn new() -> Self {
        Self {
            percent: FIRST_SHARE,
            wifi_only: false,
            must_install: false,
            keep_previous: true,
            retry_failed: false,
        }
    }

    fn of(fields: &Fields) -> Self {
        Self {
            percent: fields.text("rollout_percent").parse().unwrap_or(0),
            wifi_only: fields.ticked("wifi_only"),
            must_install: fields.ticked("must_install"),
            keep_previous: fields.ticked("keep_previous"),
            retry_failed: fields.ticked("retry_failed"),
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
    show(&app, &visitor, card, Form::new(), None).await
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    card: Card,
    form: Form,
    error: Option<String>,
) -> Result<Response, Refusal> {
    let track = app.rollouts.track(&card.build.facts.package).await?;
    let seen = track.current().map(|release| release.build.id);
    let current = track
        .current()
        .filter(|release| release.build.id != card.build.id)
        .map(|release| (release.build.id.0, name(&release.build)));
    let covers = covers::of(app, card.build.id, form.percent.into(), false).await?;
    Ok(html(&Page {
        frame: Frame::new(visitor, Section::Builds, format!("Promote {}", card.name())),
        seen,
        current,
        comparison: app.builds.compare_with_current(card.build.id).await?,
        card,
        picks: PICKS,
        confirm_above: CONFIRM_ABOVE,
        form,
        covers,
        error,
    }))
}

pub(crate) async fn promote(
    State(app): State<Arc<AppState>>,
    BuildPath(id): BuildPath,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    let card = build::card_of(&app, id).await?;
    let promoted = match promotion(&fields) {
        Ok((promotion, seen)) => app
            .rollouts
            .promote(&visitor.actor, id, promotion, seen)
            .await
            .map(drop),
        Err(error) => Err(error),
    };
    match promoted {
        Ok(()) => Ok(done(&format!("/builds/{id}"), "promoted")),
        Err(error) => {
            let status = status(error.kind);
            let page = show(&app, &visitor, card, Form::of(&fields), Some(error.message)).await?;
            Ok((status, page).into_response())
        }
    }
}

/// What is asked for, and the build that was current when the dialog was opened.
fn promotion(fields: &Fields) -> Result<(Promotion, Option<BuildId>), Error> {
    let percent = Percent::of_decimal(fields.decimal("rollout_percent")?)?;
    let must_install = fields.ticked("must_install");
    confirmed(fields, percent, must_install)?;
    let seen = match fields.text("current") {
        "" => None,
        _ => Some(BuildId(fields.number("current")?)),
    };
    let promotion = Promotion {
        settings: RolloutSettings {
            wifi_only: fields.ticked("wifi_only"),
            must_install,
            ..RolloutSettings::to(percent)
        },
        keep_previous: fields.ticked("keep_previous"),
        retry_failed: fields.ticked("retry_failed"),
        auto_start: false,
    };
    Ok((promotion, seen))
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
