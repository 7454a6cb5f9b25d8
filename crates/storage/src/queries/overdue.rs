//! Overdue devices' statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use tidegate_domain::RolloutId;

use super::device_conditions::ALONE;
use super::{BATCH, Conn, Db};
use crate::error::Fault;
use crate::schema::{builds, device_packages, device_rollouts, rollouts};
use crate::time::micros;
use crate::{Error, MAX_OVERDUE_DEVICES, OverdueCounts};

/// Written out, because a partial index serves only a condition without a bound value.
const UNFINISHED: &str = "device_rollouts.offered_at IS NOT NULL AND device_rollouts.installed_at IS NULL";

/// No version: where a rollout takes nobody back.
const NO_VERSION: i64 = -1;

/// A rollout whose deadline has passed, as far as its devices are judged by it.
#[derive(Clone, Copy, Queryable)]
pub(super) struct Late {
    rollout: i64,
    package: i64,
    version: i64,
    takes_back: Option<i64>,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    devices: i64,
}

/// Those of these rollouts that serve and whose deadline has passed.
fn late(conn: &mut Conn, ids: Option<&[i64]>, now: DateTime<Utc>, limit: i64) -> Result<Vec<Late>, Fault> {
    let mut query = rollouts::table
        .inner_join(builds::table)
        .filter(rollouts::serving)
        .filter(rollouts::install_deadline_at.le(micros(now)))
        .order(rollouts::id.desc())
        .limit(limit)
        .select((
            rollouts::id,
            rollouts::package_id,
            builds::version_code,
            rollouts::takes_back_version,
        ))
        .into_boxed::<Db>();
    if let Some(ids) = ids {
        query = query.filter(rollouts::id.eq_any(ids.to_vec()));
    }
    Ok(query.load(conn)?)
}

pub(crate) fn newest(conn: &mut Conn, now: DateTime<Utc>, limit: u32) -> Result<OverdueCounts, Fault> {
    let late = late(conn, None, now, limit.into())?;
    counted(conn, &late)
}

pub(crate) fn of(conn: &mut Conn, ids: &[RolloutId], now: DateTime<Utc>) -> Result<OverdueCounts, Fault> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let mut counts = OverdueCounts::new();
    for ids in ids.chunks(BATCH) {
        let late = late(conn, Some(ids), now, i64::MAX)?;
        counts.extend(counted(conn, &late)?);
    }
    Ok(counts)
}

/// The rollout of a filter; none when none of its devices is overdue yet.
pub(super) fn named(conn: &mut Conn, id: RolloutId, now: DateTime<Utc>) -> Result<Option<Late>, Fault> {
    let known: i64 = rollouts::table
        .filter(rollouts::id.eq(id.0))
        .count()
        .get_result(conn)?;
    if known == 0 {
        return Err(Error::not_found(format!("rollout {id}")).into());
    }
    Ok(late(conn, Some(&[id.0]), now, 1)?.pop())
}

fn counted(conn: &mut Conn, late: &[Late]) -> Result<OverdueCounts, Fault> {
    let sql = format!(
        "SELECT count(*) AS devices FROM (SELECT DISTINCT device_rollouts.device_id FROM device_rollouts \
         JOIN device_packages ON device_packages.device_id = device_rollouts.device_id \
         WHERE device_rollouts.rollout_id = $1 AND {UNFINISHED} AND device_packages.package_id = $2 \
         AND device_packages.counted AND (device_packages.version_code < $3 OR device_packages.version_code = $4) \
         LIMIT {MAX_OVERDUE_DEVICES}) AS overdue"
    );
    let count = |of: &Late| {
        let counted: Counted = diesel::sql_query(&sql)
            .bind::<BigInt, _>(of.rollout)
            .bind::<BigInt, _>(of.package)
            .bind::<BigInt, _>(of.version)
            .bind::<BigInt, _>(of.takes_back.unwrap_or(NO_VERSION))
            .get_result(conn)?;
        Ok((RolloutId(of.rollout), u64::try_from(counted.devices).unwrap_or(0)))
    };
    late.iter().map(count).collect()
}

/// The numbers of overdue devices behind this one, ascending.
pub(super) fn devices(conn: &mut Conn, of: Late, after: i64, limit: i64) -> Result<Vec<i64>, Fault> {
    let judged = device_packages::version_code
        .lt(of.version)
        .or(device_packages::version_code.eq(of.takes_back.unwrap_or(NO_VERSION)));
    let query = device_rollouts::table
        .inner_join(device_packages::table.on(device_packages::device_id.eq(device_rollouts::device_id)))
        .filter(device_rollouts::rollout_id.eq(of.rollout))
        .filter(diesel::dsl::sql::<Bool>(UNFINISHED))
        .filter(device_rollouts::device_id.gt(after))
        .filter(device_packages::package_id.eq(of.package))
        .filter(device_packages::counted)
        .filter(judged)
        .order(device_rollouts::device_id)
        .limit(limit)
        .select(device_rollouts::device_id)
        .distinct();
    Ok(query.load(conn)?)
}

/// Whether the device `d` is overdue.
pub(super) fn condition(of: Late) -> String {
    let takes_back = of.takes_back.unwrap_or(NO_VERSION);
    format!(
        "EXISTS (SELECT 1 FROM device_rollouts \
         JOIN device_packages ON device_packages.device_id = device_rollouts.device_id \
         WHERE device_rollouts.device_id = d.id AND device_rollouts.rollout_id = {} AND {UNFINISHED} \
         AND device_packages.package_id = {} AND device_packages.counted \
         AND (device_packages.version_code < {} OR device_packages.version_code = {takes_back}){ALONE}",
        of.rollout, of.package, of.version
    )
}
