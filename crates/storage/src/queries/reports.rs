//! Reports' statements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{BuildId, Consequence, DeviceId, Rejection, Report, ReportStatus};

use super::devices::{self, Installed};
use super::epochs::Epoch;
use super::reasons::{self, Reasons};
use super::responses::{self, Installation};
use super::{BATCH, Conn, builds, epochs, execute_on, rows, stats};
use crate::device_build::{self, Capacity, DeviceBuildRow};
use crate::error::Fault;
use crate::rows::{clean_if, device_id, to_json};
use crate::schema::{device_builds, devices as device_table, reports, rollouts};
use crate::tally::Tally;
use crate::time::micros;
use crate::{Refusal, ReportOutcome};

/// What makes two reports the same, beside the device and the build.
type Key = (i64, i64, String, i64, String);

const KEY_COLUMNS: [(&str, &str); 5] = [
    ("device_id", "bigint"),
    ("build_id", "bigint"),
    ("status", "text"),
    ("attempt", "bigint"),
    ("request_id", "text"),
];

/// A row of `reports`.
#[derive(Serialize)]
struct ReportRow {
    device_id: i64,
    build_id: i64,
    status: String,
    attempt: i64,
    request_id: String,
    reason: Option<String>,
    android_status: Option<i32>,
    message: Option<String>,
    reported_at: i64,
}

impl ReportRow {
    fn of(device_id: i64, report: &Report, at: DateTime<Utc>) -> Self {
        Self {
            device_id,
            build_id: report.build.0,
            status: report.status.as_str().into(),
            attempt: report.attempt.into(),
            request_id: clean_if(report.request_id.as_deref()).unwrap_or_default(),
            reason: clean_if(report.reason.as_deref()),
            android_status: report.android_status,
            message: clean_if(report.message.as_deref()),
            reported_at: micros(at),
        }
    }

    fn key(&self) -> Key {
        (
            self.device_id,
            self.build_id,
            self.status.clone(),
            self.attempt,
            self.request_id.clone(),
        )
    }
}

/// What is known of all devices and builds of a batch, and what the batch changes.
struct ReportBatch {
    devices: HashMap<String, i64>,
    /// Package and version of each build.
    builds: HashMap<i64, (i64, i64)>,
    accounts: BTreeMap<(i64, i64), DeviceBuildRow>,
    touched: BTreeSet<(i64, i64)>,
    tally: Tally,
}

impl ReportBatch {
    fn open<'a>(
        conn: &mut Conn,
        pairs: impl Iterator<Item = (&'a DeviceId, BuildId)> + Clone,
    ) -> Result<Self, Fault> {
        let names: BTreeSet<&str> = pairs.clone().map(|(device, _)| device.as_str()).collect();
        let ids: BTreeSet<i64> = pairs.clone().map(|(_, build)| build.0).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let devices = devices::hold(conn, &names)?;
        let builds = builds::versions(conn, &ids)?;
        let known: BTreeSet<(i64, i64)> = pairs
            .filter(|(_, build)| builds.contains_key(&build.0))
            .filter_map(|(device, build)| Some((*devices.get(device.as_str())?, build.0)))
            .collect();
        let mut accounts = BTreeMap::new();
        for account in devices::accounts(conn, &known)? {
            accounts.insert((account.device_id, account.build_id), account);
        }
        Ok(Self {
            devices,
            builds,
            accounts,
            touched: BTreeSet::new(),
            tally: Tally::default(),
        })
    }

    /// The device's number, if both exist.
    fn find(&self, device: &DeviceId, build: BuildId) -> Result<i64, Refusal> {
        let device = self.devices.get(device.as_str()).ok_or(Refusal::UnknownDevice)?;
        if !self.builds.contains_key(&build.0) {
            return Err(Refusal::UnknownBuild);
        }
        Ok(*device)
    }

    /// The account, to be changed, and the tally that the change is counted in.
    fn account(&mut self, device: i64, build: BuildId) -> (&mut DeviceBuildRow, &mut Tally) {
        let key = (device, build.0);
        let account = self
            .accounts
            .entry(key)
            .or_insert_with(|| DeviceBuildRow::new(device, build.0));
        (account, &mut self.tally)
    }

    fn close(&self, conn: &mut Conn) -> Result<(), Fault> {
        let changed: Vec<&DeviceBuildRow> = self
            .touched
            .iter()
            .filter_map(|key| self.accounts.get(key))
            .collect();
        devices::store_accounts(conn, &changed)?;
        stats::add(conn, &self.tally)
    }
}

