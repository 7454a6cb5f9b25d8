//! Statistics' statements.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{self as domain, BuildId, DeploymentStats};

use super::{Conn, builds};
use crate::error::Fault;
use crate::schema::{deployment_stat_hours as hours, deployment_stats as stats};
use crate::tally::Tally;
use crate::time::{micros, moment};
use crate::{Error, HourOfStats, MAX_STAT_HOURS};

type Counts = (i64, i64, i64, i64, i64, i64);

fn into_stats((checks, eligible, downloads, success, failed, verify): Counts) -> DeploymentStats {
    DeploymentStats {
        total_checks: checks,
        total_eligible: eligible,
        total_downloads: downloads,
        installs_success: success,
        installs_failed: failed,
        verify_failed: verify,
    }
}

/// Adds what a batch counted. Builds that do not exist are passed over.
pub(crate) fn add(conn: &mut Conn, tally: &Tally) -> Result<(), Fault> {
    let sums = tally.builds();
    let mut known = Vec::with_capacity(sums.len());
    for (build, sum) in &sums {
        let changed = diesel::update(stats::table.find(build))
            .set((
                stats::total_checks.eq(stats::total_checks + sum.total_checks),
                stats::total_eligible.eq(stats::total_eligible + sum.total_eligible),
                stats::total_downloads.eq(stats::total_downloads + sum.total_downloads),
                stats::installs_success.eq(stats::installs_success + sum.installs_success),
                stats::installs_failed.eq(stats::installs_failed + sum.installs_failed),
                stats::verify_failed.eq(stats::verify_failed + sum.verify_failed),
            ))
            .execute(conn)?;
        if changed == 1 {
            known.push(*build);
        }
    }
    for (build, hour, sum) in tally.hours() {
        if known.binary_search(&build).is_ok() {
            add_hour(conn, build, hour, sum)?;
        }
    }
    Ok(())
}

fn add_hour(conn: &mut Conn, build: i64, hour: i64, sum: &DeploymentStats) -> Result<(), Fault> {
    diesel::insert_into(hours::table)
        .values((
            hours::build_id.eq(build),
            hours::hour_at.eq(hour),
            hours::total_checks.eq(sum.total_checks),
            hours::total_eligible.eq(sum.total_eligible),
            hours::total_downloads.eq(sum.total_downloads),
            hours::installs_success.eq(sum.installs_success),
            hours::installs_failed.eq(sum.installs_failed),
            hours::verify_failed.eq(sum.verify_failed),
        ))
        .on_conflict((hours::build_id, hours::hour_at))
        .do_update()
        .set((
            hours::total_checks.eq(hours::total_checks + sum.total_checks),
            hours::total_eligible.eq(hours::total_eligible + sum.total_eligible),
            hours::total_downloads.eq(hours::total_downloads + sum.total_downloads),
            hours::installs_success.eq(hours::installs_success + sum.installs_success),
            hours::installs_failed.eq(hours::installs_failed + sum.installs_failed),
            hours::verify_failed.eq(hours::verify_failed + sum.verify_failed),
        ))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn get(conn: &mut Conn, build: BuildId) -> Result<DeploymentStats, Fault> {
    let counts: Option<Counts> = stats::table
        .find(build.0)
        .select((
            stats::total_checks,
            stats::total_eligible,
            stats::total_downloads,
            stats::installs_success,
            stats::installs_failed,
            stats::verify_failed,
        ))
        .first(conn)
        .optional()?;
    Ok(into_stats(counts.ok_or_else(|| builds::unknown(build))?))
}

/// The statistics of those builds that exist.
pub(crate) fn many(conn: &mut Conn, ids: &[BuildId]) -> Result<HashMap<BuildId, DeploymentStats>, Fault> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(super::BATCH) {
        let rows: Vec<(i64, Counts)> = stats::table
            .filter(stats::build_id.eq_any(ids))
            .select((
                stats::build_id,
                (
                    stats::total_checks,
                    stats::total_eligible,
                    stats::total_downloads,
                    stats::installs_success,
                    stats::installs_failed,
                    stats::verify_failed,
                ),
            ))
            .load(conn)?;
        found.extend(
            rows.into_iter()
                .map(|(id, counts)| (BuildId(id), into_stats(counts))),
        );
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
    let rows: Vec<(i64, Counts)> = hours::table
        .filter(hours::build_id.eq(build.0))
        .filter(hours::hour_at.ge(micros(from)))
        .filter(hours::hour_at.lt(micros(to)))
        .order(hours::hour_at)
        .select((
            hours::hour_at,
            (
                hours::total_checks,
                hours::total_eligible,
                hours::total_downloads,
                hours::installs_success,
                hours::installs_failed,
                hours::verify_failed,
            ),
        ))
        .load(conn)?;
    let hours: Result<Vec<HourOfStats>, Error> = rows
        .into_iter()
        .map(|(hour, counts)| {
            Ok(HourOfStats {
                hour: moment(hour)?,
                stats: into_stats(counts),
            })
        })
        .collect();
    Ok(hours?)
}
