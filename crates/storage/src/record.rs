//! The record: what makes it show when the audit log or an account was changed behind the server's back.
//!
//! Whoever can write the database can compute hashes as well as we do, so hashes alone show accidents and no intent. The
//! record has a key that is not in the database in the clear. Each audit entry bears a MAC over its hash, which covers all
//! entries before it; each user and each service account bears one over what decides on what they may do.
//!
//! This module computes; how the key is kept is the caller's to know. A [`Store`] is given the key once, by
//! [`Store::use_record_key`]. Where none was made yet, everything is written without MACs, as by earlier versions.
//! Where one was made and not given, nothing that needs a MAC can be written: see [`Error::RecordClosed`].
//!
//! Queries find the key through [`key`], as all of a query runs on one thread. An argument would go through every
//! statement that ends in an audit entry, which is nearly all.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// A key of HMAC-SHA256.
#[derive(Clone)]
pub struct RecordKey(Hmac<Sha256>);

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(…)")
    }
}

/// The record's key as it is kept: encrypted with something that belongs to one master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Names the master key.
    pub master_key: String,
    /// What opens with it.
    pub wrapped: Vec<u8>,
}

/// The record's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How many audit entries there were before it, which have hashes and no MACs.
    pub bare_entries: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// The Ed25519 key that heads of the audit log are verified with.
    pub public_key: [u8; 32],
}

/// Accounts whose rows are not as the server wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tampered {
    /// Users, by their names; at most [`MAX_TAMPERED`].
    pub users: Vec<String>,
    /// Service accounts, by their names; at most [`MAX_TAMPERED`].
    pub service_accounts: Vec<String>,
}

/// How many accounts of a kind are told.
pub const MAX_TAMPERED: usize = 100;

/// Where a store's engine looks for the key.
pub(crate) type KeyCell = Arc<OnceLock<RecordKey>>;

impl RecordKey {
    /// Over a random secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The MAC over texts in their order, of which none can be read as others.
    fn mac(&self, kind: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [kind.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    pub(crate) fn entry(&self, hash: &[u8]) -> Tag {
        Tag(self.mac("audit entry", &[hash]))
    }

    pub(crate) fn record(&self, bare_entries: i64, sealed_at: i64, public_key: &[u8]) -> Tag {
        let parts: [&[u8]; 3] = [&bare_entries.to_be_bytes(), &sealed_at.to_be_bytes(), public_key];
        Tag(self.mac("record", &parts))
    }

    /// Of a user: all that decides whether and as what they may log in. The generation keeps an earlier row from being
    /// put back.
    pub(crate) fn user(&self, user: &UserParts<'_>) -> Tag {
        let (disabled, generation) = (moment_bytes(user.disabled_at), user.generation.to_be_bytes());
        let parts: [&[u8]; 6] = [
            user.name.as_bytes(),
            user.role.as_bytes(),
            user.password_hash.as_bytes(),
            &user.created_at.to_be_bytes(),
            &disabled,
            &generation,
        ];
        Tag(self.mac("user", &parts))
    }

    /// Of a service account: its name, its role, its limits and whether it was removed.
    pub(crate) fn service_account(&self, account: &AccountParts<'_>) -> Tag {
        let limits: &[u8] = account.limits.map_or(b"", |limits| limits.as_bytes());
        let removed = moment_bytes(account.removed_at);
        let parts: [&[u8]; 6] = [
            account.name.as_bytes(),
            account.role.as_bytes(),
            &[u8::from(account.limits.is_some())],
            limits,
            &account.created_at.to_be_bytes(),
            &removed,
        ];
        Tag(self.mac("service account", &parts))
    }
}

/// What a user's MAC covers.
pub(crate) struct UserParts<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) password_hash: &'a str,
    pub(crate) created_at: i64,
    pub(crate) disabled_at: Option<i64>,
    pub(crate) generation: i64,
}

/// What a service account's MAC covers.
pub(crate) struct AccountParts<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) limits: Option<&'a str>,
    pub(crate) created_at: i64,
    pub(crate) removed_at: Option<i64>,
}

/// An empty text for none, which no time is.
fn moment_bytes(at: Option<i64>) -> Vec<u8> {
    at.map(|at| at.to_be_bytes().to_vec()).unwrap_or_default()
}

/// A MAC that is to be written or compared.
pub(crate) struct Tag(Hmac<Sha256>);

impl Tag {
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.finalize().into_bytes().to_vec()
    }

    /// In a time that does not depend on where they differ.
    pub(crate) fn is(self, stored: Option<&[u8]>) -> bool {
        stored.is_some_and(|stored| self.0.verify_slice(stored).is_ok())
    }
}

thread_local! {
    static KEY: RefCell<Option<RecordKey>> = const { RefCell::new(None) };
}

/// Runs a job whose queries find this key.
pub(crate) fn with_key<T>(key: Option<RecordKey>, job: impl FnOnce() -> T) -> T {
    struct Before(Option<RecordKey>);
    impl Drop for Before {
        fn drop(&mut self) {
            KEY.set(self.0.take());
        }
    }
    // Put back also when the job panics: the thread goes on to serve others.
    let _before = Before(KEY.replace(key));
    job()
}

/// The key of the store whose query runs on this thread.
pub(crate) fn key() -> Option<RecordKey> {
    KEY.with_borrow(Clone::clone)
}

impl Store {
    /// Gives this store and its clones the record's key. The first one that is given stays.
    pub fn use_record_key(&self, key: RecordKey) {
        let _ = self.record_key().set(key);
    }

    /// The record's key as it is kept, for each master key that was used; none when it was not made yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn wrapped_record_keys(&self) -> Result<Vec<WrappedKey>, Error> {
        run!(self, read, record::wrapped())
    }

    /// Begins the record with a new key: seals the audit entries and the accounts that are there, and writes an audit entry
    /// when there are any. Returns whether it did; another server may have been faster, and then its key counts. This
    /// store uses the key only after [`Store::use_record_key`].
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn begin_record(
        &self,
        key: RecordKey,
        public_key: [u8; 32],
        wrapped: Vec<WrappedKey>,
        audit: AuditNote,
    ) -> Result<bool, Error> {
        run!(self, write, record::begin(&key, &public_key, &wrapped, &audit))
    }

    /// Keeps the record's key for further master keys. Those that have it already keep what they have.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn add_wrapped_record_keys(
        &self,
        wrapped: Vec<WrappedKey>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        run!(self, write, record::add_wrapped(&wrapped, now))
    }

    /// How the record began; `None` before it has.
    ///
    /// # Errors
    /// [`Error::RecordClosed`] without the key; [`Error::RecordTampered`] when it is not as the server wrote it.
    pub async fn sealed(&self) -> Result<Option<Sealed>, Error> {
        run!(self, read, record::sealed())
    }

    /// The accounts that the server did not write as they are.
    ///
    /// # Errors
    /// [`Error::RecordClosed`] without the key.
    pub async fn tampered_accounts(&self) -> Result<Tampered, Error> {
        run!(self, snapshot, record::tampered())
    }
}
