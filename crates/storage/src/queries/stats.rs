//! Statistics' statements.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{self as domain, BuildId, DeploymentStats, RolloutId};

use super::kept::Kept;
use super::{Conn, builds, gate_counts, rows};
use crate::error::Fault;
use crate::schema::{deployment_stat_hours as hours, deployment_stats as stats, rollout_stats};
use crate::stats::{BuildStats, RolloutStats};
use crate::tally::{Sums, Tally, totals};
use crate::time::{micros, moment, moment_if};
use crate::{Error, HourOfStats, MAX_STAT_HOURS};

type Counters = (i64, i64, i64, i64, i64, i64);

const COUNTERS: [&str; 6] = [
    "total_checks",
    "total_eligible",
    "total_downloads",
    "installs_success",
    "installs_failed",
    "verify_failed",
];

fn into_stats((checks, eligible, downloads, success, failed, verify): Counters) -> DeploymentStats {
    DeploymentStats {
        total_checks: checks,
        total_eligible: eligible,
        total_downloads: downloads,
        installs_success: success,
        installs_failed: failed,
        verify_failed: verify,
    }
}

/// Adds what a batch counted. Builds and rollouts that do not exist are passed over.
pub(crate) fn add(conn: &mut Conn, tally: &Tally) -> Result<(), Fault> {
    let by_hour = tally.build_hours();
    let mut known = BTreeSet::new();
    // One by one in the order of builds: whoever holds a build's row holds its hours and its rollouts' rows as well.
    for total in totals(&by_hour) {
        if add_to_build(conn, &total)? {
            known.insert(total.build_id);
        }
    }
    let is_known = |sums: &Sums| known.contains(&sums.build_id);
    let of_builds: Vec<Sums> = by_hour.into_iter().filter(is_known).collect();
    add_rows(
        conn,
        "deployment_stat_hours",
        &["build_id", "hour_at"],
        false,
        &of_builds,
    )?;
    let of_rollouts = tally.rollout_hours();
    add_rows(
        conn,
        "rollout_stats",
        &["rollout_id", "build_id"],
        true,
        &totals(&of_rollouts),
    )?;
    add_rows(
        conn,
        "rollout_stat_hours",
        &["rollout_id", "build_id", "hour_at"],
        false,
        &of_rollouts,
    )?;
    gate_counts::add(conn, &tally.gates)
}

fn add_to_build(conn: &mut Conn, sums: &Sums) -> Result<bool, Fault> {
    let added: Vec<String> = COUNTERS
        .iter()
        .map(|name| format!("{name} = deployment_stats.{name} + v.{name}"))
        .collect();
    let sql = format!(
        "UPDATE deployment_stats SET {}, {} FROM {} WHERE deployment_stats.build_id = v.build_id",
        added.join(", "),
        latest("deployment_stats", "v"),
        rows(&columns(&["build_id"], true)),
    );
    Ok(Kept::on(&sql, &[*sums])?.run(conn)? == 1)
}

/// The columns of rows of sums with PostgreSQL's names of their types.
fn columns<'a>(key: &[&'a str], has_latest: bool) -> Vec<(&'a str, &'static str)> {
    let latest = has_latest.then_some("last_updated_at");
    let names = key.iter().copied().chain(COUNTERS).chain(latest);
    names.map(|name| (name, "bigint")).collect()
}

/// Batches may be written in another order than they came in.
fn latest(table: &str, new: &str) -> String {
    format!(
        "last_updated_at = CASE WHEN {table}.last_updated_at > {new}.last_updated_at
                           THEN {table}.last_updated_at ELSE {new}.last_updated_at END"
    )
}

/// Adds to the rows of a table, which are made where they are missing.
fn add_rows(
    conn: &mut Conn,
    table: &str,
    key: &[&str],
    has_latest: bool,
    sums: &[Sums],
) -> Result<(), Fault> {
    let columns = columns(key, has_latest);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let exists = if key.contains(&"rollout_id") {
        "EXISTS (SELECT 1 FROM rollouts r JOIN builds b ON b.package_id = r.package_id
                 WHERE r.id = v.rollout_id AND b.id = v.build_id)"
    } else {
        "true"
    };
    let mut updates: Vec<String> = COUNTERS
        .iter()
        .map(|name| format!("{name} = {table}.{name} + excluded.{name}"))
        .collect();
    updates.extend(has_latest.then(|| latest(table, "excluded")));
    let sql = format!(
        "INSERT INTO {table} ({names}) SELECT {names} FROM {source} WHERE {exists}
         ON CONFLICT ({key}) DO UPDATE SET {updates}",
        names = names.join(", "),
        source = rows(&columns),
        key = key.join(", "),
        updates = updates.join(", "),
    );
    for sums in sums.chunks(super::BATCH) {
        Kept::on(&sql, sums)?.run(conn)?;
    }
    Ok(())
}

