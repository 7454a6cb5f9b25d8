//! What devices did with builds: read for a batch, changed by the rules, and written back with the statistics.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{Capacity, Consequence, DeviceBuild, LastReport, Rejection, Report, ReportStatus};

use super::epochs::{self, Epoch};
use super::kept::Kept;
use super::{BATCH, Conn, execute_on, rows, stats};
use crate::device_build::{
    BUILD_COLUMNS, DeviceBuildRow, DeviceRolloutRow, Gated, ROLLOUT_COLUMNS, RolloutHistory, UNGATED_COLUMNS,
};
use crate::error::Fault;
use crate::gate_tally::GateStep;
use crate::tally::{Tally, count};
use crate::time::micros;

/// Device and build.
pub(crate) type BuildKey = (i64, i64);
/// Device, rollout and build.
pub(crate) type RolloutKey = (i64, i64, i64);

/// The histories that a batch touches, and what it adds to the statistics. Their devices are held by the transaction.
#[derive(Default)]
pub(crate) struct Histories {
    builds: BTreeMap<BuildKey, BuildHistory>,
    rollouts: BTreeMap<RolloutKey, RolloutHistory>,
    changed_builds: BTreeSet<BuildKey>,
    changed_rollouts: BTreeSet<RolloutKey>,
    changed_rejections: BTreeSet<BuildKey>,
    pub(crate) tally: Tally,
}

#[derive(Default)]
struct BuildHistory {
    history: DeviceBuild,
    /// The rollout that offered the build last.
    offered_by: Option<i64>,
}

#[derive(Serialize)]
struct Pair {
    device_id: i64,
    build_id: i64,
}

impl Pair {
    fn of(&(device_id, build_id): &BuildKey) -> Self {
        Self { device_id, build_id }
    }
}

impl Histories {
    /// Reads what devices did with builds.
    pub(crate) fn read_builds(&mut self, conn: &mut Conn, keys: &BTreeSet<BuildKey>) -> Result<(), Fault> {
        // Crossed, not joined: SQLite keeps the order and looks each pair up by the primary key.
        let sql = format!(
            "SELECT b.* FROM {} CROSS JOIN device_builds b
             WHERE b.device_id = v.device_id AND b.build_id = v.build_id",
            rows(&BUILD_COLUMNS[..2])
        );
        let pairs: Vec<Pair> = keys.iter().map(Pair::of).collect();
        for pairs in pairs.chunks(BATCH) {
            let query = Kept::on(&sql, pairs)?;
            for row in query.load::<DeviceBuildRow>(conn)? {
                let key = (row.device_id, row.build_id);
                let offered_by = row.offered_rollout_id;
                let history = row.into_history()?;
                self.builds.insert(key, BuildHistory { history, offered_by });
            }
        }
        Ok(())
    }

