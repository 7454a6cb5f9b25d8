//! Service accounts: machines such as a build pipeline, each with a role, limits where it needs no more, and tokens that
//! are revoked one by one.

use std::sync::Arc;

use chrono::TimeDelta;
use tidegate_domain::{Limits, Role};
use tidegate_storage::{self as storage, AuditNote, Page, Paged, ServiceAccount, service_subject};

use crate::users::check_name;
use crate::{Actor, AdminTokens, Error, MadeToken};

/// How long a service account's token holds unless it is said, in days.
pub const DEFAULT_SERVICE_TTL_DAYS: i64 = 90;

/// Manages service accounts.
pub struct ServiceAccounts(Arc<AdminTokens>);

/// A service account to be made.
pub struct NewServiceAccount {
    /// Its name, as a user's.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it is limited to, for the role operator alone.
    pub limits: Option<Limits>,
    /// How long its first token holds.
    pub ttl: TimeDelta,
}

impl ServiceAccounts {
    /// Over the database of these tokens.
    pub fn new(tokens: Arc<AdminTokens>) -> Self {
        Self(tokens)
    }

    /// Makes a service account with its first token.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`]; [`crate::Kind::Invalid`] for a bad name or time to live, and for limits beside
    /// another role than operator; [`crate::Kind::Exists`] when the name is taken; [`crate::Kind::Conflict`] with
    /// `too_many`.
    pub async fn add(&self, actor: &Actor, new: NewServiceAccount) -> Result<MadeToken, Error> {
        actor.require(Role::Admin)?;
        check_name(&new.name)?;
        if new.limits.is_some() && new.role != Role::Operator {
            let fault = "must be operator beside limits: a viewer changes nothing, and an admin changes more than packages";
            return Err(Error::invalid("role", fault));
        }
        let subject = service_subject(&new.name);
        let (made, record) = self.0.sign(actor, &subject, new.role, new.ttl).await?;
        let after = serde_json::json!({
            "role": new.role, "limits": new.limits, "token_id": made.id, "expires_at": made.expires_at,
        });
        let note = AuditNote {
            after: Some(after),
            ..self.note(actor, &new.name, "service_account.add")
        };
        let account = storage::NewServiceAccount {
            name: new.name,
            role: new.role,
            limits: new.limits,
            created_by: actor.subject.clone(),
        };
        self.0.store.add_service_account(account, record, note).await?;
        self.0.snapshots.follow_own_change().await;
        tracing::info!(event = "ota.service_account.add", actor = actor.subject, subject);
        Ok(made)
    }

    /// Makes another token of a service account, for the time in which one is put in the place of the other.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Invalid`] for a bad time to live,
    /// [`crate::Kind::Conflict`] with `too_many`.
    pub async fn add_token(&self, actor: &Actor, name: &str, ttl: TimeDelta) -> Result<MadeToken, Error> {
        actor.require(Role::Admin)?;
        let account = self.0.store.service_account(name).await?;
        let subject = service_subject(&account.name);
        let (made, record) = self.0.sign(actor, &subject, account.role, ttl).await?;
        let note = AuditNote {
            after: Some(serde_json::json!({ "token_id": made.id, "expires_at": made.expires_at })),
            ..self.note(actor, name, "service_account.token")
        };
        self.0.store.add_service_token(name, record, note).await?;
        Ok(made)
    }

    /// Service accounts by their names.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, actor: &Actor, page: Page) -> Result<Paged<ServiceAccount>, Error> {
        actor.require(Role::Admin)?;
        Ok(self.0.store.service_accounts(page).await?)
    }

    /// Removes a service account, and ends its tokens.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`].
    pub async fn remove(&self, actor: &Actor, name: &str) -> Result<(), Error> {
        actor.require(Role::Admin)?;
        let note = self.note(actor, name, "service_account.remove");
        self.0.store.remove_service_account(name, note).await?;
        self.0.snapshots.follow_own_change().await;
        tracing::info!(event = "ota.service_account.remove", actor = actor.subject, name);
        Ok(())
    }

    fn note(&self, actor: &Actor, name: &str, action: &'static str) -> AuditNote {
        actor
            .on_record(self.0.clock.now())
            .note(action, format!("service-account/{name}"))
    }
}
