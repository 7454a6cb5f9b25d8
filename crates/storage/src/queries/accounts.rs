//! The statements on what ends admin tokens.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::Limits;

use super::epochs::Epoch;
use super::{Conn, audit, epochs};
use crate::error::Fault;
use crate::rows::{clean, from_json, small};
use crate::schema::{account_generations, admin_tokens, ended_tokens, service_accounts};
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
    let accounts: Vec<(String, Option<String>, Option<i64>)> = service_accounts::table
        .filter(service_accounts::epoch.gt(since))
        .select((
            service_accounts::name,
            service_accounts::limits_json,
            service_accounts::removed_at,
        ))
        .load(conn)?;
    let generations: Result<_, Error> = generations
        .into_iter()
        .map(|(subject, generation)| Ok((subject, small("account_generations.generation", generation)?)))
        .collect();
    let ended: Result<_, Error> = ended
        .into_iter()
        .map(|(id, expires_at)| Ok((id, moment(expires_at)?)))
        .collect();
    let accounts: Result<_, Error> = accounts
        .into_iter()
        .map(|(name, limits, removed_at)| {
            let account = match removed_at {
                None => Some(self::limits(limits)?),
                Some(_) => None,
            };
            Ok((service_subject(&name), account))
        })
        .collect();
    Ok(AccountChanges {
        generations: generations?,
        ended: ended?,
        service_accounts: accounts?,
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
