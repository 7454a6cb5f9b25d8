//! What every server keeps in memory about people and machines: which admin tokens ended before their time, and what
//! service accounts are limited to.

use chrono::{DateTime, Utc};
use tidegate_domain::Limits;

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// What the subject of a service account's tokens begins with. No user's name holds a colon.
pub const SERVICE_PREFIX: &str = "service:";

/// The subject of a service account's tokens, as it stands in the audit log.
pub fn service_subject(name: &str) -> String {
    format!("{SERVICE_PREFIX}{name}")
}

/// What changed since a value of the people's epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChanges {
    /// Subjects, and the generation of their tokens that is accepted from now on.
    pub generations: Vec<(String, u32)>,
    /// Tokens, by their `jti`, that were ended, and when they would have expired.
    pub ended: Vec<(String, DateTime<Utc>)>,
    /// Service accounts, by their subject: what they are limited to, if anything; `None` for one that was removed.
    pub service_accounts: Vec<(String, Option<Option<Limits>>)>,
    /// Those among them, by their subject, whose rows are not as this server wrote them.
    pub tampered: Vec<String>,
    /// When a backup was put in the place of the database for the last time: tokens that were issued before are ended.
    pub not_before: Option<DateTime<Utc>>,
}

impl Store {
    /// What changed after this value of the people's epoch; 0 for all that ever did.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn account_changes(&self, since: i64) -> Result<AccountChanges, Error> {
        run!(self, snapshot, accounts::changes(since))
    }

    /// The generation of a subject's tokens that is accepted: 1 unless it was raised.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn account_generation(&self, subject: &str) -> Result<u32, Error> {
        let subject = subject.to_owned();
        run!(self, read, accounts::generation(&subject))
    }

    /// Ends one token before it expires, whatever kind it is. One that was ended before stays so, without
    /// another audit entry.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn end_token(
        &self,
        id: &str,
        expires_at: DateTime<Utc>,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let id = id.to_owned();
        run!(self, urgent, accounts::end_token(&id, expires_at, &audit))
    }
}
