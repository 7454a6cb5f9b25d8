//! What can go wrong, and what to do about it.

use std::time::Duration;

/// Why a message was not taken. Each variant is a decision of its own, see [`Error::what_to_do`].
///
/// Source: Firebase, "FCM error codes" and "Best practices when managing registration tokens".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `UNREGISTERED`: the app is gone from the device, or it has another token now.
    #[error("FCM does not know the token any more (UNREGISTERED)")]
    Unregistered,
    /// `INVALID_ARGUMENT`: the message or the token is malformed. No reason to forget the token, since the fault may be
    /// the message's.
    #[error("FCM found a fault in the message or in the token (INVALID_ARGUMENT): {0}")]
    InvalidArgument(String),
    /// `SENDER_ID_MISMATCH`: the token was issued to an app of another Firebase project.
    #[error("the token belongs to another Firebase project than the service account (SENDER_ID_MISMATCH)")]
    SenderIdMismatch,
    /// `THIRD_PARTY_AUTH_ERROR`: FCM has no valid credentials for Apple's or a browser's push service.
    #[error("FCM has no credentials for the push service behind this token (THIRD_PARTY_AUTH_ERROR)")]
    ThirdPartyAuth,
    /// 401 without a code: the access token is refused.
    #[error("FCM does not take the access token")]
    Unauthorized,
    /// 403 without a code: the account may not send, or the interface is not enabled for the project.
    #[error("the service account may not send messages for its project: {0}")]
    PermissionDenied(String),
    /// 404 without a code: there is no such project, or no FCM at this address.
    #[error("there is no FCM for project {project} at this address; look at project_id and the endpoint")]
    WrongProject {
        /// The project as the service account names it.
        project: String,
    },
    /// `QUOTA_EXCEEDED`: too many messages a minute, of the project or to one device.
    #[error("FCM's quota is used up (QUOTA_EXCEEDED)")]
    QuotaExceeded {
        /// How long FCM asks to wait.
        retry_after: Option<Duration>,
    },
    /// `UNAVAILABLE`: FCM, or the OAuth server, has too much to do.
    #[error("FCM is overloaded or away (UNAVAILABLE)")]
    Unavailable {
        /// How long FCM asks to wait.
        retry_after: Option<Duration>,
    },
    /// `INTERNAL`: FCM's own fault.
    #[error("FCM failed (INTERNAL)")]
    Internal {
        /// How long FCM asks to wait.
        retry_after: Option<Duration>,
    },
    /// Nobody answered in time. The message may have been taken all the same.
    #[error("FCM did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection could not be made or broke. The message may have been taken all the same.
    #[error("the connection to FCM failed: {0}")]
    Connection(String),
    /// An answer that FCM does not give.
    #[error("an answer that FCM does not give: status {status}, {excerpt:?}")]
    Unexpected {
        /// The status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
    },
    /// The message is over one of FCM's limits; it was not sent.
    #[error("{0}")]
    Message(String),
    /// Google refuses the service account's assertion: the key was revoked, the account is gone, or this machine's
    /// clock is wrong. Trying again does not help.
    #[error(
        "Google refuses the service account ({code}): {description}; is its key revoked, or this clock wrong?"
    )]
    SignInRefused {
        /// OAuth's error code, such as `invalid_grant`.
        code: String,
        /// OAuth's description.
        description: String,
    },
    /// An access token that was fetched a moment ago is refused.
    #[error("FCM refuses an access token that Google has just issued")]
    FreshTokenRefused,
    /// The service account's file cannot be used.
    #[error("the service account: {0}")]
    Account(String),
    /// An address that must not be called.
    #[error("{0}")]
    Address(String),
}

/// What the sender does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The device will never be reached by this token.
    ForgetToken,
    /// Try the same message again.
    Retry {
        /// Not before this time has passed, if FCM said so; otherwise see [`crate::Backoff`].
        after: Option<Duration>,
    },
    /// Drop this message and keep the token.
    Drop,
    /// Fetch a new access token and try once more. [`crate::Client::send`] does that itself.
    RefreshTokenOnce,
    /// No message can be sent until somebody has mended the configuration. Keep all tokens.
    Stop,
}

/// How long to wait when the quota is used up and FCM does not say how long.
const QUOTA_PAUSE: Duration = Duration::from_secs(60);

impl Error {
    /// What to do. Only [`Error::Unregistered`] forgets a token.
    pub fn what_to_do(&self) -> Decision {
        match self {
            Self::Unregistered => Decision::ForgetToken,
            Self::QuotaExceeded { retry_after } => Decision::Retry {
                after: Some(retry_after.unwrap_or(QUOTA_PAUSE)),
            },
            Self::Unavailable { retry_after } | Self::Internal { retry_after } => {
                Decision::Retry { after: *retry_after }
            }
            Self::Timeout(_) | Self::Connection(_) | Self::Unexpected { .. } => {
                Decision::Retry { after: None }
            }
            Self::InvalidArgument(_) | Self::SenderIdMismatch | Self::ThirdPartyAuth | Self::Message(_) => {
                Decision::Drop
            }
            Self::Unauthorized => Decision::RefreshTokenOnce,
            Self::PermissionDenied(_)
            | Self::WrongProject { .. }
            | Self::SignInRefused { .. }
            | Self::FreshTokenRefused
            | Self::Account(_)
            | Self::Address(_) => Decision::Stop,
        }
    }
}