type Row = (Counters, Option<i64>);

fn into_build_stats((counters, last): Row) -> Result<BuildStats, Error> {
    Ok(BuildStats {
        stats: into_stats(counters),
        last_updated: moment_if(last)?,
    })
}

macro_rules! counters {
    ($table:ident) => {
        (
            $table::total_checks,
            $table::total_eligible,
            $table::total_downloads,
            $table::installs_success,
            $table::installs_failed,
            $table::verify_failed,
        )
    };
}

pub(crate) fn get(conn: &mut Conn, build: BuildId) -> Result<BuildStats, Fault> {
    let row: Option<Row> = stats::table
        .find(build.0)
        .select((counters!(stats), stats::last_updated_at))
        .first(conn)
        .optional()?;
    Ok(into_build_stats(row.ok_or_else(|| builds::unknown(build))?)?)
}

type RolloutRow = (i64, i64, Row);

fn into_rollout_stats((rollout, build, row): RolloutRow) -> Result<RolloutStats, Error> {
    let BuildStats { stats, last_updated } = into_build_stats(row)?;
    Ok(RolloutStats {
        rollout: RolloutId(rollout),
        build: BuildId(build),
        stats,
        last_updated,
    })
}

macro_rules! rollout_columns {
    () => {
        (
            rollout_stats::rollout_id,
            rollout_stats::build_id,
            (counters!(rollout_stats), rollout_stats::last_updated_at),
        )
    };
}

/// What each rollout did with a build, newest rollout first.
pub(crate) fn of_rollouts(conn: &mut Conn, build: BuildId) -> Result<Vec<RolloutStats>, Fault> {
    let rows: Vec<RolloutRow> = rollout_stats::table
        .filter(rollout_stats::build_id.eq(build.0))
        .order(rollout_stats::rollout_id.desc())
        .limit(crate::stats::MAX_ROLLOUTS_OF_BUILD)
        .select(rollout_columns!())
        .load(conn)?;
    let found: Result<Vec<RolloutStats>, Error> = rows.into_iter().map(into_rollout_stats).collect();
    Ok(found?)
}

/// What each of these rollouts did with each of its builds.
pub(crate) fn of_several_rollouts(
    conn: &mut Conn,
    rollouts: &[RolloutId],
) -> Result<Vec<RolloutStats>, Fault> {
    let ids: Vec<i64> = rollouts.iter().map(|id| id.0).collect();
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(super::BATCH) {
        let rows: Vec<RolloutRow> = rollout_stats::table
            .filter(rollout_stats::rollout_id.eq_any(ids))
            .select(rollout_columns!())
            .load(conn)?;
        for row in rows {
            found.push(into_rollout_stats(row)?);
        }
    }
    Ok(found)
}

/// The statistics of those builds that exist.
pub(crate) fn many(conn: &mut Conn, ids: &[BuildId]) -> Result<HashMap<BuildId, DeploymentStats>, Fault> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(super::BATCH) {
        let rows: Vec<(i64, Counters)> = stats::table
            .filter(stats::build_id.eq_any(ids))
            .select((stats::build_id, counters!(stats)))
            .load(conn)?;
        found.extend(rows.into_iter().map(|(id, row)| (BuildId(id), into_stats(row))));
    }
    Ok(found)
}

pub(crate) fn by_hour(
    conn: &mut Conn,
    build: BuildId,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<HourOfStats>, Fault> {
    if (to - from).num_hours() > MAX_STAT_HOURS {
        let fault = format!("must be at most {MAX_STAT_HOURS} hours after from");
        return Err(Error::Rule(domain::Error::invalid("to", fault)).into());
    }
    get(conn, build)?;
    let rows: Vec<(i64, Counters)> = hours::table
        .filter(hours::build_id.eq(build.0))
        .filter(hours::hour_at.ge(micros(from)))
        .filter(hours::hour_at.lt(micros(to)))
        .order(hours::hour_at)
        .select((hours::hour_at, counters!(hours)))
        .load(conn)?;
    let hours: Result<Vec<HourOfStats>, Error> = rows
        .into_iter()
        .map(|(hour, counters)| {
            Ok(HourOfStats {
                hour: moment(hour)?,
                stats: into_stats(counters),
            })
        })
        .collect();
    Ok(hours?)
}
