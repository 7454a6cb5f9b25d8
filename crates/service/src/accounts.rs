//! Which admin tokens are still accepted, in memory: tokens that were ended one by one, subjects whose tokens were ended
//! all at once, and what service accounts are limited to.
//!
//! Filled with what changed since the people's epoch, so that a logout costs one entry and not a reading of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use papaya::HashMap;
use tidegate_domain::Limits;
use tidegate_signing::AdminClaims;
use tidegate_storage::{AccountChanges, SERVICE_PREFIX};

use crate::{Error, Kind};

/// What ended, and what is limited.
#[derive(Default)]
pub(crate) struct Accounts {
    generations: HashMap<String, u32>,
    /// By `jti`, with the time at which they expire and need not be remembered any more.
    ended: HashMap<String, DateTime<Utc>>,
    service: HashMap<String, Option<Arc<Limits>>>,
    /// Tokens that were issued before, in unix seconds, were lost with the past of a database.
    not_before: AtomicI64,
}

impl Accounts {
    pub(crate) fn merge(&self, changes: AccountChanges) {
        let generations = self.generations.pin();
        for (subject, generation) in changes.generations {
            generations.insert(subject, generation);
        }
        let ended = self.ended.pin();
        for (id, expires_at) in changes.ended {
            ended.insert(id, expires_at);
        }
        if let Some(at) = changes.not_before {
            self.not_before.fetch_max(at.timestamp(), Ordering::Relaxed);
        }
        let service = self.service.pin();
        for (subject, account) in changes.service_accounts {
            match account {
                Some(limits) => service.insert(subject, limits.map(Arc::new)),
                None => service.remove(&subject),
            };
        }
    }

    /// What the bearer of a genuine token is limited to.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] with `token_revoked` when the token was ended.
    pub(crate) fn check(&self, claims: &AdminClaims) -> Result<Option<Arc<Limits>>, Error> {
        let accepted = self.generations.pin().get(&claims.subject).copied();
        if claims.generation.unwrap_or(1) < accepted.unwrap_or(1)
            || self.ended.pin().contains_key(&claims.token_id)
            || claims.issued_at.timestamp() < self.not_before.load(Ordering::Relaxed)
        {
            return Err(ended());
        }
        // A token of before there were service accounts is none of theirs, whatever its subject.
        if claims.generation.is_none() || !claims.subject.starts_with(SERVICE_PREFIX) {
            return Ok(None);
        }
        let service = self.service.pin();
        service.get(&claims.subject).cloned().ok_or_else(unknown)
    }

    /// Forgets tokens that have expired.
    pub(crate) fn forget_expired(&self, now: DateTime<Utc>) {
        self.ended.pin().retain(|_, expires_at| *expires_at > now);
    }
}

fn ended() -> Error {
    let message = "the token was ended before its time; log in again, or ask an admin for another";
    Error::new(Kind::Unauthenticated, "token_revoked", message)
}

fn unknown() -> Error {
    let message = "the token's service account was removed, or made a moment ago: then try again in a second";
    Error::new(Kind::Unauthenticated, "token_revoked", message)
}

#[cfg(test)]
mod tests {
    use tidegate_domain::{Role, Verb};

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn claims(subject: &str, generation: Option<u32>) -> AdminClaims {
        AdminClaims {
            subject: subject.to_owned(),
            role: Role::Operator,
            issued_at: at(0),
            expires_at: at(60),
            token_id: format!("{subject}/{generation:?}"),
            generation,
        }
    }

    #[test]
    fn a_generation_ends_all_before_it_and_an_end_one_token() {
        let accounts = Accounts::default();
        for early in [None, Some(1)] {
            assert_eq!(accounts.check(&claims("ann", early)), Ok(None));
        }
        accounts.merge(AccountChanges {
            generations: vec![("ann".into(), 2)],
            ended: vec![("bob/None".into(), at(60))],
            ..AccountChanges::default()
        });
        for early in [None, Some(1)] {
            assert!(accounts.check(&claims("ann", early)).is_err());
        }
        assert_eq!(accounts.check(&claims("ann", Some(2))), Ok(None));
        assert!(accounts.check(&claims("bob", None)).is_err());
        assert_eq!(accounts.check(&claims("bob", Some(1))), Ok(None));
        accounts.forget_expired(at(59));
        assert!(accounts.check(&claims("bob", None)).is_err());
        accounts.forget_expired(at(60));
        assert_eq!(accounts.ended.pin().len(), 0);
    }

    #[test]
    fn a_restored_backup_ends_tokens_that_it_does_not_know() {
        let accounts = Accounts::default();
        accounts.merge(AccountChanges {
            not_before: Some(at(0)),
            ..AccountChanges::default()
        });
        assert_eq!(accounts.check(&claims("ann", Some(1))), Ok(None));
        accounts.merge(AccountChanges {
            not_before: Some(at(1)),
            ..AccountChanges::default()
        });
        for generation in [None, Some(1), Some(5)] {
            assert!(accounts.check(&claims("ann", generation)).is_err());
        }
        accounts.merge(AccountChanges::default());
        assert!(accounts.check(&claims("ann", Some(1))).is_err(), "it stays so");
    }

    #[test]
    fn a_service_account_is_known_or_refused() {
        let accounts = Accounts::default();
        let ci = claims("service:ci", Some(1));
        assert!(accounts.check(&ci).is_err());
        assert_eq!(accounts.check(&claims("service:ci", None)), Ok(None), "of before");
        let limits = Limits::new([], [Verb::Upload]).unwrap();
        accounts.merge(AccountChanges {
            service_accounts: vec![("service:ci".into(), Some(limits.clone()))],
            ..AccountChanges::default()
        });
        assert_eq!(accounts.check(&ci), Ok(limits.map(Arc::new)));
        accounts.merge(AccountChanges {
            service_accounts: vec![("service:ci".into(), None)],
            ..AccountChanges::default()
        });
        assert!(accounts.check(&ci).is_err());
    }
}
