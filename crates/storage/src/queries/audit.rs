//! The audit log's statements.

use diesel::prelude::*;

use super::{Conn, Db, lock, pseudonyms, record};
use crate::chain::{GENESIS, Link};
use crate::error::Fault;
use crate::rows::{clean, clean_if, from_json, to_json};
use crate::schema::audit_log;
use crate::time::{micros, moment};
use crate::{AuditEntry, AuditFilter, AuditNote, Broken, Error, Page, Paged};

/// How many entries the walk along the chain holds at once.
const STRIDE: i64 = 1000;

/// How many entries one statement looks up.
const HASHES_AT_ONCE: usize = 500;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
struct EntryRow {
    seq: i64,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
    at: i64,
    actor: String,
    role: String,
    action: String,
    target: String,
    before_json: Option<String>,
    after_json: Option<String>,
    request_id: Option<String>,
    mac: Option<Vec<u8>>,
}

impl EntryRow {
    fn computed_hash(&self) -> [u8; 32] {
        let link = Link {
            seq: self.seq,
            at: self.at,
            actor: &self.actor,
            role: &self.role,
            action: &self.action,
            target: &self.target,
            before: self.before_json.as_deref(),
            after: self.after_json.as_deref(),
            request_id: self.request_id.as_deref(),
        };
        link.hash(&self.prev_hash)
    }

    fn into_entry(self) -> Result<AuditEntry, Error> {
        let json = |text: Option<String>| text.map(|text| from_json("audit_log", &text)).transpose();
        Ok(AuditEntry {
            seq: self.seq,
            at: moment(self.at)?,
            actor: self.actor,
            role: self.role,
            action: self.action,
            pseudonym: pseudonyms::in_target(&self.target).map(str::to_owned),
            target: self.target,
            before: json(self.before_json)?,
            after: json(self.after_json)?,
            request_id: self.request_id,
            hash: digest(self.hash)?,
        })
    }
}

/// Last in a transaction: until it ends, nobody else can append.
pub(crate) fn append(conn: &mut Conn, note: &AuditNote) -> Result<(), Fault> {
    lock::audit_chain(conn)?;
    let last: Option<(i64, Vec<u8>)> = audit_log::table
        .order(audit_log::seq.desc())
        .select((audit_log::seq, audit_log::hash))
        .first(conn)
        .optional()?;
    let (seq, prev_hash) = last.unwrap_or((0, GENESIS.to_vec()));
    let mut row = EntryRow {
        seq: seq + 1,
        prev_hash,
        hash: Vec::new(),
        at: micros(note.at),
        actor: clean(&note.actor),
        role: clean(&note.role),
        action: note.action.into(),
        target: pseudonyms::kept(conn, &note.target)?,
        before_json: note.before.as_ref().map(to_json).transpose()?,
        after_json: note.after.as_ref().map(to_json).transpose()?,
        request_id: clean_if(note.request_id.as_deref()),
        mac: None,
    };
    row.hash = row.computed_hash().to_vec();
    row.mac = record::key(conn)?.map(|key| key.entry(&row.hash).bytes());
    diesel::insert_into(audit_log::table).values(&row).execute(conn)?;
    Ok(())
}

pub(crate) fn list(conn: &mut Conn, filter: &AuditFilter, page: &Page) -> Result<Paged<AuditEntry>, Fault> {
    let mut query = audit_log::table
        .select(EntryRow::as_select())
        .order(audit_log::seq.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(audit_log::seq.lt(after));
    }
    if let Some(actor) = &filter.actor {
        query = query.filter(audit_log::actor.eq(clean(actor)));
    }
    if let Some(action) = &filter.action {
        query = query.filter(audit_log::action.eq(clean(action)));
    }
    if let Some(target) = &filter.target {
        let targets = pseudonyms::all_of(conn, target)?;
        query = match &targets[..] {
            // One is walked along the index, several are sorted.
            [target] => query.filter(audit_log::target.eq(target.clone())),
            _ => query.filter(audit_log::target.eq_any(targets)),
        };
    }
    if let Some(from) = filter.from {
        query = query.filter(audit_log::at.ge(micros(from)));
    }
    if let Some(to) = filter.to {
        query = query.filter(audit_log::at.lt(micros(to)));
    }
    let paged = page.paged(query.load(conn)?, |row| row.seq);
    let mut entries = paged.try_map(EntryRow::into_entry)?;
    tell_devices(conn, &mut entries.items)?;
    Ok(entries)
}

/// Names the devices that there are by their ids.
fn tell_devices(conn: &mut Conn, entries: &mut [AuditEntry]) -> Result<(), Fault> {
    let pseudonyms: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.pseudonym.as_deref())
        .collect();
    let told = pseudonyms::resolved(conn, &pseudonyms)?;
    for entry in entries {
        if let Some(target) = entry.pseudonym.as_ref().and_then(|pseudonym| told.get(pseudonym)) {
            entry.target.clone_from(target);
        }
    }
    Ok(())
}

pub(crate) fn verify(conn: &mut Conn) -> Result<Result<u64, Broken>, Fault> {
    let key = record::key(conn)?;
    let bare = record::sealed(conn)?.map_or(u64::MAX, |sealed| sealed.bare_entries);
    let (mut expected, mut whole) = (1_i64, 0_u64);
    let mut previous = GENESIS.to_vec();
    loop {
        let rows: Vec<EntryRow> = audit_log::table
            .filter(audit_log::seq.ge(expected))
            .order(audit_log::seq)
            .limit(STRIDE)
            .select(EntryRow::as_select())
            .load(conn)?;
        if rows.is_empty() {
            // What was sealed is there, and the entry that says so.
            let cut = bare < u64::MAX && bare > 0 && whole <= bare;
            return Ok(if cut {
                Err(Broken { seq: expected, whole })
            } else {
                Ok(whole)
            });
        }
        for row in rows {
            let is_ours = match &key {
                Some(key) if whole >= bare => key.entry(&row.hash).is(row.mac.as_deref()),
                _ => true,
            };
            let fits = is_ours
                && row.seq == expected
                && row.prev_hash == previous
                && row.computed_hash()[..] == row.hash;
            if !fits {
                return Ok(Err(Broken { seq: row.seq, whole }));
            }
            previous = row.hash;
            expected += 1;
            whole += 1;
        }
    }
}

/// The last entry's number and hash.
pub(crate) fn head(conn: &mut Conn) -> Result<Option<(i64, [u8; 32])>, Fault> {
    let last: Option<(i64, Vec<u8>)> = audit_log::table
        .order(audit_log::seq.desc())
        .select((audit_log::seq, audit_log::hash))
        .first(conn)
        .optional()?;
    Ok(last
        .map(|(seq, hash)| Ok::<_, Error>((seq, digest(hash)?)))
        .transpose()?)
}

/// The hashes of these entries, as far as they are there.
pub(crate) fn hashes(conn: &mut Conn, seqs: &[i64]) -> Result<Vec<(i64, [u8; 32])>, Fault> {
    let mut found = Vec::with_capacity(seqs.len());
    for some in seqs.chunks(HASHES_AT_ONCE) {
        let rows: Vec<(i64, Vec<u8>)> = audit_log::table
            .filter(audit_log::seq.eq_any(some))
            .select((audit_log::seq, audit_log::hash))
            .load(conn)?;
        for (seq, hash) in rows {
            found.push((seq, digest(hash)?));
        }
    }
    Ok(found)
}

fn digest(hash: Vec<u8>) -> Result<[u8; 32], Error> {
    hash.try_into()
        .map_err(|_| Error::corrupt("audit_log.hash", "is not 32 bytes long"))
}
