//! Reports' statements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{BuildId, Capacity, Consequence, DeviceId, Rejection, Report, ReportStatus};

use super::devices::{self, Installed};
use super::gate_counts::{self, Reported};
use super::histories::{BuildKey, Histories, RolloutKey};
use super::kept::Kept;
use super::patch_outcomes::{self, Said};
use super::reasons::{self, Reasons};
use super::responses::{self, Installation};
use super::{BATCH, Conn, builds, gate_entries, rows};
use crate::error::Fault;
use crate::rows::clean_if;
use crate::schema::reports;
use crate::time::micros;
use crate::{Fetched, NewDownload, NewReport, Refusal, ReportOutcome};

/// What makes two reports the same, beside the device and the build.
type Key = (i64, i64, String, i64, String);

const KEY_COLUMNS: [(&str, &str); 5] = [
    ("device_id", "bigint"),
    ("build_id", "bigint"),
    ("status", "text"),
    ("retry_generation", "bigint"),
    ("request_id", "text"),
];

/// A row of `reports`.
#[derive(Serialize)]
struct ReportRow {
    device_id: i64,
    build_id: i64,
    status: String,
    retry_generation: i64,
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
            retry_generation: report.retry_generation.into(),
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
            self.retry_generation,
            self.request_id.clone(),
        )
    }
}

/// What a batch's reports are about.
struct Subjects {
    devices: HashMap<String, i64>,
    /// Package and version of each build.
    builds: HashMap<i64, (i64, i64)>,
    rollouts: HashMap<i64, Reported>,
    histories: Histories,
}

/// A device's word about a build, with the rollout that it proves.
struct About<'a> {
    device: &'a DeviceId,
    build: BuildId,
    rollout: Option<i64>,
}

impl Subjects {
    fn read(conn: &mut Conn, about: &[About<'_>]) -> Result<Self, Fault> {
        let names: BTreeSet<&str> = about.iter().map(|about| about.device.as_str()).collect();
        let ids: BTreeSet<i64> = about.iter().map(|about| about.build.0).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let devices = devices::hold_present(conn, &names)?.ids;
        let builds = builds::versions(conn, &ids)?;
        let mut subjects = Self {
            devices,
            builds,
            rollouts: HashMap::new(),
            histories: Histories::default(),
        };
        let keys: BTreeSet<BuildKey> = about
            .iter()
            .filter_map(|about| subjects.build_key(about).ok())
            .collect();
        subjects.histories.read_builds(conn, &keys)?;
        let recorded = keys.iter().filter_map(|key| subjects.histories.offered_by(*key));
        let named = about.iter().filter_map(|about| about.rollout);
        let ids: BTreeSet<i64> = recorded.chain(named).collect();
        subjects.rollouts = gate_counts::reported(conn, &ids.into_iter().collect::<Vec<_>>())?;
        let keys: BTreeSet<RolloutKey> = about
            .iter()
            .filter_map(|about| subjects.rollout_key(about).ok())
            .collect();
        subjects.histories.read_rollouts(conn, &keys)?;
        Ok(subjects)
    }

    /// The device's number and the build's, if both exist.
    fn build_key(&self, about: &About<'_>) -> Result<BuildKey, Refusal> {
        let device = self
            .devices
            .get(about.device.as_str())
            .ok_or(Refusal::UnknownDevice)?;
        if !self.builds.contains_key(&about.build.0) {
            return Err(Refusal::UnknownBuild);
        }
        Ok((*device, about.build.0))
    }

    /// The same with the rollout that offered the build: the one that is proven, else the one that was recorded last.
    fn rollout_key(&self, about: &About<'_>) -> Result<RolloutKey, Refusal> {
        let key = self.build_key(about)?;
        let (package, _) = self.builds[&key.1];
        let is_of_package = |id: &i64| self.rollouts.get(id).is_some_and(|of| of.package == package);
        let rollout = about
            .rollout
            .filter(is_of_package)
            .or_else(|| self.histories.offered_by(key))
            .ok_or(Refusal::NotOffered)?;
        Ok((key.0, rollout, key.1))
    }

    /// The report as it is counted, and what it is about.
    fn judge(&self, new: &NewReport) -> Result<(RolloutKey, Report), Refusal> {
        let key = self.rollout_key(&About::of_report(new))?;
        let own = self.rollouts.get(&key.1).map_or(1, |of| of.retry_generation);
        let stated = new.attempt.unwrap_or(own);
        if stated > own {
            return Err(Refusal::AttemptTooHigh);
        }
        let report = Report {
            retry_generation: stated,
            ..new.report.clone()
        };
        Ok((key, report))
    }

    /// Notes the offer that a report or a download proves.
    fn offer(&mut self, key: RolloutKey, at: DateTime<Utc>) {
        let gate = self.rollouts.get(&key.1).and_then(|of| of.gate);
        self.histories.offer(key, at, gate);
    }
}

impl<'a> About<'a> {
    fn of_report(new: &'a NewReport) -> Self {
        Self {
            device: &new.device,
            build: new.report.build,
            rollout: new.rollout.map(|rollout| rollout.0),
        }
    }

