//! Admin tokens that are handed out, rather than given for a password: they are recorded, listed and revoked.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::Role;
use tidegate_signing::{KeyRing, SecretString};
use tidegate_storage::{AdminToken, AuditNote, NewAdminToken, Page, Paged, SERVICE_PREFIX, Store};

use crate::{Actor, Clock, Error, Kind, Snapshots};

/// Manages admin tokens.
pub struct AdminTokens {
    pub(crate) store: Store,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) clock: Arc<dyn Clock>,
    keys: Arc<KeyRing>,
}

/// A token that was made. It is shown once.
pub struct MadeToken {
    /// The token.
    pub token: SecretString,
    /// Its `jti`, by which it is listed and revoked.
    pub id: String,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

impl AdminTokens {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
            keys,
        }
    }

    /// Makes a token of the subject's generation, and what is to be recorded of it.
    pub(crate) async fn sign(
        &self,
        actor: &Actor,
        subject: &str,
        role: Role,
        ttl: TimeDelta,
    ) -> Result<(MadeToken, NewAdminToken), Error> {
        let generation = self.store.account_generation(subject).await?;
        let issued = self
            .keys
            .issue_admin_token(subject, role, generation, ttl, self.clock.now())
            .map_err(|fault| Error::new(Kind::Invalid, "invalid_argument", fault.to_string()))?;
        let record = NewAdminToken {
            id: issued.claims.token_id.clone(),
            subject: subject.to_owned(),
            role,
            created_by: actor.subject.clone(),
            expires_at: issued.claims.expires_at,
        };
        let made = MadeToken {
            token: issued.token,
            id: issued.claims.token_id,
            expires_at: issued.claims.expires_at,
        };
        Ok((made, record))
    }

    /// Makes a token for a subject, and records it. For the console: whoever may make tokens of any role and name needs
    /// no other.
    ///
    /// # Errors
    /// [`Kind::Forbidden`]; [`Kind::Invalid`] for a bad subject or time to live.
    pub async fn make(
        &self,
        actor: &Actor,
        subject: &str,
        role: Role,
        ttl: TimeDelta,
    ) -> Result<MadeToken, Error> {
        actor.require(Role::Admin)?;
        if subject.starts_with(SERVICE_PREFIX) {
            let fault = format!("must not begin with {SERVICE_PREFIX}, as those of service accounts do");
            return Err(Error::invalid("subject", fault));
        }
        let (made, record) = self.sign(actor, subject, role, ttl).await?;
        let note = AuditNote {
            after: Some(
                serde_json::json!({ "role": role, "expires_at": made.expires_at, "token_id": made.id }),
            ),
            ..actor
                .on_record(self.clock.now())
                .note("admin_token.create", format!("admin_token/{subject}"))
        };
        self.store.add_admin_token(record, note).await?;
        tracing::info!(
            event = "ota.token.create",
            actor = actor.subject,
            subject,
            token_id = made.id
        );
        Ok(made)
    }

    /// Tokens that were handed out, the newest first; those of one subject if it is named.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::Invalid`] for a bad page token, [`Kind::Unavailable`].
    pub async fn list(
        &self,
        actor: &Actor,
        subject: Option<String>,
        page: Page,
    ) -> Result<Paged<AdminToken>, Error> {
        actor.require(Role::Admin)?;
        Ok(self.store.admin_tokens(subject, page).await?)
    }

    /// Ends a token that was handed out, on this server at once and on the others within a second.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn revoke(&self, actor: &Actor, id: &str) -> Result<AdminToken, Error> {
        actor.require(Role::Admin)?;
        let note = actor
            .on_record(self.clock.now())
            .note("admin_token.revoke", format!("admin_token/{id}"));
        let token = self.store.revoke_admin_token(id, note).await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(event = "ota.token.revoke", actor = actor.subject, token_id = id);
        Ok(token)
    }
}
