//! What can go wrong with a blob.

use std::io::ErrorKind;
use std::ops::Range;

/// Each variant is another decision for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The upload is refused; nothing of it was kept.
    #[error("the upload is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The most that was allowed, in bytes.
        limit: u64,
    },
    /// No such blob.
    #[error("there is no blob {sha256}")]
    Missing {
        /// The hash that was asked for, in hex.
        sha256: String,
    },
    /// The blob is there, and shorter than the range.
    #[error("bytes {}..{} of a blob of {size} bytes", range.start, range.end)]
    OutOfRange {
        /// What was asked for.
        range: Range<u64>,
        /// What there is, in bytes.
        size: u64,
    },
    /// The disk has no room for it, or none but what others need.
    #[error("can't {doing}: the disk is full")]
    Full {
        /// What was tried, with the path.
        doing: String,
    },
    /// The configuration is wrong; the message names the setting.
    #[error("{0}")]
    Setting(String),
    /// The disk or the bucket failed; the same call may succeed later.
    #[error("can't {doing}: {source}")]
    Unavailable {
        /// What was tried, with the path or key.
        doing: String,
        /// What the disk or the bucket said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// For `map_err`: names what was being done.
    pub(crate) fn while_doing<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Error
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| {
            let (doing, source) = (doing.into(), source.into());
            let fault = source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            match fault {
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Error::Full { doing },
                _ => Error::Unavailable { doing, source },
            }
        }
    }
}
