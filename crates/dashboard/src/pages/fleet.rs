//! The first page: how the fleet stands.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::BuildId;

use super::cards::Card;
use crate::Desk;
use crate::error::{Refusal, html};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

/// How many builds that serve the page shows.
const SERVING_SHOWN: usize = 12;

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    frame: Frame,
    serving: Vec<Card>,
}

pub(crate) async fn page(State(desk): State<Arc<Desk>>, visitor: Visitor) -> Result<Response, Refusal> {
    Ok(html(&Page {
        frame: Frame::new(&visitor, Section::Fleet, "Fleet"),
        serving: serving(&desk).await?,
    }))
}

/// The builds that are offered now, the youngest rollout first.
async fn serving(desk: &Desk) -> Result<Vec<Card>, Refusal> {
    let mut serving = desk.builds.serving();
    serving.sort_by_key(|(_, rollout)| std::cmp::Reverse(rollout.id));
    serving.truncate(SERVING_SHOWN);
    let ids: Vec<BuildId> = serving.iter().map(|(build, _)| *build).collect();
    let stats = desk.builds.stats_of(&ids).await?;
    let mut cards = Vec::with_capacity(ids.len());
    for id in ids {
        let view = desk.builds.get(id).await?;
        let stats = stats.get(&id).copied().unwrap_or_default();
        cards.push(Card::new(view, stats, desk.clock.now()));
    }
    Ok(cards)
}
