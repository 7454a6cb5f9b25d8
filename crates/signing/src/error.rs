//! What cannot be signed, and why a token is not taken.

/// Why a key, a token or a password cannot be made. The message is for the operator who gave the input; it never
/// repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An input does not have the form that it needs.
    #[error("{what} {fault}")]
    Invalid {
        /// The input.
        what: &'static str,
        /// What is wrong with it, to be read after its name.
        fault: String,
    },
    /// The operating system gave no random bytes, so nothing secret can be made.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

impl Error {
    pub(crate) fn invalid(what: &'static str, fault: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            fault: fault.into(),
        }
    }
}

/// Why a token is not taken. The bearer is told no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not have the form of such a token, or is too long to be one.
    #[error("the token is malformed")]
    Malformed,
    /// None of our keys signed it.
    #[error("the token's signature is not ours")]
    Forged,
    /// It was ours, and its time has passed.
    #[error("the token has expired")]
    Expired,
    /// It was issued in the future, beyond what clocks may differ by.
    #[error("the token is not valid yet")]
    NotYetValid,
}
