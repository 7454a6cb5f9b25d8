//! The statements on restorations.

use chrono::{DateTime, Utc};
use diesel::dsl::max;
use diesel::prelude::*;
use serde_json::json;

use super::epochs::Epoch;
use super::{Conn, accounts, audit, epochs, skip_numbers};
use crate::error::Fault;
use crate::rows::clean;
use crate::schema::restorations;
use crate::time::{micros, moment, moment_if};
use crate::{AuditNote, GENERATIONS_SKIPPED, NUMBERS_SKIPPED, Restoration};

/// The tables whose numbers devices and people remember.
const NUMBERED: [&str; 5] = ["builds", "rollouts", "nudge_campaigns", "experiments", "policies"];

pub(crate) fn note(conn: &mut Conn, note: &AuditNote) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::People)?;
    accounts::skip_generations(conn, GENERATIONS_SKIPPED, epoch, note.at)?;
    for table in NUMBERED {
        skip_numbers(conn, table, NUMBERS_SKIPPED)?;
    }
    diesel::insert_into(restorations::table)
        .values((
            restorations::restored_at.eq(micros(note.at)),
            restorations::restored_by.eq(clean(&note.actor)),
        ))
        .execute(conn)?;
    let note = AuditNote {
        after: Some(json!({ "numbers_skipped": NUMBERS_SKIPPED })),
        ..note.clone()
    };
    audit::append(conn, &note)
}

/// When the last restoration was; what was issued before it is refused.
pub(crate) fn last(conn: &mut Conn) -> Result<Option<DateTime<Utc>>, Fault> {
    let last: Option<i64> = restorations::table
        .select(max(restorations::restored_at))
        .get_result(conn)?;
    Ok(moment_if(last)?)
}

pub(crate) fn open(conn: &mut Conn) -> Result<Option<Restoration>, Fault> {
    let last: Option<(i64, String)> = restorations::table
        .filter(restorations::dismissed_at.is_null())
        .order(restorations::id.desc())
        .select((restorations::restored_at, restorations::restored_by))
        .first(conn)
        .optional()?;
    let Some((at, by)) = last else { return Ok(None) };
    let at = moment(at)?;
    Ok(Some(Restoration { at, by }))
}

pub(crate) fn dismiss(conn: &mut Conn, note: &AuditNote) -> Result<(), Fault> {
    let open = restorations::table.filter(restorations::dismissed_at.is_null());
    let dismissed = diesel::update(open)
        .set(restorations::dismissed_at.eq(micros(note.at)))
        .execute(conn)?;
    if dismissed == 0 {
        return Ok(());
    }
    audit::append(conn, note)
}
