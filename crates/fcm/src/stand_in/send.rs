//! Takes a message: checks the credentials and the form, then answers as the script says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::script::Answer;
use super::server::{Outcome, Reply};
use super::{PROJECT, Shared};
use crate::message::is_reserved;
use crate::{MAX_DATA_BYTES, MAX_TTL};

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The device's token.
    pub token: String,
    /// What the app would be handed.
    pub data: BTreeMap<String, String>,
    /// `NORMAL` or `HIGH`.
    pub priority: String,
    /// In seconds.
    pub ttl: u64,
    /// The collapse key.
    pub collapse_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    message: Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default)]
    android: Android,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Android {
    priority: Option<String>,
    ttl: Option<String>,
    collapse_key: Option<String>,
}

pub(super) fn send(shared: &Shared, path: &str, authorization: Option<&str>, body: &[u8]) -> Outcome {
    let mut state = shared.state();
    state.counts.requests += 1;
    let nth = state.counts.requests;
    let access = authorization.and_then(|value| value.strip_prefix("Bearer "));
    if !access.is_some_and(|access| state.holds(access)) {
        return Outcome::Answer(Reply::google(401, "UNAUTHENTICATED", None));
    }
    if path != format!("/v1/projects/{PROJECT}/messages:send") {
        return Outcome::Answer(Reply::google(404, "NOT_FOUND", None));
    }
    let Some(message) = read(body) else {
        return Outcome::Answer(Reply::google(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT")));
    };
    let answer = state.script.answer(nth, &message.token);
    if matches!(answer, Answer::Take | Answer::TakeAndReset) {
        state.keep(message);
    }
    outcome(answer, nth)
}

fn outcome(answer: Answer, nth: u64) -> Outcome {
    let google = |status, name, code| Outcome::Answer(Reply::google(status, name, code));
    match answer {
        Answer::Take => {
            let name = format!("projects/{PROJECT}/messages/{nth}");
            Outcome::Answer(Reply::json(200, &json!({ "name": name })))
        }
        Answer::Unregistered => google(404, "NOT_FOUND", Some("UNREGISTERED")),
        Answer::InvalidArgument => google(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT")),
        Answer::SenderIdMismatch => google(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH")),
        Answer::ThirdPartyAuth => google(401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR")),
        Answer::Unauthorized => google(401, "UNAUTHENTICATED", None),
        Answer::Forbidden => google(403, "PERMISSION_DENIED", None),
        Answer::NotFound => google(404, "NOT_FOUND", None),
        Answer::QuotaExceeded(wait) => {
            Outcome::Answer(Reply::google(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED")).after(wait))
        }
        Answer::Unavailable(wait) => {
            Outcome::Answer(Reply::google(503, "UNAVAILABLE", Some("UNAVAILABLE")).after(wait))
        }
        Answer::Internal => google(500, "INTERNAL", Some("INTERNAL")),
        Answer::Page => Outcome::Answer(Reply::page(502)),
        Answer::Reset | Answer::TakeAndReset => Outcome::Reset,
        Answer::Hang => Outcome::Hang,
    }
}

fn read(body: &[u8]) -> Option<Received> {
    let Envelope { message } = serde_json::from_slice(body).ok()?;
    let bytes: usize = message
        .data
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let ttl = match &message.android.ttl {
        Some(ttl) => ttl.strip_suffix('s')?.parse().ok()?,
        None => MAX_TTL.as_secs(),
    };
    let priority = message.android.priority.unwrap_or_else(|| "NORMAL".to_owned());
    let in_order = !message.token.is_empty()
        && bytes <= MAX_DATA_BYTES
        && !message.data.keys().any(|key| is_reserved(key))
        && ttl <= MAX_TTL.as_secs()
        && matches!(priority.as_str(), "NORMAL" | "HIGH");
    in_order.then_some(Received {
        token: message.token,
        data: message.data,
        priority,
        ttl,
        collapse_key: message.android.collapse_key,
    })
}
