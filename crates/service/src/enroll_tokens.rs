//! Enrolment tokens: made, listed and revoked.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{MAX_ATTRIBUTE_BYTES, Role};
use tidegate_signing::{SecretString, new_enroll_token};
use tidegate_storage::{AuditNote, EnrollToken, NewEnrollToken, Page, Paged};

use crate::{Actor, Devices, Error};

/// How many devices one enrolment token may enrol at most.
pub const MAX_ENROLL_USES: u32 = 1_000_000;

/// How long an enrolment token may hold at most, in days.
pub const MAX_ENROLL_TTL_DAYS: i64 = 366;

/// How long an enrolment token holds unless told otherwise, in days.
pub const DEFAULT_ENROLL_TTL_DAYS: i64 = 7;

/// An enrolment token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollTokenSpec {
    /// How many devices may enrol with it, from 1 to [`MAX_ENROLL_USES`].
    pub uses: u32,
    /// How long it holds, from a second to [`MAX_ENROLL_TTL_DAYS`].
    pub ttl: TimeDelta,
    /// What it is for, of at most [`MAX_ATTRIBUTE_BYTES`].
    pub note: String,
    /// Whether it lets in ids that are enrolled already, whose credentials end by it.
    pub allow_known: bool,
}

/// A token with which devices enrol.
pub struct IssuedEnrollToken {
    /// The token: shown once.
    pub token: SecretString,
    /// Its number, by which it is listed and revoked.
    pub id: i64,
    /// How many devices it enrols.
    pub uses: u32,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl EnrollTokenSpec {
    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_ENROLL_USES).contains(&self.uses) {
            let fault = format!("must be from 1 to {MAX_ENROLL_USES}");
            return Err(Error::invalid("uses", fault));
        }
        if self.ttl < TimeDelta::seconds(1) || self.ttl > TimeDelta::days(MAX_ENROLL_TTL_DAYS) {
            return Err(Error::invalid("ttl_s", "must be from one second to 366 days"));
        }
        if self.note.len() > MAX_ATTRIBUTE_BYTES {
            return Err(Error::invalid("note", "is longer than 256 bytes"));
        }
        Ok(())
    }
}

impl Devices {
    /// Makes a token with which devices enrol. Only its hash is kept.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`], [`crate::Kind::Unavailable`].
    pub async fn create_enroll_token(
        &self,
        actor: &Actor,
        spec: EnrollTokenSpec,
    ) -> Result<IssuedEnrollToken, Error> {
        actor.require(Role::Admin)?;
        spec.check()?;
        let (token, hash) = new_enroll_token().map_err(|fault| Error::internal("drawing a token", &fault))?;
        let now = self.clock.now();
        let (uses, expires_at) = (spec.uses, now + spec.ttl);
        let after = serde_json::json!({
            "uses": uses,
            "expires_at": expires_at,
            "note": spec.note,
            "allow_known": spec.allow_known,
        });
        let audit = AuditNote {
            after: Some(after),
            ..actor
                .on_record(now)
                .note("enrollment_token.create", "enrollment_token")
        };
        let new = NewEnrollToken {
            hash,
            uses,
            expires_at,
            allow_known: spec.allow_known,
            created_by: actor.subject.clone(),
            note: spec.note,
        };
        let id = self.store.create_enroll_token(new, audit).await?;
        Ok(IssuedEnrollToken {
            token,
            id,
            uses,
            expires_at,
        })
    }

    /// Enrolment tokens, the newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn enroll_tokens(&self, actor: &Actor, page: Page) -> Result<Paged<EnrollToken>, Error> {
        actor.require(Role::Admin)?;
        Ok(self.store.enroll_tokens(page).await?)
    }

    /// Ends an enrolment token at once, on every server. The devices that it let in stay.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn revoke_enroll_token(&self, actor: &Actor, id: i64) -> Result<EnrollToken, Error> {
        actor.require(Role::Admin)?;
        let note = actor
            .on_record(self.clock.now())
            .note("enrollment_token.revoke", "enrollment_token");
        let token = self.store.revoke_enroll_token(id, note).await?;
        tracing::info!(
            event = "ota.enroll_token.revoke",
            actor = actor.subject,
            token_id = id
        );
        Ok(token)
    }
}