    /// Reads what devices did with builds that rollouts offered them.
    pub(crate) fn read_rollouts(
        &mut self,
        conn: &mut Conn,
        keys: &BTreeSet<RolloutKey>,
    ) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Triple {
            device_id: i64,
            rollout_id: i64,
            build_id: i64,
        }
        let sql = format!(
            "SELECT r.* FROM {} CROSS JOIN device_rollouts r
             WHERE r.device_id = v.device_id AND r.rollout_id = v.rollout_id AND r.build_id = v.build_id",
            rows(&ROLLOUT_COLUMNS[..3])
        );
        let triples: Vec<Triple> = keys
            .iter()
            .map(|&(device_id, rollout_id, build_id)| Triple {
                device_id,
                rollout_id,
                build_id,
            })
            .collect();
        for triples in triples.chunks(BATCH) {
            let query = Kept::on(&sql, triples)?;
            for row in query.load::<DeviceRolloutRow>(conn)? {
                self.add_rollout(row)?;
            }
        }
        Ok(())
    }

    /// Takes a row in, unless it was read before. Returns whose it is.
    pub(crate) fn add_rollout(&mut self, row: DeviceRolloutRow) -> Result<RolloutKey, Fault> {
        let key = (row.device_id, row.rollout_id, row.build_id);
        if let Entry::Vacant(entry) = self.rollouts.entry(key) {
            entry.insert(row.into_history()?);
        }
        Ok(key)
    }

    /// The rollout that offered the device this build last.
    pub(crate) fn offered_by(&self, key: BuildKey) -> Option<i64> {
        self.builds.get(&key).and_then(|build| build.offered_by)
    }

    /// What keeps the build from the device.
    pub(crate) fn rejection(&self, key: BuildKey) -> Option<Rejection> {
        self.builds.get(&key).and_then(|build| build.history.rejection)
    }

    /// Which reports are still taken.
    pub(crate) fn capacity_for(&self, key: BuildKey, status: ReportStatus) -> Capacity {
        let none = DeviceBuild::default();
        let history = self.builds.get(&key).map_or(&none, |build| &build.history);
        history.capacity_for(status)
    }

    /// Notes an offer; `gate`: what the rollout's gate is at, if it has one. Returns whether it is the device's first of
    /// this build.
    pub(crate) fn offer(&mut self, key: RolloutKey, at: DateTime<Utc>, gate: Option<GateStep>) -> bool {
        let (device, rollout, build) = key;
        let of_build = self.builds.entry((device, build)).or_default();
        let is_first = of_build.history.milestones.offer(at);
        if is_first {
            self.tally.build(build, micros(at)).total_eligible += 1;
        }
        if is_first || of_build.offered_by != Some(rollout) {
            of_build.offered_by = Some(rollout);
            self.changed_builds.insert((device, build));
        }
        let of_rollout = self.rollouts.entry(key).or_default();
        if of_rollout.milestones.offer(at) {
            self.tally.rollout(rollout, build, micros(at)).total_eligible += 1;
            if let Some(by) = gate {
                of_rollout.gated = Some(Gated::by(by));
                self.tally.gates.reach(rollout, by);
            }
            self.changed_rollouts.insert(key);
        }
        is_first
    }

    /// Changes what a gate counts of the device, if one does.
    pub(crate) fn change_gated(&mut self, key: RolloutKey, change: impl FnOnce(&mut Gated)) {
        self.change_outcome(key, |of_rollout| {
            let Some(gated) = &mut of_rollout.gated else {
                return false;
            };
            let before = *gated;
            change(gated);
            *gated != before
        });
    }

    /// Changes a row and counts what a gate makes of it. `change` tells whether it is to be written.
    fn change_outcome(&mut self, key: RolloutKey, change: impl FnOnce(&mut RolloutHistory) -> bool) {
        let of_rollout = self.rollouts.entry(key).or_default();
        let before = of_rollout.outcome();
        if !change(of_rollout) {
            return;
        }
        self.changed_rollouts.insert(key);
        if let Some(gated) = &of_rollout.gated {
            let after = of_rollout.outcome();
            self.tally.gates.change(key.1, gated.by, before, after);
        }
    }

    /// Notes what the server sent of the file.
    pub(crate) fn send(&mut self, key: RolloutKey, at: DateTime<Utc>, whole: bool) {
        self.change_gated(key, |gated| send(gated, micros(at), whole));
    }

    /// Notes that the device has the whole file. Returns whether that is news of this build.
    pub(crate) fn download(&mut self, key: RolloutKey, at: DateTime<Utc>) -> bool {
        let (device, rollout, build) = key;
        let status = ReportStatus::Downloaded;
        let of_build = self.builds.entry((device, build)).or_default();
        let is_first = of_build.history.milestones.reach(status, at);
        if is_first {
            count(self.tally.build(build, micros(at)), status);
            self.changed_builds.insert((device, build));
        }
        if self.rollouts.entry(key).or_default().milestones.reach(status, at) {
            count(self.tally.rollout(rollout, build, micros(at)), status);
            self.changed_rollouts.insert(key);
        }
        is_first
    }

    /// Takes a report that was not taken before, and for which there is capacity.
    pub(crate) fn take(&mut self, key: RolloutKey, report: &Report, at: DateTime<Utc>) -> Consequence {
        let (device, rollout, build) = key;
        let of_build = &mut self.builds.entry((device, build)).or_default().history;
        let before = (of_build.milestones, of_build.rejection);
        let consequence = of_build.take(report, at);
        if of_build.milestones != before.0 {
            count(self.tally.build(build, micros(at)), report.status);
        }
        if of_build.rejection != before.1 {
            self.changed_rejections.insert((device, build));
        }
        self.changed_builds.insert((device, build));

        let mut is_first = false;
        self.change_outcome(key, |of_rollout| {
            is_first = of_rollout.milestones.reach(report.status, at);
            of_rollout.last = LastReport::after(of_rollout.last.take(), report, at);
            if let Some(gated) = &mut of_rollout.gated {
                hear(gated, report, consequence, micros(at));
            }
            true
        });
        if is_first {
            count(self.tally.rollout(rollout, build, micros(at)), report.status);
        }
        consequence
    }

    /// Writes what was changed.
    pub(crate) fn write(&self, conn: &mut Conn) -> Result<(), Fault> {
        self.write_builds(conn)?;
        self.write_rollouts(conn)?;
        stats::add(conn, &self.tally)
    }

    fn write_builds(&self, conn: &mut Conn) -> Result<(), Fault> {
        let changed: Vec<DeviceBuildRow> = self
            .changed_builds
            .iter()
            .filter_map(|key| Some((key, self.builds.get(key)?)))
            .map(|(&(device, build), of_build)| {
                DeviceBuildRow::of(device, build, of_build.offered_by, &of_build.history)
            })
            .collect();
        upsert(conn, "device_builds", &BUILD_COLUMNS, 2, &changed)
    }

    fn write_rollouts(&self, conn: &mut Conn) -> Result<(), Fault> {
        let (gated, ungated): (Vec<_>, Vec<_>) = self
            .changed_rollouts
            .iter()
            .filter_map(|key| Some(DeviceRolloutRow::of(*key, self.rollouts.get(key)?)))
            .partition(DeviceRolloutRow::is_gated);
        let columns = &ROLLOUT_COLUMNS[..UNGATED_COLUMNS];
        upsert(conn, "device_rollouts", columns, 3, &ungated)?;
        upsert(conn, "device_rollouts", &ROLLOUT_COLUMNS, 3, &gated)
    }

    /// Tells other servers which rejections changed. Late in the transaction, see [`epochs::raise`].
    pub(crate) fn announce_rejections(&self, conn: &mut Conn) -> Result<(), Fault> {
        announce(conn, &self.changed_rejections)
    }
}

