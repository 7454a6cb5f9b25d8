//! Doing the same to many devices: those that were ticked, or all of a filter.
//!
//! The dialog repeats how many they are and what happens to them; where the filter meanwhile matches another number, it
//! asks again. Each device goes through the very function that a single one goes through, with its role and its entry in
//! the audit log.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use tidegate_domain::{
    DEFAULT_NUDGE_PRIORITY, DEFAULT_NUDGE_TTL, DeviceId, MAX_NAMED_DEVICES, NudgeAudience, NudgeOrder, Role,
    Tag,
};
use tidegate_service::{Actor, Error, Kind, TagChange};

use super::Query;
use super::device_query::Typed;
use crate::AppState;
use crate::error::{Refusal, html, status};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// The most devices that lose their token or leave the fleet at once: each is a transaction and an audit entry of its own,
/// and all of them have to be done within a page's time.
const MAX_ENDED: usize = 500;

/// The most devices that are tagged at once.
const MAX_TAGGED: usize = 10_000;

/// What can be done to many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Nudge,
    Tag,
    Revoke,
    Retire,
}

impl Action {
    fn parse(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "nudge" => Self::Nudge,
            "tag" => Self::Tag,
            "revoke" => Self::Revoke,
            "retire" => Self::Retire,
            _ => {
                return Err(Error::invalid(
                    "verb",
                    "must be one of nudge, tag, revoke, retire",
                ));
            }
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Nudge => "nudge",
            Self::Tag => "tag",
            Self::Revoke => "revoke",
            Self::Retire => "retire",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Nudge => "Nudge",
            Self::Tag => "Tag",
            Self::Revoke => "Revoke the tokens of",
            Self::Retire => "Retire",
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Nudge | Self::Tag => Role::Operator,
            Self::Revoke | Self::Retire => Role::Admin,
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Nudge => MAX_NAMED_DEVICES,
            Self::Tag => MAX_TAGGED,
            Self::Revoke | Self::Retire => MAX_ENDED,
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Nudge => {
                "They are woken through FCM so that they poll now. What they are offered is decided by the rollouts."
            }
            Self::Tag => "Audiences and policies that name the tag concern them from then on.",
            Self::Revoke => {
                "The server refuses their tokens from now on. They get no update until they enrol again, which somebody \
                 has to allow."
            }
            Self::Retire => {
                "They leave the fleet: they are in no list, count or campaign any more, and the server refuses their \
                 tokens. With a new enrolment token they may come back."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "devices_bulk.html")]
struct Page {
    frame: Frame,
    action: Action,
    /// How many, in words and as a number.
    many: String,
    count: usize,
    /// Those that were ticked, one a line; empty for all of the filter.
    ticked: String,
    typed: Typed,
    back: String,
    tag: String,
    /// This form's idempotency key.
    once: String,
    error: Option<String>,
}

/// Whom a form names.
struct Chosen {
    ids: Vec<DeviceId>,
    /// The same as they were named; empty for all of a filter.
    ticked: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let action = Action::parse(query.text("verb"))?;
    visitor.actor.require(action.role())?;
    let ticked: Vec<&str> = query.each("device_id").collect();
    let chosen = choose(&app, action, &query, &ticked).await?;
    Ok(show_dialog(&visitor, action, &query, &chosen, None))
}

fn show_dialog(
    visitor: &Visitor,
    action: Action,
    fields: &Fields,
    chosen: &Chosen,
    error: Option<String>,
) -> Response {
    let typed = Typed::of(fields);
    let many = show::many(chosen.ids.len() as u64, "device");
    html(&Page {
        frame: Frame::new(visitor, Section::Devices, format!("{} {many}", action.verb())),
        action,
        many,
        count: chosen.ids.len(),
        ticked: chosen.ticked.clone(),
        back: format!("/devices{}", typed.query(&[])),
        typed,
        tag: fields.text("bulk_tag").to_owned(),
        once: uuid::Uuid::new_v4().to_string(),
        error,
    })
}

/// The devices that a form names: those that were ticked, or all of the filter.
async fn choose(app: &AppState, action: Action, fields: &Fields, ticked: &[&str]) -> Result<Chosen, Error> {
    let too_many = || {
        let limit = show::count(action.limit() as u64);
        let message = format!("at most {limit} devices can be chosen for this at once: narrow the filter");
        Error::new(Kind::TooLarge, "too_many_devices", message)
    };
    if !fields.ticked("all") {
        if ticked.is_empty() {
            return Err(Error::invalid(
                "device_id",
                "must be ticked for at least one device",
            ));
        }
        if ticked.len() > action.limit() {
            return Err(too_many());
        }
        let ids: Result<Vec<DeviceId>, _> = ticked.iter().map(|id| DeviceId::parse(id)).collect();
        return Ok(Chosen {
            ids: ids?,
            ticked: ticked.join("\n"),
        });
    }
    let query = Typed::of(fields).parse(app.clock.now())?;
    let ids = match app.devices.resolve(query)? {
        Some(filter) => app.devices.ids(&filter, action.limit()).await?,
        None => (vec![], true),
    };
    match ids {
        (_, false) => Err(too_many()),
        (ids, true) if ids.is_empty() => Err(Error::invalid("all", "no device matches the filter")),
        (ids, true) => Ok(Chosen {
            ids,
            ticked: String::new(),
        }),
    }
}

pub(crate) async fn act(
    State(app): State<Arc<AppState>>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let action = Action::parse(fields.text("verb"))?;
    visitor.actor.require(action.role())?;
    let ticked: Vec<&str> = fields.raw("ticked").lines().map(str::trim).collect();
    let chosen = choose(&app, action, &fields, &ticked).await?;
    let confirmed = fields.number("count")?;
    let outcome = if i64::try_from(chosen.ids.len()) == Ok(confirmed) {
        run(&app, &visitor.actor, action, &fields, &chosen.ids).await
    } else {
        let message = format!(
            "the filter matches {} now, and {} were confirmed: look again and confirm anew",
            show::many(chosen.ids.len() as u64, "device"),
            show::count(confirmed)
        );
        Err(Error::new(Kind::Conflict, "filter_moved", message))
    };
    match outcome {
        Ok(path) => Ok(Redirect::to(&path).into_response()),
        Err(error) => {
            let status = status(error.kind);
            let page = show_dialog(&visitor, action, &fields, &chosen, Some(error.message));
            Ok((status, page).into_response())
        }
    }
}

/// Does it, and says where to go then.
async fn run(
    app: &AppState,
    actor: &Actor,
    action: Action,
    fields: &Fields,
    ids: &[DeviceId],
) -> Result<String, Error> {
    let done = match action {
        Action::Nudge => {
            let order = NudgeOrder {
                devices: Some(ids.to_vec()),
                package: None,
                audience: NudgeAudience::All,
                rollout: None,
                priority: DEFAULT_NUDGE_PRIORITY,
                ttl: DEFAULT_NUDGE_TTL,
            };
            let nudged = app.nudges.nudge(actor, order, fields.given("once")).await?;
            return Ok(format!("/nudges/{}?done=nudged", nudged.campaign.id));
        }
        Action::Tag => {
            tag(app, actor, fields, ids).await?;
            "bulk_tagged"
        }
        Action::Revoke => {
            for (at, id) in ids.iter().enumerate() {
                let revoked = app.devices.revoke(actor, id).await;
                revoked.map_err(|error| cut_off(at, ids.len(), error))?;
            }
            "bulk_revoked"
        }
        Action::Retire => {
            for (at, id) in ids.iter().enumerate() {
                let retired = app.devices.retire(actor, id).await;
                retired.map_err(|error| cut_off(at, ids.len(), error))?;
            }
            "bulk_retired"
        }
    };
    Ok(format!("/devices{}", Typed::of(fields).query(&[("done", done)])))
}

async fn tag(app: &AppState, actor: &Actor, fields: &Fields, ids: &[DeviceId]) -> Result<(), Error> {
    let tag = Tag::parse(fields.text("bulk_tag"))?;
    let change = match fields.text("bulk_way") {
        "take" => TagChange {
            remove: ids.to_vec(),
            ..TagChange::default()
        },
        _ => TagChange {
            add: ids.to_vec(),
            ..TagChange::default()
        },
    };
    app.tags.change(actor, &tag, change).await?;
    Ok(())
}

/// What was done stays done, and is said.
fn cut_off(done: usize, of: usize, error: Error) -> Error {
    let message = format!(
        "{} of {} devices were done, and then: {}",
        show::count(done as u64),
        show::count(of as u64),
        error.message
    );
    Error { message, ..error }
}
