//! Errors of the layers below, told as refusals that a caller can act on.

use tidegate_artifacts as artifacts;
use tidegate_storage::{self as storage, TokenFault};

use crate::{Error, Kind};

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        let message = error.to_string();
        match error {
            storage::Error::Rule(rule) => rule.into(),
            storage::Error::NotFound { .. } => Self::not_found("not_found", message),
            storage::Error::Duplicate { .. } => Self::new(Kind::Exists, "exists_already", message),
            storage::Error::VersionExists { .. } => Self::new(Kind::Exists, "version_exists", message),
            storage::Error::SignerConflict { .. } => Self::new(Kind::Conflict, "signer_conflict", message),
            storage::Error::TagInUse { .. } => Self::new(Kind::Conflict, "tag_in_use", message),
            storage::Error::CalendarInUse { .. } => Self::new(Kind::Conflict, "calendar_in_use", message),
            storage::Error::CalendarChanged { .. } => Self::new(Kind::Conflict, "revision_mismatch", message),
            storage::Error::BuildDeleted { .. } => Self::new(Kind::Conflict, "build_deleted", message),
            storage::Error::BuildInUse { .. } => Self::new(Kind::Conflict, "build_in_use", message),
            storage::Error::DeviceKnown { .. } => Self::new(Kind::Conflict, "device_known", message),
            storage::Error::KeyReused { .. } => Self::new(Kind::Conflict, "idempotency_key_reused", message),
            storage::Error::LastAdmin { .. } => Self::new(Kind::Conflict, "last_admin", message),
            storage::Error::RecordTampered(_) => Self::new(Kind::Conflict, "record_tampered", message),
            storage::Error::Tampered { .. } => Self::new(Kind::Conflict, "account_tampered", message),
            storage::Error::TooMany { .. } => Self::new(Kind::Conflict, "too_many", message),
            storage::Error::Token(fault) => {
                let code = match fault {
                    TokenFault::Unknown => "enrollment_refused",
                    TokenFault::Expired => "enrollment_token_expired",
                    TokenFault::Revoked => "enrollment_token_revoked",
                    TokenFault::UsedUp => "enrollment_token_used_up",
                };
                Self::new(Kind::Unauthenticated, code, message)
            }
            storage::Error::Busy(_) | storage::Error::Unavailable(_) => {
                tracing::warn!(fault = message, "the database did not answer");
                Self::new(
                    Kind::Unavailable,
                    "unavailable",
                    "the database does not answer; try again in a moment",
                )
            }
            storage::Error::Full(_) => disk_full(&message),
            storage::Error::OtherServers { .. }
            | storage::Error::RecordClosed
            | storage::Error::Newer { .. }
            | storage::Error::Settings(_)
            | storage::Error::Corrupt(_) => Self::internal("storage", &message),
        }
    }
}

impl From<artifacts::Error> for Error {
    fn from(error: artifacts::Error) -> Self {
        let message = error.to_string();
        match error {
            artifacts::Error::TooLarge { .. } => Self::new(Kind::TooLarge, "too_large", message),
            artifacts::Error::Full { .. } => disk_full(&message),
            artifacts::Error::Unavailable { .. } => {
                tracing::warn!(fault = message, "the artifact store did not answer");
                let message = "the artifact store does not answer; try again in a moment";
                Self::new(Kind::Unavailable, "unavailable", message)
            }
            // Every registered build has its file, so that the folder or the bucket is another than usual.
            // Nobody is given a range beyond its size, so one that ends too early was cut there.
            artifacts::Error::Missing { .. } | artifacts::Error::OutOfRange { .. } => {
                tracing::error!(
                    fault = message,
                    "the artifact store lacks a file, or a part of it"
                );
                let message =
                    "the artifact store does not have the whole file, which it should; try again in a moment";
                Self::new(Kind::Unavailable, "unavailable", message)
            }
            artifacts::Error::Setting(_) => Self::internal("artifacts", &message),
        }
    }
}

fn disk_full(fault: &str) -> Error {
    tracing::warn!(fault, "there is no room on the disk");
    let message = "the server's disk is full: rollouts can be held and taken back and devices be refused, everything else \
                   waits for room";
    Error::new(Kind::Unavailable, "disk_full", message)
}
