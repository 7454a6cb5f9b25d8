//! The REST skin.

pub(crate) mod agent;
pub(crate) mod audiences;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod builds;
pub(crate) mod calendars;
mod conditional;
pub(crate) mod devices;
pub(crate) mod download;
pub(crate) mod experiments;
pub(crate) mod fleet;
pub(crate) mod gates;
pub(crate) mod health;
mod input;
pub(crate) mod metrics;
pub(crate) mod nudges;
pub(crate) mod packages;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod policies;
mod range;
pub(crate) mod rollouts;
pub(crate) mod tags;
pub(crate) mod upload;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(crate) use builds::MAX_NOTES_BODY_BYTES;
pub(crate) use input::MAX_JSON_BYTES;
pub(crate) use nudges::MAX_NUDGE_BYTES;
pub(crate) use tags::MAX_TAG_BYTES;

/// What no cache may keep: it is for this caller, now.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer that carries a secret.
struct Secret<T>(T);

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, NO_STORE)], Json(self.0)).into_response()
    }
}

/// A header value of our own making, which is always plain ASCII.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
