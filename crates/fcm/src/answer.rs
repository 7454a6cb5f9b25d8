//! FCM's answers to a message.

use std::time::Duration;

use serde::Deserialize;

use crate::Error;

/// How much of an unknown answer an error repeats, in characters.
const MAX_EXCERPT: usize = 120;

#[derive(Deserialize)]
struct Refusal {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
}

/// Reads a refusal. FCM's own code decides. Without one the status decides, and then no token is forgotten.
pub(crate) fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>, project: &str) -> Error {
    let refusal = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error);
    let code = refusal.as_ref().ok().and_then(|error| {
        let mut codes = error
            .details
            .iter()
            .filter_map(|detail| detail.error_code.as_deref());
        codes.next()
    });
    let said = || match &refusal {
        Ok(error) => excerpt(&format!("{} {}", error.status, error.message)),
        Err(_) => excerpt(&String::from_utf8_lossy(body)),
    };
    match (code, status) {
        (Some("UNREGISTERED"), _) => Error::Unregistered,
        (Some("INVALID_ARGUMENT"), _) => Error::InvalidArgument(said()),
        (Some("SENDER_ID_MISMATCH"), _) => Error::SenderIdMismatch,
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => Error::ThirdPartyAuth,
        (Some("QUOTA_EXCEEDED"), _) | (_, 429) => Error::QuotaExceeded { retry_after },
        (Some("UNAVAILABLE"), _) | (_, 502..=504) => Error::Unavailable { retry_after },
        (Some("INTERNAL"), _) | (_, 500) => Error::Internal { retry_after },
        (_, 400) => Error::InvalidArgument(said()),
        (_, 401) => Error::Unauthorized,
        (_, 403) => Error::PermissionDenied(said()),
        (_, 404) => Error::WrongProject {
            project: project.to_owned(),
        },
        _ => Error::Unexpected {
            status,
            excerpt: said(),
        },
    }
}

/// The beginning of a text from outside, without control characters, which could forge a line of the log.
pub(crate) fn excerpt(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim().chars().take(MAX_EXCERPT).map(plain).collect()
}
