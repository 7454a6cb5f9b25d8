//! The devices of one condition: where they are found, among others, and which condition devices are in.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::conditions::{Term, releases, terms};
use super::device_walks::{Asked, Walk};
use super::{Conn, device_conditions};
use crate::Told;
use crate::condition::{Condition, ConditionFacts};
use crate::error::Fault;
use crate::schema::{device_builds, device_packages, devices};
use crate::time::micros;

/// The ways to all devices of a condition. No device is on two of them.
pub(super) fn walks(
    conn: &mut Conn,
    package: i64,
    (condition, silent_before): (Condition, DateTime<Utc>),
) -> Result<Vec<Walk>, Fault> {
    let releases = releases(conn, Some(package))?
        .remove(&package)
        .unwrap_or_default();
    let current = releases.current;
    let above = current.map_or(0, |current| current.saturating_add(1))..=i64::MAX;
    Ok(match condition {
        Condition::Current => current
            .map(|code| running(package, &(code..=code)))
            .into_iter()
            .collect(),
        Condition::OtherRollout => {
            let others = releases.serving.iter().copied();
            each_of(
                package,
                others.filter(|version| current != Some(*version)).collect(),
            )
        }
        Condition::Stranded => each_of(package, releases.stranded_on().collect()),
        Condition::Ahead => current.map(|_| running(package, &above)).into_iter().collect(),
        Condition::Silent => {
            let before = i64::MIN..=micros(silent_before).saturating_sub(1);
            vec![
                Walk::never_seen(Asked::Nothing),
                Walk::seen(Asked::Nothing, before, false),
            ]
        }
        Condition::Failing => {
            let terms = terms(conn, Some(package))?;
            let mut builds: Vec<i64> = terms.iter().map(|(_, term)| term.build).collect();
            builds.sort_unstable();
            builds.dedup();
            // An empty list is none to PostgreSQL.
            match builds.is_empty() {
                true => vec![],
                false => vec![Walk::failing_with_any(&builds)],
            }
        }
        // What is not released need not have been told so: a package's last release may have been ended.
        Condition::NotReleased if !releases.serves => told_any(package, |_| true, &(0..=i64::MAX)),
        told => {
            let below = 0..=current.map_or(i64::MAX, |current| current - 1);
            told_any(package, |answer| Condition::of_told(answer) == told, &below)
        }
    })
}

/// One after the other: what lies between them may be most of the fleet.
fn each_of(package: i64, mut versions: Vec<i64>) -> Vec<Walk> {
    versions.sort_unstable();
    versions.dedup();
    versions
        .into_iter()
        .map(|version| running(package, &(version..=version)))
        .collect()
}

fn told_any(package: i64, is_asked: impl Fn(Told) -> bool, versions: &RangeInclusive<i64>) -> Vec<Walk> {
    let asked = Told::ALL.into_iter().filter(|told| is_asked(*told));
    asked
        .map(|told| Walk::told(package, &device_conditions::told(told), versions).unasked())
        .collect()
}

/// Those that run the package in one of these versions; whether they are in the condition is still to be asked.
fn running(package: i64, versions: &RangeInclusive<i64>) -> Walk {
    Walk::running(package, versions).unasked()
}

/// The conditions of those of these devices that count for the package.
pub(super) fn among(
    conn: &mut Conn,
    package: i64,
    silent_before: DateTime<Utc>,
    ids: &[i64],
) -> Result<HashMap<i64, Condition>, Fault> {
    let releases = releases(conn, Some(package))?
        .remove(&package)
        .unwrap_or_default();
    let terms = terms(conn, Some(package))?;
    let builds: Vec<i64> = terms.iter().map(|(_, term)| term.build).collect();
    let failed: Vec<(i64, i64)> = device_builds::table
        .filter(device_builds::build_id.eq_any(builds))
        .filter(device_builds::device_id.eq_any(ids.to_vec()))
        .filter(device_builds::failures.gt(0))
        .select((device_builds::device_id, device_builds::build_id))
        .load(conn)?;
    let failed: HashSet<(i64, i64)> = failed.into_iter().collect();
    let rows: Vec<(i64, i64, Option<String>, Option<i64>)> = device_packages::table
        .inner_join(devices::table)
        .filter(device_packages::counted)
        .filter(device_packages::package_id.eq(package))
        .filter(device_packages::device_id.eq_any(ids.to_vec()))
        .select((
            device_packages::device_id,
            device_packages::version_code,
            device_packages::standing,
            devices::last_seen_at,
        ))
        .load(conn)?;
    let silent_before = micros(silent_before);
    let condition = |(device, version, told, seen): (i64, i64, Option<String>, Option<i64>)| {
        let fails =
            |(_, term): &(i64, Term)| term.concerns(version) && failed.contains(&(device, term.build));
        let facts = ConditionFacts {
            version,
            told: Told::of_stored(told.as_deref()),
            is_silent: seen.is_none_or(|seen| seen < silent_before),
            is_failing: terms.iter().any(fails),
        };
        (device, Condition::of(&facts, &releases))
    };
    Ok(rows.into_iter().map(condition).collect())
}