pub(crate) fn record(
    conn: &mut Conn,
    batch: &[(DeviceId, Report, DateTime<Utc>)],
) -> Result<Vec<ReportOutcome>, Fault> {
    let mut book = ReportBatch::open(
        conn,
        batch.iter().map(|(device, report, _)| (device, report.build)),
    )?;
    let candidates: Vec<Result<ReportRow, Refusal>> = batch
        .iter()
        .map(|(device, report, at)| {
            let device = book.find(device, report.build)?;
            Ok(ReportRow::of(device, report, *at))
        })
        .collect();
    let mut known = known_keys(conn, candidates.iter().flatten())?;
    let (mut fresh, mut told) = (Vec::new(), Told::default());
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut rejections_changed = false;
    for ((_, report, at), candidate) in batch.iter().zip(candidates) {
        let row = match candidate {
            Ok(row) => row,
            Err(refusal) => {
                outcomes.push(refused(refusal));
                continue;
            }
        };
        let (account, tally) = book.account(row.device_id, report.build);
        let before = account.rejection()?;
        if known.contains(&row.key()) {
            outcomes.push(repeat(before));
            continue;
        }
        let is_taken = match account.room_for(report.status) {
            Capacity::ForAll => true,
            Capacity::ForNews => told.is_news(conn, &row)?,
            Capacity::None => false,
        };
        told.note(&row);
        if !is_taken {
            outcomes.push(refused(Refusal::TooMany));
            continue;
        }
        let consequence = account.take(report, *at, tally);
        rejections_changed |= account.rejection()? != before;
        book.touched.insert((row.device_id, row.build_id));
        known.insert(row.key());
        fresh.push(row);
        outcomes.push(ReportOutcome {
            fresh: true,
            consequence,
            refused: None,
        });
    }
    insert(conn, &fresh)?;
    let installed = installations(&fresh, &book);
    devices::set_installed(conn, &installed)?;
    book.close(conn)?;
    let installed: Vec<Installation> = installed.iter().map(Installed::as_installation).collect();
    responses::installed(conn, &installed)?;
    reasons::add(conn, &reasons_of(&fresh))?;
    if rejections_changed {
        epochs::raise(conn, Epoch::Rejections)?;
    }
    Ok(outcomes)
}

fn refused(refusal: Refusal) -> ReportOutcome {
    ReportOutcome {
        fresh: false,
        consequence: Consequence::None,
        refused: Some(refusal),
    }
}

fn repeat(rejection: Option<Rejection>) -> ReportOutcome {
    ReportOutcome {
        fresh: false,
        consequence: rejection.map_or(Consequence::None, Consequence::Rejected),
        refused: None,
    }
}

/// What was told of an attempt, as far as this batch met it.
#[derive(Default)]
struct Told(HashSet<(i64, i64, String, i64)>);

impl Told {
    fn note(&mut self, row: &ReportRow) {
        let status = row.status.clone();
        self.0.insert((row.device_id, row.build_id, status, row.attempt));
    }

    /// Whether nothing of this status was told in this attempt. Asks the table; so ask only of a device that has
    /// said a lot.
    fn is_news(&self, conn: &mut Conn, row: &ReportRow) -> Result<bool, Fault> {
        let told = (row.device_id, row.build_id, row.status.clone(), row.attempt);
        if self.0.contains(&told) {
            return Ok(false);
        }
        let earlier: i64 = reports::table
            .filter(reports::device_id.eq(row.device_id))
            .filter(reports::build_id.eq(row.build_id))
            .filter(reports::status.eq(&row.status))
            .filter(reports::attempt.eq(row.attempt))
            .count()
            .get_result(conn)?;
        Ok(earlier == 0)
    }
}

/// Which of these reports are in the table already.
fn known_keys<'a>(
    conn: &mut Conn,
    candidates: impl Iterator<Item = &'a ReportRow>,
) -> Result<HashSet<Key>, Fault> {
    #[derive(QueryableByName)]
    #[diesel(table_name = reports)]
    struct KeyRow {
        device_id: i64,
        build_id: i64,
        status: String,
        attempt: i64,
        request_id: String,
    }
    let sql = format!(
        "SELECT r.device_id, r.build_id, r.status, r.attempt, r.request_id
         FROM {} CROSS JOIN reports r
         WHERE r.device_id = v.device_id AND r.build_id = v.build_id AND r.status = v.status
           AND r.attempt = v.attempt AND r.request_id = v.request_id",
        rows(&KEY_COLUMNS)
    );
    let candidates: Vec<&ReportRow> = candidates.collect();
    let mut known = HashSet::new();
    for candidates in candidates.chunks(BATCH) {
        let query = diesel::sql_query(&sql).bind::<diesel::sql_types::Text, _>(to_json(&candidates)?);
        for row in query.load::<KeyRow>(conn)? {
            known.insert((
                row.device_id,
                row.build_id,
                row.status,
                row.attempt,
                row.request_id,
            ));
        }
    }
    Ok(known)
}

