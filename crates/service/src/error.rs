//! The one error of all use cases.

use std::time::Duration;

use tidegate_domain::{self as domain, Build, BuildId, Sha256};

/// When to ask again where nobody knows better.
const SOON: Duration = Duration::from_secs(5);

/// A use case's refusal: what kind it is, its stable code, and a sentence for the person who caused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller can do about it.
    pub kind: Kind,
    /// A stable name that clients may act on, such as `no_predecessor`.
    pub code: &'static str,
    /// What was wrong, with which input, and what to do.
    pub message: String,
    /// The field at fault, by its name in the protocol.
    pub field: Option<String>,
    /// How long to wait before the same is asked again, where waiting may help.
    pub retry_after: Option<Duration>,
    /// The build that is there already, where one is in the way.
    pub existing: Option<Box<ExistingBuild>>,
}

/// A build that has the version of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingBuild {
    /// Its number.
    pub id: BuildId,
    /// Of its file.
    pub sha256: Sha256,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mend the request.
    Invalid,
    /// Present a valid credential.
    Unauthenticated,
    /// Ask somebody who may.
    Forbidden,
    /// Look for something else: this does not exist.
    NotFound,
    /// Look at the state of things and decide anew.
    Conflict,
    /// Look at what is there: this was made before, and not by this request.
    Exists,
    /// Send faster.
    TooSlow,
    /// Send less.
    TooLarge,
    /// Bring another file: this one is refused for what it is.
    Refused,
    /// Slow down.
    Exhausted,
    /// Try again later.
    Unavailable,
    /// Tell the operator: this is the server's fault.
    Internal,
}

impl Kind {
    /// The kind's number in HTTP. It stands here, in a crate that knows no protocol, because REST and the operator's
    /// page both answer with it and neither knows the other; a list in each would be two to keep equal.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::Exists => 409,
            Self::TooSlow => 408,
            Self::TooLarge => 413,
            Self::Refused => 422,
            Self::Exhausted => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

impl Error {
    /// An error without a field.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            field: None,
            retry_after: matches!(kind, Kind::Exhausted | Kind::Unavailable).then_some(SOON),
            existing: None,
        }
    }

    /// The same, to be asked again after this time and not sooner.
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self {
            retry_after: Some(pause),
            ..self
        }
    }

    /// The same, about this build.
    pub(crate) fn because_of(self, build: &Build) -> Self {
        let existing = ExistingBuild {
            id: build.id,
            sha256: build.facts.sha256,
        };
        Self {
            existing: Some(Box::new(existing)),
            ..self
        }
    }

    /// A field that does not have its form; the message names the field.
    pub fn invalid(field: impl Into<String>, fault: impl std::fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field} {fault}");
        Self {
            kind: Kind::Invalid,
            code: "invalid_argument",
            message,
            field: Some(field),
            retry_after: None,
            existing: None,
        }
    }

    /// Something that does not exist.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, code, message)
    }

    /// A fault of the server's own; the details go to the log and not to the caller.
    pub(crate) fn internal(context: &str, fault: &dyn std::fmt::Display) -> Self {
        tracing::error!(context, fault = %fault, "internal error");
        Self::new(
            Kind::Internal,
            "internal",
            "the server failed; the request id names the failure in its log",
        )
    }
}

impl From<domain::Error> for Error {
    fn from(error: domain::Error) -> Self {
        let field = error.field().map(str::to_owned);
        let kind = match &field {
            Some(_) => Kind::Invalid,
            None => Kind::Conflict,
        };
        Self {
            kind,
            code: error.code(),
            message: error.to_string(),
            field,
            retry_after: None,
            existing: None,
        }
    }
}
