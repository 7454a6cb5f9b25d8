//! The builds by package, newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{BuildId, PackageName};
use tidegate_service::{MAX_PAGE_SIZE, Page as PageOf};

use super::Query;
use super::cards::Card;
use crate::AppState;
use crate::error::{Refusal, html};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many builds a page shows.
const BUILDS_ON_A_PAGE: u32 = 40;

#[derive(Template)]
#[template(path = "builds.html")]
struct Page {
    frame: Frame,
    /// The builds of this page by package.
    packages_shown: BTreeMap<String, Vec<Card>>,
    packages: Vec<String>,
    package: String,
    first: String,
    next: Option<String>,
    is_first: bool,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let package = query
        .given("package")
        .map(|name| PackageName::parse(&name))
        .transpose()?;
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(BUILDS_ON_A_PAGE), token).map_err(tidegate_service::Error::from)?;
    let builds = app.builds.list(package.clone(), page).await?;
    let name = package.map(|name| name.to_string()).unwrap_or_default();
    let next = builds
        .next_page_token
        .map(|token| show::query(&[("package", &name), ("page_token", &token)]));
    let ids: Vec<BuildId> = builds.items.iter().map(|view| view.build.id).collect();
    let stats = app.builds.stats_of(&ids).await?;
    let now = app.clock.now();
    let mut packages_shown: BTreeMap<String, Vec<Card>> = BTreeMap::new();
    for view in builds.items {
        let stats = stats.get(&view.build.id).copied().unwrap_or_default();
        let package = view.build.facts.package.to_string();
        let cards = packages_shown.entry(package).or_default();
        cards.push(Card::new(view, stats, now));
    }
    Ok(html(&Page {
        packages_shown,
        packages: packages(&app).await?,
        first: show::query(&[("package", &name)]),
        package: name,
        next,
        is_first,
        frame: Frame::new(&visitor, Section::Builds, "Builds").after(&query),
    }))
}

/// The packages to choose from, as many as one list holds.
pub(crate) async fn packages(app: &AppState) -> Result<Vec<String>, Refusal> {
    let page = PageOf::new(Some(MAX_PAGE_SIZE), None).map_err(tidegate_service::Error::from)?;
    let packages = app.packages.list(page).await?;
    Ok(packages
        .items
        .into_iter()
        .map(|package| package.name.to_string())
        .collect())
}
