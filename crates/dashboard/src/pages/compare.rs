//! How two builds of a package differ.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::BuildId;
use tidegate_service::{Comparison, Error};

use super::{Query, cards};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Fields;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    comparison: Comparison,
    siblings: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let [from, to] = two(&query)?;
    // Forwards in time, whichever was ticked first.
    let version = |view: tidegate_service::BuildView| view.build.facts.version_code;
    let (older, newer) = (app.builds.get(from).await?, app.builds.get(to).await?);
    let (from, to) = match version(older) <= version(newer) {
        true => (from, to),
        false => (to, from),
    };
    let comparison = app.builds.compare(to, Some(from)).await?;
    let [older, newer] = [&comparison.from, &comparison.to].map(cards::name);
    let title = format!("{older} → {newer}");
    let package = comparison.to.facts.package.to_string();
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Builds, title),
        siblings: show::query(&[("package", &package)]),
        comparison,
    }))
}

/// The two builds that are asked for.
fn two(query: &Fields) -> Result<[BuildId; 2], Error> {
    let ids: Vec<&str> = query.each("build").take(3).collect();
    let [from, to] = ids[..] else {
        let fault = format!(
            "names {} builds: tick the two that are to be compared",
            query.each("build").count()
        );
        return Err(Error::invalid("build", fault));
    };
    let id = |text: &str| {
        let number = text.parse().ok();
        number
            .map(BuildId)
            .ok_or_else(|| Error::invalid("build", "must be the number of a build"))
    };
    Ok([id(from)?, id(to)?])
}
