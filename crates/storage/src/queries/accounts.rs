//! The statements on what ends admin tokens.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::Limits;

use super::epochs::Epoch;
use super::service_accounts::AccountRow;
use super::{Conn, audit, epochs, record, restorations, users};
use crate::error::Fault;
use crate::rows::{clean, from_json, small};
use crate::schema::{
    account_generations, admin_tokens, ended_tokens, service_accounts, users as users_table,
};
use crate::time::{micros, moment};
use crate::{AccountChanges, AuditNote, Error, service_subject};

pub(crate) fn changes(conn: &mut Conn, since: i64) -> Result<AccountChanges, Fault> {
    let generations: Vec<(String, i64)> = account_generations::table
        .filter(account_generations::epoch.gt(since))
        .select((account_generations::subject, account_generations::generation))
        .load(conn)?;
    let ended: Vec<(String, i64)> = ended_tokens::table
        .filter(ended_tokens::epoch.gt(since))
        .select((ended_tokens::id, ended_tokens::expires_at))
        .load(conn)?;
    let accounts: Vec<AccountRow> = service_accounts::table
        .filter(service_accounts::epoch.gt(since))
        .select(AccountRow::as_select())
        .load(conn)?;
    let key = record::key(conn)?;
    let (accounts, tampered): (Vec<_>, Vec<_>) = accounts
        .into_iter()
        .partition(|account| account.is_genuine(key.as_ref()));
    let generations: Result<_, Error> = generations
        .into_iter()
        .map(|(subject, generation)| Ok((subject, small("account_generations.generation", generation)?)))
        .collect();
    let ended: Result<_, Error> = ended
        .into_iter()
        .map(|(id, expires_at)| Ok((id, moment(expires_at)?)))
        .collect();
    let accounts: Result<Vec<_>, Error> = accounts
        .into_iter()
        .map(|row| {
            let account = match row.removed_at {
                None => Some(self::limits(row.limits_json)?),
                Some(_) => None,
            };
            Ok((service_subject(&row.name), account))
        })
        .collect();
    let tampered: Vec<String> = tampered.iter().map(|row| service_subject(&row.name)).collect();
    // As if they had been removed.
    let mut accounts = accounts?;
    accounts.extend(tampered.iter().map(|subject| (subject.clone(), None)));
    Ok(AccountChanges {
        generations: generations?,
        ended: ended?,
        service_accounts: accounts,
        tampered,
        not_before: restorations::last(conn)?,
    })
}

pub(crate) fn limits(json: Option<String>) -> Result<Option<Limits>, Error> {
    json.map(|json| from_json("service_accounts.limits_json", &json))
        .transpose()
}

pub(crate) fn generation(conn: &mut Conn, subject: &str) -> Result<u32, Fault> {
    let generation: Option<i64> = account_generations::table
        .find(clean(subject))
        .select(account_generations::generation)
        .first(conn)
        .optional()?;
    Ok(small("account_generations.generation", generation.unwrap_or(1))?)
}

/// Ends all tokens that a subject was given so far. `epoch` is what [`epochs::raise`] returned at the beginning.
pub(crate) fn raise_generation(
    conn: &mut Conn,
    subject: &str,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    diesel::insert_into(account_generations::table)
        .values((
            account_generations::subject.eq(clean(subject)),
            account_generations::generation.eq(2),
            account_generations::epoch.eq(epoch),
        ))
        .on_conflict(account_generations::subject)
        .do_update()
        .set((
            account_generations::generation.eq(account_generations::generation + 1),
            account_generations::epoch.eq(epoch),
        ))
        .execute(conn)?;
    let live = admin_tokens::table
        .filter(admin_tokens::subject.eq(clean(subject)))
        .filter(admin_tokens::revoked_at.is_null());
    diesel::update(live)
        .set(admin_tokens::revoked_at.eq(micros(now)))
        .execute(conn)?;
    Ok(())
}

/// Ends all tokens of everybody who is known, by a jump that is larger than what a lost part of the past can have raised.
pub(crate) fn skip_generations(
    conn: &mut Conn,
    by: i64,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let tampered: HashSet<String> = users::tampered(conn)?.into_iter().collect();
    let names: Vec<String> = users_table::table.select(users_table::name).load(conn)?;
    let services: Vec<String> = service_accounts::table
        .select(service_accounts::name)
        .load(conn)?;
    let raised: Vec<String> = account_generations::table
        .select(account_generations::subject)
        .load(conn)?;
    let holders: Vec<String> = admin_tokens::table
        .select(admin_tokens::subject)
        .distinct()
        .load(conn)?;
    let services = services.iter().map(|name| service_subject(name));
    let subjects: BTreeSet<String> = [names.clone(), raised, holders]
        .concat()
        .into_iter()
        .chain(services)
        .collect();
    for subject in &subjects {
        diesel::insert_into(account_generations::table)
            .values((
                account_generations::subject.eq(subject),
                account_generations::generation.eq(1 + by),
                account_generations::epoch.eq(epoch),
            ))
            .on_conflict(account_generations::subject)
            .do_update()
            .set((
                account_generations::generation.eq(account_generations::generation + by),
                account_generations::epoch.eq(epoch),
            ))
            .execute(conn)?;
    }
    for name in names.iter().filter(|name| !tampered.contains(*name)) {
        users::sign(conn, name)?;
    }
    let live = admin_tokens::table.filter(admin_tokens::revoked_at.is_null());
    diesel::update(live)
        .set(admin_tokens::revoked_at.eq(micros(now)))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn end_token(
    conn: &mut Conn,
    id: &str,
    expires_at: DateTime<Utc>,
    note: &AuditNote,
) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::People)?;
    let ended = diesel::insert_into(ended_tokens::table)
        .values((
            ended_tokens::id.eq(clean(id)),
            ended_tokens::expires_at.eq(micros(expires_at)),
            ended_tokens::epoch.eq(epoch),
        ))
        .on_conflict(ended_tokens::id)
        .do_nothing()
        .execute(conn)?;
    if ended == 0 {
        return Ok(());
    }
    let live = admin_tokens::table
        .filter(admin_tokens::token_id.eq(clean(id)))
        .filter(admin_tokens::revoked_at.is_null());
    diesel::update(live)
        .set(admin_tokens::revoked_at.eq(micros(note.at)))
        .execute(conn)?;
    audit::append(conn, note)
}
