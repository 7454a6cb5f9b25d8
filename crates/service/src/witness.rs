//! The audit log's witness: signed heads of the chain, kept where the server can't take them back.
//!
//! A chain whose end was cut off is whole in itself, and whoever has both the database and the record's key can write
//! another one. Neither fits the heads that a witness was told before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_artifacts::Witness;
use tidegate_signing::{Head, RecordSecret};
use tidegate_storage::Store;

use crate::record::hex;
use crate::{Clock, Error, Kind};

/// A head as it is written: a JSON object on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenHead {
    /// The number of the audit log's last entry.
    seq: i64,
    /// Its hash, in hex.
    hash: String,
    /// When it was signed, in unix seconds.
    signed_at: i64,
    /// The Ed25519 key that signed it, in hex.
    public_key: String,
    /// The signature, in hex.
    signature: String,
}

/// Tells a witness.
pub(crate) struct Heads {
    store: Store,
    secret: Arc<RecordSecret>,
    witness: Witness,
    clock: Arc<dyn Clock>,
    /// The number that was told last.
    told: Option<i64>,
}

impl Heads {
    pub(crate) fn new(
        store: Store,
        secret: Arc<RecordSecret>,
        witness: Witness,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            secret,
            witness,
            clock,
            told: None,
        }
    }

    /// Tells the head, unless it is the one that was told last.
    pub(crate) async fn tell(&mut self) -> Result<(), Error> {
        let Some((seq, hash)) = self.store.audit_head().await? else {
            return Ok(());
        };
        if self.told == Some(seq) {
            return Ok(());
        }
        let head = Head {
            seq,
            hash,
            signed_at: self.clock.now().timestamp(),
        };
        let written = WrittenHead {
            seq,
            hash: hex(&hash),
            signed_at: head.signed_at,
            public_key: hex(&self.secret.public_key()),
            signature: hex(&self.secret.sign(&head)),
        };
        let line =
            serde_json::to_string(&written).map_err(|fault| Error::internal("writing a head", &fault))?;
        // One that was rewritten has another hash, and so another name.
        let name = format!("{seq:020}-{}.json", &written.hash[..16]);
        self.witness.append(&name, &line).await?;
        self.told = Some(seq);
        Ok(())
    }
}

/// What became of the entries that a witness was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// How many heads were compared.
    pub heads: u64,
    /// How many lines are no head, as one that a crash cut off.
    pub unreadable: u64,
    /// The highest entry that was told.
    pub last: Option<i64>,
    /// The first entry that is not as it was told.
    pub fault: Option<WitnessFault>,
}

/// How the audit log contradicts its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessFault {
    /// The entry is gone: the log was cut, or replaced by an earlier one.
    Cut(i64),
    /// The entry is another one.
    Rewritten(i64),
    /// The head of this entry was not signed with the key of this audit log: the head is forged, or the record was begun
    /// anew with another key.
    Unsigned(i64),
}

impl WitnessFault {
    /// The entry's number.
    pub fn seq(self) -> i64 {
        match self {
            Self::Cut(seq) | Self::Rewritten(seq) | Self::Unsigned(seq) => seq,
        }
    }
}

/// Compares the audit log with what a witness was told.
///
/// # Errors
/// [`crate::Kind::Unavailable`].
pub async fn check_witness(store: &Store, witness: &Witness) -> Result<Witnessed, Error> {
    let public_key = store.sealed().await?.map(|sealed| sealed.public_key);
    let public_key = public_key.unwrap_or_default();
    let mut found = Witnessed::default();
    let mut heads = Vec::new();
    for line in witness.lines().await.map_err(|fault| unreadable(&fault))? {
        match serde_json::from_str::<WrittenHead>(&line) {
            Ok(head) => heads.push(head),
            Err(_) => found.unreadable += 1,
        }
    }
    heads.sort_by_key(|head| head.seq);
    found.heads = heads.len() as u64;
    found.last = heads.last().map(|head| head.seq);
    let mut seqs: Vec<i64> = heads.iter().map(|head| head.seq).collect();
    seqs.dedup();
    let hashes: std::collections::HashMap<i64, [u8; 32]> =
        store.audit_hashes(seqs).await?.into_iter().collect();
    found.fault = heads.iter().find_map(|head| {
        let hash = hashes.get(&head.seq);
        fault(head, hash, &public_key)
    });
    Ok(found)
}

fn fault(head: &WrittenHead, hash: Option<&[u8; 32]>, public_key: &[u8; 32]) -> Option<WitnessFault> {
    let is_signed = || {
        let signed = Head {
            seq: head.seq,
            hash: from_hex(&head.hash)?.try_into().ok()?,
            signed_at: head.signed_at,
        };
        Some(signed.is_signed(public_key, &from_hex(&head.signature)?))
    };
    if is_signed() != Some(true) {
        return Some(WitnessFault::Unsigned(head.seq));
    }
    match hash {
        None => Some(WitnessFault::Cut(head.seq)),
        Some(hash) if hex(hash) != head.hash => Some(WitnessFault::Rewritten(head.seq)),
        Some(_) => None,
    }
}

fn unreadable(fault: &tidegate_artifacts::Error) -> Error {
    Error::new(
        Kind::Unavailable,
        "witness_unreadable",
        format!("the witness can't be read: {fault}"),
    )
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect()
}
