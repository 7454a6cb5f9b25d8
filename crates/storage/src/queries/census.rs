//! Counting the fleet.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{self as domain, PackageName};

use super::{BATCH, Conn, conditions, execute_on, rows};
use crate::error::Fault;
use crate::rows::{package_name, version};
use crate::schema::{device_packages, devices, packages, version_hours};
use crate::time::{hour, micros, moment};
use crate::{
    Census, Condition, Error, MAX_CENSUS_ROWS, MAX_STAT_HOURS, MAX_VERSIONS_KEPT, PackageCensus, Told,
    VersionCensus, VersionHour,
};

/// Written out, because a partial index serves only a condition without a bound value.
pub(crate) const HAS_FAILED: &str = "device_builds.failures > 0";

pub(crate) fn take(conn: &mut Conn, seen_since: DateTime<Utc>) -> Result<Census, Fault> {
    let all: i64 = devices::table.count().get_result(conn)?;
    let retired: i64 = devices::table
        .filter(devices::retired_at.is_not_null())
        .count()
        .get_result(conn)?;
    let inactive: i64 = devices::table
        .filter(devices::inactive_at.is_not_null())
        .count()
        .get_result(conn)?;
    let seen: i64 = devices::table
        .filter(devices::retired_at.is_null())
        .filter(devices::last_seen_at.ge(micros(seen_since)))
        .count()
        .get_result(conn)?;
    Ok(Census {
        devices: unsigned(all - retired - inactive),
        inactive: unsigned(inactive),
        retired: unsigned(retired),
        seen: unsigned(seen),
        packages: by_package(conn, seen_since)?,
    })
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn by_package(conn: &mut Conn, seen_since: DateTime<Utc>) -> Result<Vec<PackageCensus>, Fault> {
    let key = (
        device_packages::package_id,
        device_packages::version_code,
        device_packages::cohort,
    );
    let groups: Vec<(i64, i64, Option<i32>, i64)> = device_packages::table
        .filter(device_packages::counted)
        .group_by(key)
        .select((
            device_packages::package_id,
            device_packages::version_code,
            device_packages::cohort,
            diesel::dsl::count_star(),
        ))
        .order(key)
        .limit(MAX_CENSUS_ROWS)
        .load(conn)?;
    let names: Vec<(i64, String)> = packages::table
        .select((packages::id, packages::name))
        .load(conn)?;
    let names: HashMap<i64, String> = names.into_iter().collect();
    let mut found: BTreeMap<i64, Vec<VersionCensus>> = BTreeMap::new();
    for (package, code, cohort, count) in groups {
        let versions = found.entry(package).or_default();
        let code = version(code)?;
        if versions.last().is_none_or(|last| last.version != code) {
            versions.push(VersionCensus::empty(code));
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let Some(last) = versions.last_mut() else {
            continue;
        };
        let place = cohort.and_then(|cohort| usize::try_from(cohort).ok());
        match place.and_then(|place| last.cohorts.get_mut(place)) {
            Some(slot) => *slot = count,
            None => last.unplaced = count,
        }
    }
    let mut counted = conditions::count(conn, seen_since)?;
    let found = found.into_iter().filter_map(|(id, versions)| {
        let name = names.get(&id)?;
        let counted = counted.remove(&id).unwrap_or_default();
        Some(package_name(name).map(|package| PackageCensus {
            package,
            told: in_order(&Told::ALL, &counted.told),
            conditions: in_order(&Condition::ALL, &counted.conditions),
            taken_back: counted.taken_back,
            versions,
        }))
    });
    let found: Result<Vec<PackageCensus>, Error> = found.collect();
    Ok(found?)
}

/// The counts that there are, in the order in which they are shown.
fn in_order<W: Copy + Eq + Hash>(words: &[W], counts: &HashMap<W, u64>) -> Vec<(W, u64)> {
    let count = |word: &W| Some((*word, *counts.get(word)?));
    words.iter().filter_map(count).collect()
}

/// How many devices run a version of a package.
#[derive(Serialize)]
pub(super) struct CountRow {
    package_id: i64,
    version_code: i64,
    devices: u64,
}

pub(crate) fn record(conn: &mut Conn, census: &Census, at: DateTime<Utc>) -> Result<(), Fault> {
    let oldest = micros(at - TimeDelta::hours(MAX_STAT_HOURS));
    diesel::delete(version_hours::table.filter(version_hours::hour_at.lt(oldest))).execute(conn)?;
    let names: Vec<&str> = census.packages.iter().map(|p| p.package.as_str()).collect();
    let ids = super::devices::package_ids(conn, &names)?;
    let mut counts = Vec::new();
    for package in &census.packages {
        if let Some(id) = ids.get(package.package.as_str()) {
            counts.extend(kept(package).into_iter().map(|(version_code, devices)| CountRow {
                package_id: *id,
                version_code,
                devices,
            }));
        }
    }
    note(conn, ("version_hours", "hour_at"), hour(micros(at)), &counts)?;
    super::minutes::record(conn, &counts, at)
}

/// Notes in a table and its column of times what runs now, in place of what was noted for this time before.
pub(super) fn note(
    conn: &mut Conn,
    (table, column): (&str, &str),
    now: i64,
    counts: &[CountRow],
) -> Result<(), Fault> {
    // A version that nobody runs any more leaves no row of an earlier census standing.
    diesel::sql_query(format!("UPDATE {table} SET devices = 0 WHERE {column} = {now}")).execute(conn)?;
    let source = rows(&[
        ("package_id", "bigint"),
        ("version_code", "bigint"),
        ("devices", "bigint"),
    ]);
    let sql = format!(
        "INSERT INTO {table} (package_id, {column}, version_code, devices)
         SELECT package_id, {now}, version_code, devices FROM {source} WHERE true
         ON CONFLICT (package_id, {column}, version_code) DO UPDATE SET devices = excluded.devices"
    );
    for counts in counts.chunks(BATCH) {
        execute_on(conn, &sql, counts)?;
    }
    Ok(())
}

/// The most frequent versions, and all others as version 0.
fn kept(package: &PackageCensus) -> Vec<(i64, u64)> {
    let mut counts: Vec<(i64, u64)> = package
        .versions
        .iter()
        .filter(|count| count.version.get() > 0)
        .map(|count| (count.version.get(), count.devices()))
        .collect();
    counts.sort_by_key(|(version, devices)| (std::cmp::Reverse(*devices), *version));
    let rare: u64 = counts.iter().skip(MAX_VERSIONS_KEPT).map(|(_, n)| n).sum();
    counts.truncate(MAX_VERSIONS_KEPT);
    if rare > 0 {
        counts.push((0, rare));
    }
    counts.sort_unstable();
    counts
}

pub(crate) fn hours(
    conn: &mut Conn,
    package: &PackageName,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<VersionHour>, Fault> {
    if (to - from).num_hours() > MAX_STAT_HOURS {
        let fault = format!("must be at most {MAX_STAT_HOURS} hours after from");
        return Err(Error::Rule(domain::Error::invalid("to", fault)).into());
    }
    let rows: Vec<(i64, i64, i64)> = version_hours::table
        .inner_join(packages::table)
        .filter(packages::name.eq(package.as_str()))
        .filter(version_hours::hour_at.ge(micros(from)))
        .filter(version_hours::hour_at.lt(micros(to)))
        .filter(version_hours::devices.gt(0))
        .order((version_hours::hour_at, version_hours::version_code))
        .select((
            version_hours::hour_at,
            version_hours::version_code,
            version_hours::devices,
        ))
        .load(conn)?;
    let hours: Result<Vec<VersionHour>, Error> = rows
        .into_iter()
        .map(|(hour, code, devices)| {
            Ok(VersionHour {
                hour: moment(hour)?,
                version: Some(version(code)?).filter(|version| version.get() > 0),
                devices,
            })
        })
        .collect();
    Ok(hours?)
}

pub(crate) fn fill_cohorts(conn: &mut Conn, limit: u32) -> Result<u64, Fault> {
    #[derive(Serialize)]
    struct Placed {
        device_id: i64,
        package_id: i64,
        cohort: u8,
    }
    let missing: Vec<(i64, i64, String)> = device_packages::table
        .inner_join(devices::table)
        .filter(device_packages::cohort.is_null())
        .order((device_packages::device_id, device_packages::package_id))
        .limit(limit.into())
        .select((
            device_packages::device_id,
            device_packages::package_id,
            devices::name,
        ))
        .load(conn)?;
    let placed: Vec<Placed> = missing
        .into_iter()
        .map(|(device_id, package_id, name)| Placed {
            device_id,
            package_id,
            cohort: domain::cohort(&name),
        })
        .collect();
    let sql = format!(
        "UPDATE device_packages SET cohort = v.cohort FROM {}
         WHERE device_packages.device_id = v.device_id AND device_packages.package_id = v.package_id",
        rows(&[
            ("device_id", "bigint"),
            ("package_id", "bigint"),
            ("cohort", "integer")
        ])
    );
    for placed in placed.chunks(BATCH) {
        execute_on(conn, &sql, placed)?;
    }
    Ok(placed.len() as u64)
}
