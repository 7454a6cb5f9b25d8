//! Devices that leave the fleet, for a while or for good, and those that come back.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::DeviceId;

use super::epochs::Epoch;
use super::{
    BATCH, Conn, Db, audit, deliveries, devices as device_queries, epochs, gate_entries, policies,
    pseudonyms, rejections, tags as tag_queries,
};
use crate::error::Fault;
use crate::rows::small;
use crate::schema::{
    device_builds, device_packages, device_patches, device_rollouts, devices, enroll_token_uses,
    erased_devices, nudge_deliveries, nudge_unknown_devices, reports,
};
use crate::time::micros;
use crate::{AuditNote, InactiveCursor, Marked};

/// Returns whether the device was in the fleet until now.
pub(crate) fn retire(conn: &mut Conn, id: &DeviceId, note: &AuditNote) -> Result<bool, Fault> {
    let device = hold(conn, id)?;
    let unretired = devices::table.find(device).filter(devices::retired_at.is_null());
    let retired = diesel::update(unretired)
        .set((
            devices::retired_at.eq(micros(note.at)),
            devices::inactive_at.eq(None::<i64>),
            devices::story_removed.eq(false),
            devices::fcm_token.eq(None::<String>),
            devices::fcm_token_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    if retired == 0 {
        return Ok(false);
    }
    set_counted(conn, &[device], false)?;
    gate_entries::leave(conn, &[device])?;
    device_queries::raise_generation(conn, device)?;
    // What failed with a build is counted by its failures: none are left of a device that is gone.
    rejections::forget(conn, device, None)?;
    audit::append(conn, note)?;
    Ok(true)
}

/// Takes a device that enrols back into the fleet, if it had left. The device is held by the transaction.
pub(crate) fn rejoin(conn: &mut Conn, device: i64) -> Result<(), Fault> {
    let away = devices::table.find(device).filter(
        devices::retired_at
            .is_not_null()
            .or(devices::inactive_at.is_not_null()),
    );
    let rejoined = diesel::update(away)
        .set((
            devices::retired_at.eq(None::<i64>),
            devices::inactive_at.eq(None::<i64>),
            devices::story_removed.eq(false),
        ))
        .execute(conn)?;
    if rejoined > 0 {
        set_counted(conn, &[device], true)?;
    }
    Ok(())
}

/// Counts devices again that polled after a long time. They are held by the transaction.
pub(crate) fn return_active(conn: &mut Conn, ids: &[i64]) -> Result<(), Fault> {
    for ids in ids.chunks(BATCH) {
        diesel::update(devices::table.filter(devices::id.eq_any(ids)))
            .set(devices::inactive_at.eq(None::<i64>))
            .execute(conn)?;
        set_counted(conn, ids, true)?;
    }
    Ok(())
}

fn set_counted(conn: &mut Conn, ids: &[i64], counted: bool) -> Result<(), Fault> {
    diesel::update(device_packages::table.filter(device_packages::device_id.eq_any(ids)))
        .set(device_packages::counted.eq(counted))
        .execute(conn)?;
    Ok(())
}

fn hold(conn: &mut Conn, id: &DeviceId) -> Result<i64, Fault> {
    let held = device_queries::hold(conn, &BTreeSet::from([id.as_str()]))?;
    Ok(*held.get(id.as_str()).ok_or_else(|| device_queries::unknown(id))?)
}

/// Removes all that is known of a device. Statistics, being sums, stay.
pub(crate) fn erase(
    conn: &mut Conn,
    id: &DeviceId,
    tags: &[[u8; 32]],
    note: &AuditNote,
) -> Result<(), Fault> {
    let device = hold(conn, id)?;
    let note = AuditNote {
        target: pseudonyms::kept(conn, &note.target)?,
        ..note.clone()
    };
    let given: i64 = devices::table
        .find(device)
        .select(devices::token_generation)
        .first(conn)?;
    deliveries::give_up(conn, device, note.at)?;
    diesel::delete(nudge_deliveries::table.filter(nudge_deliveries::device_id.eq(device))).execute(conn)?;
    diesel::delete(nudge_unknown_devices::table.filter(nudge_unknown_devices::name.eq(id.as_str())))
        .execute(conn)?;
    remove_story(conn, &[device])?;
    tag_queries::forget(conn, device)?;
    policies::forget(conn, device)?;
    diesel::delete(enroll_token_uses::table.filter(enroll_token_uses::device_id.eq(device))).execute(conn)?;
    refuse_tokens(conn, tags, given + 1)?;
    diesel::delete(devices::table.find(device)).execute(conn)?;
    audit::append(conn, &note)
}

/// What devices did with builds, and what they run.
pub(crate) fn remove_story(conn: &mut Conn, ids: &[i64]) -> Result<(), Fault> {
    diesel::delete(reports::table.filter(reports::device_id.eq_any(ids))).execute(conn)?;
    gate_entries::leave(conn, ids)?;
    diesel::delete(device_patches::table.filter(device_patches::device_id.eq_any(ids))).execute(conn)?;
    diesel::delete(device_rollouts::table.filter(device_rollouts::device_id.eq_any(ids))).execute(conn)?;
    diesel::delete(device_builds::table.filter(device_builds::device_id.eq_any(ids))).execute(conn)?;
    diesel::delete(device_packages::table.filter(device_packages::device_id.eq_any(ids))).execute(conn)?;
    Ok(())
}

/// Device tokens prove themselves, and need no row: those of an id that was erased have to be kept out by its tags.
fn refuse_tokens(conn: &mut Conn, tags: &[[u8; 32]], generation: i64) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::Tokens)?;
    for tag in tags {
        diesel::insert_into(erased_devices::table)
            .values((
                erased_devices::tag.eq(tag.to_vec()),
                erased_devices::generation.eq(generation),
                erased_devices::epoch.eq(epoch),
            ))
            .on_conflict(erased_devices::tag)
            .do_update()
            .set((
                erased_devices::generation.eq(generation),
                erased_devices::epoch.eq(epoch),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// The lowest generation that is accepted of each erased device, by its tag, as far as it was written after this value of
/// the tokens' epoch.
pub(crate) fn erased_since(conn: &mut Conn, epoch: i64) -> Result<Vec<([u8; 32], u32)>, Fault> {
    let rows: Vec<(Vec<u8>, i64)> = erased_devices::table
        .filter(erased_devices::epoch.gt(epoch))
        .select((erased_devices::tag, erased_devices::generation))
        .load(conn)?;
    let mut found = Vec::with_capacity(rows.len());
    for (tag, generation) in rows {
        let tag = tag
            .try_into()
            .map_err(|_| crate::Error::corrupt("erased_devices.tag", "is not 32 bytes long"))?;
        found.push((tag, small("erased_devices.generation", generation)?));
    }
    Ok(found)
}

/// Lets a device whose id was erased before go on from there, so that none of its earlier tokens is good again. Returns
/// the generation that is accepted from it.
pub(crate) fn begin_after_erasure(
    conn: &mut Conn,
    device: i64,
    tags: &[[u8; 32]],
    generation: u32,
) -> Result<u32, Fault> {
    let tags = tags.iter().map(|tag| tag.to_vec());
    let least: Option<i64> = erased_devices::table
        .filter(erased_devices::tag.eq_any(tags))
        .select(diesel::dsl::max(erased_devices::generation))
        .first(conn)?;
    let Some(least) = least.filter(|least| *least > i64::from(generation)) else {
        return Ok(generation);
    };
    tag_queries::announce_erased(conn, device)?;
    let epoch = epochs::raise(conn, Epoch::Tokens)?;
    diesel::update(devices::table.find(device))
        .set((
            devices::token_generation.eq(least),
            devices::token_epoch.eq(epoch),
        ))
        .execute(conn)?;
    Ok(small("erased_devices.generation", least)?)
}

/// Some devices that were not seen since then.
struct Unseen {
    /// Their numbers and names.
    devices: Vec<(i64, String)>,
    /// Where to go on; `None` at the end.
    next: Option<InactiveCursor>,
}

/// The next devices that were not seen since then.
fn unseen(conn: &mut Conn, since: i64, after: InactiveCursor, limit: i64) -> Result<Unseen, Fault> {
    let counted = devices::table
        .filter(devices::retired_at.is_null())
        .filter(devices::inactive_at.is_null())
        .limit(limit)
        .into_boxed::<Db>();
    let Some(last_seen) = after.last_seen else {
        let rows: Vec<(i64, String)> = counted
            .filter(devices::last_seen_at.is_null())
            .filter(devices::enrolled_at.lt(since))
            .filter(devices::id.gt(after.id))
            .order(devices::id)
            .select((devices::id, devices::name))
            .load(conn)?;
        let next = match rows.last().filter(|_| is_full(&rows, limit)) {
            Some((id, _)) => InactiveCursor { id: *id, ..after },
            None => InactiveCursor {
                last_seen: Some(i64::MIN),
                id: 0,
            },
        };
        return Ok(Unseen {
            devices: rows,
            next: Some(next),
        });
    };
    let behind = devices::last_seen_at
        .gt(last_seen)
        .or(devices::id.gt(after.id).nullable());
    let rows: Vec<(i64, String, Option<i64>)> = counted
        .filter(devices::last_seen_at.ge(last_seen))
        .filter(devices::last_seen_at.lt(since))
        .filter(behind)
        .order((devices::last_seen_at, devices::id))
        .select((devices::id, devices::name, devices::last_seen_at))
        .load(conn)?;
    let next = rows
        .last()
        .filter(|_| is_full(&rows, limit))
        .map(|(id, _, seen)| InactiveCursor {
            last_seen: *seen,
            id: *id,
        });
    Ok(Unseen {
        devices: rows.into_iter().map(|(id, name, _)| (id, name)).collect(),
        next,
    })
}

fn is_full<T>(rows: &[T], limit: i64) -> bool {
    i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit)
}

pub(crate) fn mark_inactive(
    conn: &mut Conn,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    after: InactiveCursor,
    limit: u32,
) -> Result<Marked, Fault> {
    let since = micros(since);
    let Unseen { devices: found, next } = unseen(conn, since, after, limit.into())?;
    let held = hold_all(conn, &found)?;
    // Asked again, as a device may have polled while it was waited for.
    let unseen = devices::table
        .filter(devices::id.eq_any(&held))
        .filter(devices::retired_at.is_null())
        .filter(devices::inactive_at.is_null())
        .filter(
            devices::last_seen_at.lt(since).or(devices::last_seen_at
                .is_null()
                .and(devices::enrolled_at.lt(since))
                .nullable()),
        );
    let marked: Vec<i64> = diesel::update(unseen)
        .set(devices::inactive_at.eq(micros(now)))
        .returning(devices::id)
        .get_results(conn)?;
    set_counted(conn, &marked, false)?;
    Ok(Marked {
        devices: marked.len() as u64,
        next,
    })
}

fn hold_all(conn: &mut Conn, found: &[(i64, String)]) -> Result<Vec<i64>, Fault> {
    let names: BTreeSet<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
    Ok(device_queries::hold(conn, &names)?.into_values().collect())
}

pub(crate) fn unmark_inactive(
    conn: &mut Conn,
    since: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<u64, Fault> {
    #[derive(QueryableByName)]
    #[diesel(table_name = devices)]
    struct Found {
        id: i64,
        name: String,
    }
    // In the words of the index.
    let sql = format!(
        "SELECT id, name FROM devices
         WHERE inactive_at IS NOT NULL AND coalesce(last_seen_at, enrolled_at) >= {}
         ORDER BY coalesce(last_seen_at, enrolled_at) LIMIT {limit}",
        since.map_or(i64::MIN + 1, micros)
    );
    let found: Vec<Found> = diesel::sql_query(sql).load(conn)?;
    let found: Vec<(i64, String)> = found.into_iter().map(|row| (row.id, row.name)).collect();
    let held = hold_all(conn, &found)?;
    return_active(conn, &held)?;
    Ok(held.len() as u64)
}

/// Removes the stories of devices that were retired before then, of at most so many. Returns of how many.
pub(crate) fn remove_old_stories(conn: &mut Conn, before: DateTime<Utc>, limit: u32) -> Result<u64, Fault> {
    let before = micros(before);
    let found: Vec<(i64, String)> = devices::table
        .filter(devices::retired_at.is_not_null())
        .filter(diesel::dsl::not(devices::story_removed))
        .filter(devices::retired_at.lt(before))
        .order(devices::retired_at)
        .limit(limit.into())
        .select((devices::id, devices::name))
        .load(conn)?;
    let held = hold_all(conn, &found)?;
    // Asked again, as a device may have enrolled while it was waited for.
    let retired = devices::table
        .filter(devices::id.eq_any(&held))
        .filter(devices::retired_at.lt(before));
    let emptied: Vec<i64> = diesel::update(retired)
        .set(devices::story_removed.eq(true))
        .returning(devices::id)
        .get_results(conn)?;
    remove_story(conn, &emptied)?;
    Ok(emptied.len() as u64)
}