    fn of_download(new: &'a NewDownload) -> Self {
        Self {
            device: &new.device,
            build: new.build,
            rollout: new.rollout.map(|rollout| rollout.0),
        }
    }
}

pub(crate) fn record(conn: &mut Conn, batch: &[NewReport]) -> Result<Vec<ReportOutcome>, Fault> {
    let about: Vec<About<'_>> = batch.iter().map(About::of_report).collect();
    let mut subjects = Subjects::read(conn, &about)?;
    let candidates: Vec<Result<(RolloutKey, Report, ReportRow), Refusal>> = batch
        .iter()
        .map(|new| {
            let (key, report) = subjects.judge(new)?;
            let row = ReportRow::of(key.0, &report, new.at);
            Ok((key, report, row))
        })
        .collect();
    let rows = candidates.iter().flatten().map(|(_, _, row)| row);
    let mut known = known_keys(conn, rows)?;
    let (mut fresh, mut told, mut patched) = (Vec::new(), Told::default(), Vec::new());
    let mut outcomes = Vec::with_capacity(batch.len());
    for (new, candidate) in batch.iter().zip(candidates) {
        let (key, report, row) = match candidate {
            Ok(candidate) => candidate,
            Err(refusal) => {
                outcomes.push(refused(refusal));
                continue;
            }
        };
        let of_build = (key.0, key.2);
        if known.contains(&row.key()) {
            outcomes.push(repeat(subjects.histories.rejection(of_build)));
            continue;
        }
        let is_taken = match subjects.histories.capacity_for(of_build, report.status) {
            Capacity::Any => true,
            Capacity::FirstOfItsKind => told.is_first(conn, &row)?,
            Capacity::Full => false,
        };
        told.note(&row);
        if !is_taken {
            outcomes.push(refused(Refusal::TooMany));
            continue;
        }
        subjects.offer(key, new.at);
        let consequence = subjects.histories.take(key, &report, new.at);
        known.insert(row.key());
        fresh.push((key, row));
        outcomes.push(ReportOutcome {
            fresh: true,
            consequence,
            refused: None,
            patch: None,
        });
        if let Some(outcome) = new.patch {
            patched.push(Said {
                key,
                retry_generation: report.retry_generation,
                outcome,
                answer: outcomes.len() - 1,
            });
        }
    }
    for (answer, counted) in patch_outcomes::count(conn, &patched)? {
        outcomes[answer].patch = Some(counted);
    }
    write(conn, &subjects, &fresh)?;
    let heard = batch.iter().map(|new| (&new.device, new.at));
    gate_entries::hear(conn, heard, &subjects.devices)?;
    Ok(outcomes)
}

fn write(conn: &mut Conn, subjects: &Subjects, fresh: &[(RolloutKey, ReportRow)]) -> Result<(), Fault> {
    insert(conn, &fresh.iter().map(|(_, row)| row).collect::<Vec<_>>())?;
    let installed = installations(fresh, subjects);
    devices::set_installed(conn, &installed)?;
    subjects.histories.write(conn)?;
    let installed: Vec<Installation> = installed.iter().map(Installed::as_installation).collect();
    responses::installed(conn, &installed)?;
    reasons::add(conn, &reasons_of(fresh))?;
    subjects.histories.announce_rejections(conn)
}

fn refused(refusal: Refusal) -> ReportOutcome {
    ReportOutcome {
        fresh: false,
        consequence: Consequence::None,
        refused: Some(refusal),
        patch: None,
    }
}

fn repeat(rejection: Option<Rejection>) -> ReportOutcome {
    ReportOutcome {
        fresh: false,
        consequence: rejection.map_or(Consequence::None, Consequence::Rejected),
        refused: None,
        patch: None,
    }
}

/// What was told of an attempt, as far as this batch met it.
#[derive(Default)]
struct Told(HashSet<(i64, i64, String, i64)>);

impl Told {
    fn note(&mut self, row: &ReportRow) {
        let status = row.status.clone();
        self.0
            .insert((row.device_id, row.build_id, status, row.retry_generation));
    }

