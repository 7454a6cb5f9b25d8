//! The audit log: who changed what, in a chain that shows any later edit.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::store::run;
use crate::{Error, Page, Paged, Store};

/// Who asks for a change, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The subject of the credential.
    pub subject: String,
    /// The role that it acted in.
    pub role: String,
    /// The request that it came with.
    pub request_id: Option<String>,
    /// The time of the change.
    pub now: DateTime<Utc>,
}

impl Actor {
    /// What the log is to say of a change by this actor; states before and after can be added.
    pub fn note(&self, action: &'static str, target: impl Into<String>) -> AuditNote {
        AuditNote {
            actor: self.subject.clone(),
            role: self.role.clone(),
            action,
            target: target.into(),
            before: None,
            after: None,
            request_id: self.request_id.clone(),
            at: self.now,
        }
    }
}

/// An entry as the caller words it. It is written in the transaction of the change that it tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditNote {
    /// The subject of the credential.
    pub actor: String,
    /// The role that it acted in.
    pub role: String,
    /// What was done, such as `ota.promote`.
    pub action: &'static str,
    /// To what, such as `package/com.example.app`. A known device's id becomes its pseudonym in the log.
    pub target: String,
    /// How it stood before.
    pub before: Option<Value>,
    /// How it stands afterwards.
    pub after: Option<Value>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its place in the chain: 1, 2, 3, …
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The subject of the credential.
    pub actor: String,
    /// The role that it acted in.
    pub role: String,
    /// What was done.
    pub action: String,
    /// To what. A device is named by its id while it is known, whatever the entry says.
    pub target: String,
    /// The pseudonym that stands in the entry, and that `hash` covers, in place of a device's id. Entries of before there
    /// were pseudonyms have none.
    pub pseudonym: Option<String>,
    /// How it stood before.
    pub before: Option<Value>,
    /// How it stands afterwards.
    pub after: Option<Value>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// SHA-256 over the entry before it and all of the above.
    pub hash: [u8; 32],
}

/// Which entries; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this subject.
    pub actor: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// On this target. A device is named by its id.
    pub target: Option<String>,
    /// At this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
}

/// Where the chain is broken: this entry is not the one that was written, or does not follow the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first entry that does not fit.
    pub seq: i64,
    /// How many entries before it do.
    pub whole: u64,
}

impl Store {
    /// The entries that match, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn audit(&self, filter: AuditFilter, page: Page) -> Result<Paged<AuditEntry>, Error> {
        run!(self, snapshot, audit::list(&filter, &page))
    }

    /// Walks the whole chain, in bounded memory, and returns how many entries it has, or where it is broken.
    ///
    /// It finds an entry that was edited, removed or slipped in, also by somebody who computed all hashes anew: entries
    /// that were written since the record began must bear its MAC. Of earlier ones it finds what does not fit the entry
    /// that sealed them. Entries cut off at the end leave a shorter chain that is whole in itself: a witness finds
    /// that, see [`Store::audit_head`].
    ///
    /// # Errors
    /// [`Error::RecordClosed`] without the record's key; [`Error::RecordTampered`] when the record itself was changed;
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn verify_audit(&self) -> Result<Result<u64, Broken>, Error> {
        run!(self, snapshot, audit::verify())
    }

    /// The number and the hash of the last entry, for keeping them somewhere else.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn audit_head(&self) -> Result<Option<(i64, [u8; 32])>, Error> {
        run!(self, read, audit::head())
    }

    /// The hashes of the entries with these numbers, as far as there are such entries, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn audit_hashes(&self, seqs: Vec<i64>) -> Result<Vec<(i64, [u8; 32])>, Error> {
        run!(self, snapshot, audit::hashes(&seqs))
    }

    /// Writes an entry that tells of no change in the tables, such as a login: whoever is to hold a rollout on a full
    /// disk has to get in first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn note(&self, note: AuditNote) -> Result<(), Error> {
        run!(self, urgent, audit::append(&note))
    }
}
