//! The record's statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::json;

use super::{Conn, audit, lock, service_accounts, users};
use crate::error::Fault;
use crate::record::{self, MAX_TAMPERED};
use crate::schema::{audit_log, record as record_table, record_keys};
use crate::time::{micros, moment};
use crate::{AuditNote, Error, RecordKey, Sealed, Tampered, WrappedKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = record_table)]
struct RecordRow {
    id: i64,
    bare_entries: i64,
    sealed_at: i64,
    public_key: Vec<u8>,
    mac: Vec<u8>,
}

pub(crate) fn wrapped(conn: &mut Conn) -> Result<Vec<WrappedKey>, Fault> {
    let rows: Vec<(String, Vec<u8>)> = record_keys::table
        .select((record_keys::master_key, record_keys::wrapped))
        .order(record_keys::created_at.desc())
        .load(conn)?;
    let keys = rows
        .into_iter()
        .map(|(master_key, wrapped)| WrappedKey { master_key, wrapped });
    Ok(keys.collect())
}

pub(crate) fn add_wrapped(conn: &mut Conn, wrapped: &[WrappedKey], now: DateTime<Utc>) -> Result<(), Fault> {
    for key in wrapped {
        diesel::insert_into(record_keys::table)
            .values((
                record_keys::master_key.eq(&key.master_key),
                record_keys::wrapped.eq(&key.wrapped),
                record_keys::created_at.eq(micros(now)),
            ))
            .on_conflict(record_keys::master_key)
            .do_nothing()
            .execute(conn)?;
    }
    Ok(())
}

/// Whether there is a record, be its key given or not.
pub(crate) fn is_there(conn: &mut Conn) -> Result<bool, Fault> {
    let rows: i64 = record_table::table.count().get_result(conn)?;
    Ok(rows > 0)
}

/// The key, where there is a record; `None` where there is none.
pub(crate) fn key(conn: &mut Conn) -> Result<Option<RecordKey>, Fault> {
    match record::key() {
        None if is_there(conn)? => Err(Error::RecordClosed.into()),
        key => Ok(key),
    }
}

pub(crate) fn sealed(conn: &mut Conn) -> Result<Option<Sealed>, Fault> {
    let Some(key) = key(conn)? else {
        return Ok(None);
    };
    let row: Option<RecordRow> = record_table::table
        .select(RecordRow::as_select())
        .first(conn)
        .optional()?;
    let row = row.ok_or(Error::RecordTampered("its row is gone"))?;
    let tag = key.record(row.bare_entries, row.sealed_at, &row.public_key);
    if !tag.is(Some(&row.mac)) {
        return Err(Error::RecordTampered("its row is another one").into());
    }
    Ok(Some(Sealed {
        bare_entries: u64::try_from(row.bare_entries).map_err(|fault| Error::corrupt("record", fault))?,
        at: moment(row.sealed_at)?,
        public_key: row
            .public_key
            .try_into()
            .map_err(|_| Error::corrupt("record.public_key", "is not 32 bytes long"))?,
    }))
}

pub(crate) fn begin(
    conn: &mut Conn,
    key: &RecordKey,
    public_key: &[u8; 32],
    wrapped: &[WrappedKey],
    note: &AuditNote,
) -> Result<bool, Fault> {
    // Whoever starts at the same time waits here.
    lock::audit_chain(conn)?;
    if is_there(conn)? {
        return Ok(false);
    }
    let last: Option<i64> = audit_log::table
        .order(audit_log::seq.desc())
        .select(audit_log::seq)
        .first(conn)
        .optional()?;
    let (bare_entries, sealed_at) = (last.unwrap_or(0), micros(note.at));
    let row = RecordRow {
        id: 1,
        bare_entries,
        sealed_at,
        public_key: public_key.to_vec(),
        mac: key.record(bare_entries, sealed_at, public_key).bytes(),
    };
    diesel::insert_into(record_table::table)
        .values(&row)
        .execute(conn)?;
    add_wrapped(conn, wrapped, note.at)?;
    record::with_key(Some(key.clone()), || seal(conn, bare_entries, note))?;
    Ok(true)
}

/// Takes what is there for genuine, once.
fn seal(conn: &mut Conn, entries: i64, note: &AuditNote) -> Result<(), Fault> {
    let (users, accounts) = (users::sign_all(conn)?, service_accounts::sign_all(conn)?);
    if entries == 0 && users == 0 && accounts == 0 {
        return Ok(());
    }
    let note = AuditNote {
        after: Some(json!({ "entries": entries, "users": users, "service_accounts": accounts })),
        ..note.clone()
    };
    audit::append(conn, &note)
}

pub(crate) fn tampered(conn: &mut Conn) -> Result<Tampered, Fault> {
    if key(conn)?.is_none() {
        return Ok(Tampered::default());
    }
    let first = |mut names: Vec<String>| {
        names.truncate(MAX_TAMPERED);
        names
    };
    Ok(Tampered {
        users: first(users::tampered(conn)?),
        service_accounts: first(service_accounts::tampered(conn)?),
    })
}