fn insert(conn: &mut Conn, fresh: &[ReportRow]) -> Result<(), Fault> {
    let facts = [
        ("reason", "text"),
        ("android_status", "integer"),
        ("message", "text"),
        ("reported_at", "bigint"),
    ];
    let columns: Vec<(&str, &str)> = KEY_COLUMNS.into_iter().chain(facts).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let sql = format!(
        "INSERT INTO reports ({names}) SELECT {names} FROM {}",
        rows(&columns)
    );
    for fresh in fresh.chunks(BATCH) {
        execute_on(conn, &sql, fresh)?;
    }
    Ok(())
}

/// Why devices failed or waited, summed up.
fn reasons_of(fresh: &[ReportRow]) -> Reasons {
    let mut reasons = Reasons::default();
    for row in fresh {
        let status = row.status.parse();
        if matches!(
            status,
            Ok(ReportStatus::VerifyFailed | ReportStatus::InstallFailed | ReportStatus::Deferred)
        ) {
            let reason = row
                .reason
                .clone()
                .or_else(|| row.android_status.map(|code| format!("android_status {code}")));
            reasons.count(
                row.build_id,
                &row.status,
                reason.unwrap_or_default(),
                row.reported_at,
            );
        }
    }
    reasons
}

/// What the devices run after these reports; of several about one package the last counts.
fn installations(fresh: &[ReportRow], book: &ReportBatch) -> Vec<Installed> {
    let names: HashMap<i64, &str> = book
        .devices
        .iter()
        .map(|(name, id)| (*id, name.as_str()))
        .collect();
    let mut latest: BTreeMap<(i64, i64), Installed> = BTreeMap::new();
    for row in fresh {
        let (Some(&(package_id, version_code)), Some(name)) =
            (book.builds.get(&row.build_id), names.get(&row.device_id))
        else {
            continue;
        };
        if row.status != ReportStatus::InstallSuccess.as_str() {
            continue;
        }
        let installed = Installed {
            device_id: row.device_id,
            package_id,
            version_code,
            seen_at: row.reported_at,
            cohort: tidegate_domain::cohort(name),
        };
        let entry = latest.entry((row.device_id, package_id)).or_insert(installed);
        if entry.seen_at <= installed.seen_at {
            *entry = installed;
        }
    }
    latest.into_values().collect()
}

pub(crate) fn record_downloads(
    conn: &mut Conn,
    batch: &[(DeviceId, BuildId, DateTime<Utc>)],
) -> Result<u64, Fault> {
    let mut book = ReportBatch::open(conn, batch.iter().map(|(device, build, _)| (device, *build)))?;
    let mut first = 0;
    for (device, build, at) in batch {
        if let Ok(device) = book.find(device, *build) {
            let (account, tally) = book.account(device, *build);
            if account.download(micros(*at), tally) {
                book.touched.insert((device, build.0));
                first += 1;
            }
        }
    }
    book.close(conn)?;
    Ok(first)
}

pub(crate) fn rejections(conn: &mut Conn) -> Result<Vec<(DeviceId, Rejection)>, Fault> {
    let serving = rollouts::table
        .filter(rollouts::serving)
        .select(rollouts::build_id);
    let rows: Vec<(String, i64, Option<i64>, Option<i64>)> = device_builds::table
        .inner_join(device_table::table)
        .filter(device_builds::rejected_attempt.is_not_null())
        .filter(device_builds::build_id.eq_any(serving))
        .select((
            device_table::name,
            device_builds::build_id,
            device_builds::rejected_attempt,
            device_builds::rejected_until_at,
        ))
        .load(conn)?;
    let mut found = Vec::with_capacity(rows.len());
    for (name, build, attempt, until) in rows {
        if let Some(rejection) = device_build::rejection(build, attempt, until)? {
            found.push((device_id(&name)?, rejection));
        }
    }
    Ok(found)
}
