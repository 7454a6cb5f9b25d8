//! Stopping everything, and letting it go on.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tidegate_domain::{Hold, PackageName, Role, Verb};
use tidegate_service::{Error, HoldSpec};

use super::{Query, builds, done};
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, HoldNotice, Section};
use crate::session::Visitor;

#[derive(Template)]
#[template(path = "hold.html")]
struct Page {
    frame: Frame,
    error: Option<String>,
    packages: Vec<String>,
    package: String,
    remark: String,
}

#[derive(Template)]
#[template(path = "lift.html")]
struct LiftPage {
    frame: Frame,
    package: String,
    standing: Vec<HoldNotice>,
}

/// The package that is named; `None` for all.
fn package(fields: &Fields) -> Result<Option<PackageName>, Error> {
    let name = fields.given("package_name");
    Ok(name.map(|name| PackageName::parse(&name)).transpose()?)
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require_some(Role::Operator, Verb::Pause)?;
    Ok(html(&dialog(&app, &visitor, &query, None).await?))
}

async fn dialog(
    app: &AppState,
    visitor: &Visitor,
    fields: &Fields,
    error: Option<String>,
) -> Result<Page, Refusal> {
    Ok(Page {
        frame: Frame::new(visitor, Section::Fleet, "Stop everything"),
        error,
        packages: builds::packages(app).await?,
        package: fields.text("package_name").to_owned(),
        remark: fields.text("remark").to_owned(),
    })
}

pub(crate) async fn hold(
    State(app): State<Arc<AppState>>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let held = async {
        let spec = HoldSpec {
            package: package(&fields)?,
            hold: Hold::UntilLifted,
            remark: fields.text("remark").to_owned(),
        };
        app.policies.hold(&visitor.actor, spec).await
    };
    match held.await {
        Ok(_) => Ok(done("/", "held")),
        Err(error) => {
            let page = dialog(&app, &visitor, &fields, Some(error.message)).await?;
            Ok((status(error.kind), html(&page)).into_response())
        }
    }
}

pub(crate) async fn lift_page(visitor: Visitor, Query(query): Query) -> Result<Response, Refusal> {
    let package = package(&query)?;
    visitor
        .actor
        .require_verb(Role::Operator, Verb::Resume, package.as_ref())?;
    let title = match &package {
        Some(package) => format!("Lift the hold on {package}"),
        None => "Lift the hold on all packages".to_owned(),
    };
    let concerned = visitor
        .holds
        .iter()
        .filter(|policy| policy.spec.package == package);
    Ok(html(&LiftPage {
        standing: concerned.map(HoldNotice::of).collect(),
        frame: Frame::new(&visitor, Section::Fleet, title),
        package: package.map(String::from).unwrap_or_default(),
    }))
}

pub(crate) async fn lift(
    State(app): State<Arc<AppState>>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    app.policies.lift(&visitor.actor, package(&fields)?).await?;
    Ok(done("/", "lifted"))
}