    /// Whether nothing of this status was told in this attempt. Asks the table; so ask only of a device that has
    /// said a lot.
    fn is_first(&self, conn: &mut Conn, row: &ReportRow) -> Result<bool, Fault> {
        let told = (
            row.device_id,
            row.build_id,
            row.status.clone(),
            row.retry_generation,
        );
        if self.0.contains(&told) {
            return Ok(false);
        }
        let earlier: i64 = reports::table
            .filter(reports::device_id.eq(row.device_id))
            .filter(reports::build_id.eq(row.build_id))
            .filter(reports::status.eq(&row.status))
            .filter(reports::retry_generation.eq(row.retry_generation))
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
        retry_generation: i64,
        request_id: String,
    }
    let sql = format!(
        "SELECT r.device_id, r.build_id, r.status, r.retry_generation, r.request_id
         FROM {} CROSS JOIN reports r
         WHERE r.device_id = v.device_id AND r.build_id = v.build_id AND r.status = v.status
           AND r.retry_generation = v.retry_generation AND r.request_id = v.request_id",
        rows(&KEY_COLUMNS)
    );
    let candidates: Vec<&ReportRow> = candidates.collect();
    let mut known = HashSet::new();
    for candidates in candidates.chunks(BATCH) {
        let query = Kept::on(&sql, candidates)?;
        for row in query.load::<KeyRow>(conn)? {
            known.insert((
                row.device_id,
                row.build_id,
                row.status,
                row.retry_generation,
                row.request_id,
            ));
        }
    }
    Ok(known)
}

fn insert(conn: &mut Conn, fresh: &[&ReportRow]) -> Result<(), Fault> {
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
        Kept::on(&sql, fresh)?.run(conn)?;
    }
    Ok(())
}

/// Why devices failed or waited, summed up.
fn reasons_of(fresh: &[(RolloutKey, ReportRow)]) -> Reasons {
    let mut reasons = Reasons::default();
    for ((_, rollout, _), row) in fresh {
        let status = row.status.parse();
        if matches!(
            status,
            Ok(ReportStatus::VerifyFailed | ReportStatus::InstallFailed | ReportStatus::Deferred)
        ) {
            let reason = row
                .reason
                .clone()
                .or_else(|| row.android_status.map(|code| format!("android_status {code}")));
            let of = (row.build_id, *rollout);
            reasons.count(of, &row.status, reason.unwrap_or_default(), row.reported_at);
        }
    }
    reasons
}

/// What the devices run after these reports; of several about one package the last counts.
fn installations(fresh: &[(RolloutKey, ReportRow)], subjects: &Subjects) -> Vec<Installed> {
    let names: HashMap<i64, &str> = subjects
        .devices
        .iter()
        .map(|(name, id)| (*id, name.as_str()))
        .collect();
    let mut latest: BTreeMap<(i64, i64), Installed> = BTreeMap::new();
    for (_, row) in fresh {
        let (Some(&(package_id, version_code)), Some(name)) =
            (subjects.builds.get(&row.build_id), names.get(&row.device_id))
        else {
            continue;
        };
        if row.status != ReportStatus::InstallSuccess.as_str() {
            continue;
        }
        let installed = Installed::reported(row.device_id, package_id, version_code, row.reported_at, name);
        match latest.entry((row.device_id, package_id)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(installed);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                if entry.get().seen_at <= installed.seen_at {
                    entry.insert(installed);
                }
            }
        }
    }
    latest.into_values().collect()
}

pub(crate) fn record_downloads(conn: &mut Conn, batch: &[NewDownload]) -> Result<u64, Fault> {
    let about: Vec<About<'_>> = batch.iter().map(About::of_download).collect();
    let mut subjects = Subjects::read(conn, &about)?;
    let (mut first, mut patched) = (0, Vec::new());
    for (new, about) in batch.iter().zip(&about) {
        let Ok(key) = subjects.rollout_key(about) else {
            continue;
        };
        subjects.offer(key, new.at);
        let histories = &mut subjects.histories;
        match new.sent {
            Fetched::Some => {}
            Fetched::First => histories.send(key, new.at, false),
            Fetched::Redirect => histories.send(key, new.at, true),
            Fetched::Patch(size) => {
                histories.send(key, new.at, true);
                patched.push((key, size));
            }
            Fetched::Whole => {
                first += u64::from(histories.download(key, new.at));
                histories.send(key, new.at, true);
            }
        }
    }
    subjects.histories.write(conn)?;
    patch_outcomes::sent(conn, &patched)?;
    let heard = batch.iter().map(|new| (&new.device, new.at));
    gate_entries::hear(conn, heard, &subjects.devices)?;
    Ok(first)
}
