//! Admin tokens that were handed out: those of service accounts, and those that the console made.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::Role;

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// How long a token is listed after it has expired.
pub const TOKENS_KEPT_FOR: TimeDelta = TimeDelta::days(90);

/// By how much the clocks of servers may differ: a token that was ended stays in the tables so long after it expired.
pub(crate) const CLOCKS_DIFFER_BY: TimeDelta = TimeDelta::hours(1);

/// A token to be recorded. The token itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAdminToken {
    /// Its `jti`.
    pub id: String,
    /// Whose it is.
    pub subject: String,
    /// What its bearer may do.
    pub role: Role,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// A token that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// Its `jti`.
    pub id: String,
    /// Whose it is.
    pub subject: String,
    /// What its bearer may do.
    pub role: Role,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was used last, a minute or so late; `None`: never.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was ended before its time.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Records a token that the console made.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn add_admin_token(&self, token: NewAdminToken, audit: AuditNote) -> Result<(), Error> {
        run!(self, write, admin_tokens::add(&token, &audit))
    }

    /// Whether the token of this `jti` was handed out, and not given for a password.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn is_handed_out(&self, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        run!(self, read, admin_tokens::is_handed_out(&id))
    }

    /// Tokens that were handed out, the newest first; those of one subject if it is named.
    ///
    /// # Errors
    /// [`Error::Rule`] for a bad page token.
    pub async fn admin_tokens(
        &self,
        subject: Option<String>,
        page: Page,
    ) -> Result<Paged<AdminToken>, Error> {
        run!(self, read, admin_tokens::list(subject.as_deref(), &page))
    }

    /// Ends a token that was handed out, and returns it. The audit entry's target becomes its subject. One that has ended
    /// stays as it is, without another audit entry.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_admin_token(&self, id: &str, audit: AuditNote) -> Result<AdminToken, Error> {
        let id = id.to_owned();
        run!(self, urgent, admin_tokens::revoke(&id, &audit))
    }

    /// Notes when tokens, by their `jti`, were used last, and forgets what expired long ago. Those that were never
    /// recorded are passed over.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn note_token_uses(
        &self,
        mut uses: Vec<(String, DateTime<Utc>)>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        // In one order, so that no two servers wait for each other.
        uses.sort();
        run!(self, write, admin_tokens::note_uses(&uses, now))
    }
}
