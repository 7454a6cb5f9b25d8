//! Statements for how devices fail with a build. Each reads an index of failures alone, up to a bound.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use tidegate_domain::BuildId;

use super::Conn;
use super::device_walks::fate;
use super::statement::Statement;
use crate::device_filter::FailureFate;
use crate::error::Fault;
use crate::failures::{BuildFailures, FailureReason, MAX_FAILURE_REASONS, MAX_FAILURES_COUNTED};
use crate::rows::small;
use crate::time::micros;

/// How many models and API levels are told of each reason.
const SPLIT: usize = 5;

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    devices: i64,
}

#[derive(QueryableByName)]
struct ReasonRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<Text>)]
    model: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    sdk: Option<i64>,
    #[diesel(sql_type = BigInt)]
    devices: i64,
}

#[derive(QueryableByName)]
struct TrendRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    last_day: i64,
    #[diesel(sql_type = BigInt)]
    day_before: i64,
    #[diesel(sql_type = BigInt)]
    reports: i64,
}

pub(crate) fn of_build(conn: &mut Conn, build: BuildId, now: DateTime<Utc>) -> Result<BuildFailures, Fault> {
    let mut failures = BuildFailures {
        failing: count(conn, build, FailureFate::Failing)?,
        given_up: count(conn, build, FailureFate::GivenUp)?,
        recovered: count(conn, build, FailureFate::Recovered)?,
        ..BuildFailures::default()
    };
    let rows: Vec<ReasonRow> = reasons(build).load(conn)?;
    let counted: u64 = rows.iter().map(|row| row.devices.unsigned_abs()).sum();
    let mut by_reason: HashMap<(String, String), FailureReason> = HashMap::new();
    for row in rows {
        add(&mut by_reason, row)?;
    }
    let mut reported = 0;
    for row in trend(build, now).load::<TrendRow>(conn)? {
        reported += row.reports.unsigned_abs();
        let key = (row.status, row.reason);
        let reason = by_reason.entry(key.clone()).or_insert_with(|| none_of(key));
        reason.last_day = row.last_day.unsigned_abs();
        reason.day_before = row.day_before.unsigned_abs();
    }
    let fates = [failures.failing, failures.given_up, failures.recovered];
    let most = fates.into_iter().chain([counted, reported]).max();
    failures.is_cut = most.is_some_and(|most| most >= MAX_FAILURES_COUNTED);
    failures.reasons = told(by_reason);
    Ok(failures)
}

/// The most frequent first, each with its most frequent models and levels.
fn told(by_reason: HashMap<(String, String), FailureReason>) -> Vec<FailureReason> {
    let mut reasons: Vec<FailureReason> = by_reason.into_values().collect();
    reasons.sort_by(|one, other| {
        let frequent = (other.devices, other.last_day).cmp(&(one.devices, one.last_day));
        frequent.then_with(|| (&one.reason, &one.status).cmp(&(&other.reason, &other.status)))
    });
    reasons.truncate(MAX_FAILURE_REASONS);
    for reason in &mut reasons {
        reason
            .models
            .sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        reason.models.truncate(SPLIT);
        reason
            .levels
            .sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        reason.levels.truncate(SPLIT);
    }
    reasons
}

fn none_of((status, reason): (String, String)) -> FailureReason {
    FailureReason {
        status,
        reason,
        devices: 0,
        last_day: 0,
        day_before: 0,
        models: vec![],
        levels: vec![],
    }
}

fn add(by_reason: &mut HashMap<(String, String), FailureReason>, row: ReasonRow) -> Result<(), Fault> {
    let key = (row.status, row.reason);
    let reason = by_reason.entry(key.clone()).or_insert_with(|| none_of(key));
    let devices = row.devices.unsigned_abs();
    let level = row.sdk.map(|sdk| small("device_search.sdk", sdk)).transpose()?;
    reason.devices += devices;
    match reason.models.iter_mut().find(|(model, _)| *model == row.model) {
        Some((_, known)) => *known += devices,
        None => reason.models.push((row.model, devices)),
    }
    match reason.levels.iter_mut().find(|(known, _)| *known == level) {
        Some((_, known)) => *known += devices,
        None => reason.levels.push((level, devices)),
    }
    Ok(())
}

fn count(conn: &mut Conn, build: BuildId, became: FailureFate) -> Result<u64, Fault> {
    let condition = fate(became);
    let statement = Statement::of(format!(
        "SELECT count(*) AS devices FROM (SELECT 1 AS one FROM device_builds
         WHERE build_id = {build} AND {condition} LIMIT {MAX_FAILURES_COUNTED}) AS f"
    ));
    let counted: Vec<CountRow> = statement.load(conn)?;
    Ok(counted.first().map_or(0, |row| row.devices.unsigned_abs()))
}

/// The devices whose last report named a reason, by that, model and API level. A failure that was lifted, by somebody or as
/// the device enrolled anew, is no device's trouble any more: it is among no fate, and not here either.
fn reasons(build: BuildId) -> Statement {
    Statement::of(format!(
        "SELECT f.last_status AS status, f.last_reason AS reason, s.model, s.sdk, count(*) AS devices
         FROM (SELECT device_id, last_status, last_reason FROM device_builds
               WHERE build_id = {build} AND last_reason IS NOT NULL AND last_status IS NOT NULL
                 AND (failures > 0 OR rejected_generation IS NOT NULL
                      OR last_status NOT IN ('install_failed', 'verify_failed'))
               LIMIT {MAX_FAILURES_COUNTED}) AS f
         LEFT JOIN device_search s ON s.device_id = f.device_id
         GROUP BY f.last_status, f.last_reason, s.model, s.sdk"
    ))
}

/// The devices that reported each reason in the last two days, the newest reports first.
fn trend(build: BuildId, now: DateTime<Utc>) -> Statement {
    let (day, two) = (micros(now - TimeDelta::days(1)), micros(now - TimeDelta::days(2)));
    Statement::of(format!(
        "SELECT r.status, r.reason,
           count(DISTINCT CASE WHEN r.reported_at >= {day} THEN r.device_id END) AS last_day,
           count(DISTINCT CASE WHEN r.reported_at < {day} THEN r.device_id END) AS day_before,
           count(*) AS reports
         FROM (SELECT status, reason, reported_at, device_id FROM reports
               WHERE build_id = {build} AND reason IS NOT NULL AND reported_at >= {two}
               ORDER BY reported_at DESC LIMIT {MAX_FAILURES_COUNTED}) AS r
         GROUP BY r.status, r.reason"
    ))
}
