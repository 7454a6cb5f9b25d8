//! Going on with a rollout that was halted: whoever does it says which failures they have seen, and why.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use tidegate_domain::gate::GATE_PROMISE;
use tidegate_domain::{Resume, Role, RolloutId, Verb};
use tidegate_service::{Error, GateView};

use super::done;
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "resume.html")]
struct Page {
    frame: Frame,
    gate: GateView,
    promise: &'static str,
    acknowledged: String,
    remark: String,
    error: Option<String>,
}

fn rollout_id(path: &str) -> Result<RolloutId, Error> {
    let unknown = |_| {
        Error::not_found(
            "not_found",
            "there is no such rollout: its number is not a number",
        )
    };
    path.parse().map(RolloutId).map_err(unknown)
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    visitor.actor.require_some(Role::Operator, Verb::Resume)?;
    let (id, empty) = (rollout_id(&path)?, Fields::default());
    Ok(html(&dialog(&app, &visitor, id, &empty, None).await?))
}

async fn dialog(
    app: &AppState,
    visitor: &Visitor,
    id: RolloutId,
    fields: &Fields,
    error: Option<String>,
) -> Result<Page, Refusal> {
    Ok(Page {
        frame: Frame::new(visitor, Section::Builds, format!("Resume rollout {id}")),
        gate: app.rollouts.gate(id).await?,
        promise: GATE_PROMISE,
        acknowledged: fields.text("acknowledged_failures").to_owned(),
        remark: fields.text("remark").to_owned(),
        error,
    })
}

pub(crate) async fn resume(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let id = rollout_id(&path)?;
    let resumed = match said(&fields) {
        Ok(resume) => app.rollouts.resume(&visitor.actor, id, resume).await,
        Err(error) => Err(error),
    };
    match resumed {
        Ok(_) => {
            let build = app.rollouts.get(id).await?.spec.build;
            Ok(done(&format!("/builds/{build}"), "resumed"))
        }
        Err(error) => {
            let status = status(error.kind);
            let page = dialog(&app, &visitor, id, &fields, Some(error.message)).await?;
            Ok((status, html(&page)).into_response())
        }
    }
}

fn said(fields: &Fields) -> Result<Resume, Error> {
    let count = |text: String| {
        let fault = |_| {
            Error::invalid(
                "acknowledged_failures",
                "must be the number of failures that you saw",
            )
        };
        text.parse().map_err(fault)
    };
    Ok(Resume {
        acknowledged_failures: fields.given("acknowledged_failures").map(count).transpose()?,
        remark: fields.given("remark"),
    })
}
