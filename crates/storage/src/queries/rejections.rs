//! Rejections' statements: which builds devices gave up, and giving a device another try.
//!
//! They are columns of `device_builds`. A report that rejects a build is written with the rest of its row, see
//! [`histories`].

use std::collections::BTreeSet;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use tidegate_domain::{BuildId, BuildRejection, DeviceId};

use super::histories::{self, BuildKey};
use super::{Conn, audit, devices};
use crate::device_build::rejection;
use crate::error::Fault;
use crate::rows::device_id;
use crate::schema::{device_builds, devices as device_table};
use crate::time::micros;
use crate::{AuditNote, RejectionChange};

/// Device, build, and the columns that [`rejection`] reads.
type RejectionRow = (String, i64, Option<i64>, Option<i64>);

macro_rules! rejection_rows {
    () => {
        device_builds::table.inner_join(device_table::table).select((
            device_table::name,
            device_builds::build_id,
            device_builds::rejected_generation,
            device_builds::rejected_until_at,
        ))
    };
}

/// What devices gave up of these builds.
pub(crate) fn of_builds(
    conn: &mut Conn,
    builds: &[BuildId],
) -> Result<Vec<(DeviceId, BuildRejection)>, Fault> {
    let ids: Vec<i64> = builds.iter().map(|build| build.0).collect();
    let rows: Vec<RejectionRow> = rejection_rows!()
        .filter(device_builds::rejected_generation.is_not_null())
        .filter(device_builds::build_id.eq_any(ids))
        .load(conn)?;
    let mut found = Vec::with_capacity(rows.len());
    for (name, build, generation, until) in rows {
        if let Some(rejection) = rejection(generation, until)? {
            found.push((device_id(&name)?, (BuildId(build), rejection)));
        }
    }
    Ok(found)
}

/// What changed after this epoch.
pub(crate) fn since(conn: &mut Conn, epoch: i64) -> Result<Vec<RejectionChange>, Fault> {
    let rows: Vec<RejectionRow> = rejection_rows!()
        .filter(device_builds::rejection_epoch.gt(epoch))
        // In the words of the index, which a bound 0 is not.
        .filter(sql::<Bool>("device_builds.rejection_epoch > 0"))
        .load(conn)?;
    let mut found = Vec::with_capacity(rows.len());
    for (name, build, generation, until) in rows {
        found.push((device_id(&name)?, BuildId(build), rejection(generation, until)?));
    }
    Ok(found)
}

/// Gives a device another try on an operator's behalf. Returns of how many builds.
pub(crate) fn lift(
    conn: &mut Conn,
    id: &DeviceId,
    build: Option<BuildId>,
    note: &AuditNote,
) -> Result<usize, Fault> {
    let held = devices::hold(conn, &BTreeSet::from([id.as_str()]))?;
    let device = *held.get(id.as_str()).ok_or_else(|| devices::unknown(id))?;
    let lifted = Some(micros(note.at));
    let forgotten = clear_failures(conn, device, build, lifted)?;
    if forgotten > 0 {
        audit::append(conn, note)?;
    }
    Ok(forgotten)
}

/// Forgets what a device gave up, and its failures, of one build or of all. The device is held by the transaction.
pub(crate) fn forget(conn: &mut Conn, device: i64, build: Option<BuildId>) -> Result<usize, Fault> {
    clear_failures(conn, device, build, None)
}

/// Clears failures and rejections. With `lifted` a rejection stays as one that was lifted then.
fn clear_failures(
    conn: &mut Conn,
    device: i64,
    build: Option<BuildId>,
    lifted: Option<i64>,
) -> Result<usize, Fault> {
    let mut failed = device_builds::table
        .filter(device_builds::device_id.eq(device))
        .filter(
            device_builds::rejected_generation
                .gt(0)
                .or(device_builds::failures.gt(0)),
        )
        .select(device_builds::build_id)
        .into_boxed();
    if let Some(build) = build {
        failed = failed.filter(device_builds::build_id.eq(build.0));
    }
    let failed: Vec<i64> = failed.load(conn)?;
    let of_device = device_builds::table.filter(device_builds::device_id.eq(device));
    diesel::update(of_device.filter(device_builds::build_id.eq_any(&failed)))
        .set((
            device_builds::failures.eq(0),
            device_builds::rejected_generation.eq(lifted.map(|_| 0)),
            device_builds::rejected_until_at.eq(lifted),
        ))
        .execute(conn)?;
    let keys: BTreeSet<BuildKey> = failed.into_iter().map(|build| (device, build)).collect();
    histories::announce(conn, &keys)?;
    Ok(keys.len())
}
