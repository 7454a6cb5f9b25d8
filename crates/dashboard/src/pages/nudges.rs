//! The nudge campaigns: all of them, and one of them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::CampaignId;
use tidegate_service::{Campaign, Error, FailedDelivery, Page as PageOf};

use super::{Query, done};
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many campaigns a page shows.
const CAMPAIGNS_ON_A_PAGE: u32 = 30;

/// How many of the devices that were not reached a page shows.
const FAILURES_SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "nudges.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    configured: bool,
    next: Option<String>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "nudge.html")]
struct OnePage {
    frame: Frame,
    row: Row,
    failures: Vec<FailedDelivery>,
    next: Option<String>,
    /// Which buttons the campaign's state allows.
    may_pause: bool,
    may_resume: bool,
    may_cancel: bool,
    configured: bool,
}

/// A campaign as the pages show it.
struct Row {
    campaign: Campaign,
    no_answer: Option<u64>,
    made: show::Time,
}

impl Row {
    fn numbers(&self) -> [(&'static str, &'static str, String); 8] {
        numbers(&self.campaign, self.no_answer)
    }

    fn whom(&self) -> String {
        match (self.campaign.named, &self.campaign.package) {
            (true, _) => "chosen devices".to_owned(),
            (false, Some(package)) => format!("{} devices of {package}", self.campaign.audience),
            (false, None) => format!("{} devices", self.campaign.audience),
        }
    }
}

/// A campaign's numbers by their names in the feed.
/// `no_answer` is unknown while devices may still answer.
pub(crate) fn numbers(
    campaign: &Campaign,
    no_answer: Option<u64>,
) -> [(&'static str, &'static str, String); 8] {
    let progress = &campaign.progress;
    [
        ("Targeted", "total", show::count(progress.total)),
        ("Queued", "queued", show::count(progress.queued)),
        ("Sent", "sent", show::count(progress.sent)),
        ("Failed", "failed", show::count(progress.failed)),
        ("Answered", "acknowledged", show::count(progress.acknowledged)),
        ("Polled since", "polled", show::count(progress.polled)),
        ("Installed since", "installed", show::count(progress.installed)),
        (
            "No answer",
            "no_answer",
            no_answer.map_or_else(|| "–".to_owned(), show::count),
        ),
    ]
}

fn row(app: &AppState, campaign: Campaign) -> Row {
    Row {
        no_answer: app.nudges.no_answer(&campaign),
        made: show::time(campaign.created_at),
        campaign,
    }
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(CAMPAIGNS_ON_A_PAGE), token).map_err(Error::from)?;
    let campaigns = app.nudges.list(page).await?;
    Ok(html(&ListPage {
        frame: Frame::new(&visitor, Section::Nudges, "Nudges"),
        next: campaigns
            .next_page_token
            .map(|token| show::query(&[("page_token", &token)])),
        rows: campaigns
            .items
            .into_iter()
            .map(|campaign| row(&app, campaign))
            .collect(),
        configured: app.nudges.is_configured(),
        is_first,
    }))
}

/// The campaign in a path.
fn campaign_id(path: &str) -> Result<CampaignId, Refusal> {
    let unknown = |_| {
        Error::not_found(
            "not_found",
            "there is no such campaign: its number is not a number",
        )
    };
    Ok(CampaignId(path.parse().map_err(unknown)?))
}

pub(crate) async fn one(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Path(path): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    use tidegate_domain::CampaignState::{Canceled, Paused, Running};
    let id = campaign_id(&path)?;
    let campaign = app.nudges.get(id).await?;
    let page = PageOf::new(Some(FAILURES_SHOWN), query.given("page_token")).map_err(Error::from)?;
    let failures = app.nudges.failures(id, page).await?;
    let next = failures.next_page_token;
    Ok(html(&OnePage {
        frame: Frame::new(&visitor, Section::Nudges, format!("Nudge {id}")).after(&query),
        next: next.map(|token| show::query(&[("page_token", &token)])),
        failures: failures.items,
        may_pause: campaign.state.may_become(Paused),
        may_resume: campaign.state == Paused && campaign.state.may_become(Running),
        may_cancel: campaign.state.may_become(Canceled),
        configured: app.nudges.is_configured(),
        row: row(&app, campaign),
    }))
}

pub(crate) async fn cancel(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = campaign_id(&path)?;
    app.nudges.cancel(&visitor.actor, id).await?;
    Ok(done(&format!("/nudges/{id}"), "cancelled"))
}

pub(crate) async fn pause(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = campaign_id(&path)?;
    app.nudges.pause(&visitor.actor, id).await?;
    Ok(done(&format!("/nudges/{id}"), "nudge_paused"))
}

pub(crate) async fn resume(
    State(app): State<Arc<AppState>>,
    Path(path): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    let id = campaign_id(&path)?;
    app.nudges.resume(&visitor.actor, id).await?;
    Ok(done(&format!("/nudges/{id}"), "nudge_resumed"))
}