fn send(gated: &mut Gated, at: i64, whole: bool) {
    gated.begun_at.get_or_insert(at);
    if whole {
        gated.sent_at.get_or_insert(at);
    }
}

/// The reason of a device that can't go back to an older version: it says nothing of the build.
const NO_OUTCOME: &str = "downgrade_refused";

/// What a report means for a gate. Whether the file was sent is the server's to see. One that carried it over from an
/// earlier offer, or whose download was lost in a crash, must not be missing for ever: it counts when it tells that it
/// has the file.
fn hear(gated: &mut Gated, report: &Report, consequence: Consequence, at: i64) {
    match report.status {
        ReportStatus::Downloaded => send(gated, at, true),
        ReportStatus::InstallSuccess => {
            send(gated, at, true);
            gated.succeeded_at = gated.succeeded_at.max(Some(at));
        }
        ReportStatus::VerifyFailed | ReportStatus::InstallFailed => {
            if report.reason.as_deref() == Some(NO_OUTCOME) {
                return;
            }
            gated.troubled_at = gated.troubled_at.max(Some(at));
            if matches!(consequence, Consequence::Rejected(_)) {
                gated.failed_at.get_or_insert(at);
            }
        }
        ReportStatus::Deferred => {}
    }
}

/// Writes rows whole, by the key of the first columns.
fn upsert<T: Serialize>(
    conn: &mut Conn,
    table: &str,
    columns: &[(&str, &str)],
    key: usize,
    changed: &[T],
) -> Result<(), Fault> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let updates: Vec<String> = names[key..]
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {source} WHERE true
         ON CONFLICT ({key}) DO UPDATE SET {updates}",
        columns = names.join(", "),
        source = rows(columns),
        key = names[..key].join(", "),
        updates = updates.join(", "),
    );
    for changed in changed.chunks(BATCH) {
        Kept::on(&sql, changed)?.run(conn)?;
    }
    Ok(())
}

/// Stamps rejections with the epoch at which they changed, so that other servers read these alone.
pub(crate) fn announce(conn: &mut Conn, changed: &BTreeSet<BuildKey>) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    let epoch = epochs::raise(conn, Epoch::Rejections)?;
    let sql = format!(
        "UPDATE device_builds SET rejection_epoch = {epoch} FROM {}
         WHERE device_builds.device_id = v.device_id AND device_builds.build_id = v.build_id",
        rows(&BUILD_COLUMNS[..2])
    );
    let pairs: Vec<Pair> = changed.iter().map(Pair::of).collect();
    for pairs in pairs.chunks(BATCH) {
        execute_on(conn, &sql, pairs)?;
    }
    Ok(())
}
