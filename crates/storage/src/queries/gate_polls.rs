//! What polls tell gates of devices that installed a build.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::Serialize;

use super::histories::Histories;
use super::kept::Kept;
use super::{BATCH, Conn, devices, rows};
use crate::Seen;
use crate::device_build::DeviceRolloutRow;
use crate::error::Fault;
use crate::schema::builds;
use crate::time::micros;

/// A rollout with a gate that watches, or may again.
#[derive(QueryableByName)]
struct GatedRollout {
    #[diesel(sql_type = BigInt)]
    rollout_id: i64,
    #[diesel(sql_type = BigInt)]
    package_id: i64,
    #[diesel(sql_type = BigInt)]
    version_code: i64,
}

const GATED: &str = "SELECT r.id AS rollout_id, r.package_id, b.version_code
     FROM rollouts r JOIN builds b ON b.id = r.build_id
     WHERE r.gate_json IS NOT NULL AND r.state IN ('active', 'paused', 'completed', 'halted')";

/// A poll, once for each such rollout of its package.
#[derive(Clone, Serialize)]
struct Polled {
    rollout_id: i64,
    device_id: i64,
    version_code: i64,
    crashes: Option<u32>,
    at: i64,
}

const POLLED_COLUMNS: [(&str, &str); 5] = [
    ("rollout_id", "bigint"),
    ("device_id", "bigint"),
    ("version_code", "bigint"),
    ("crashes", "bigint"),
    ("at", "bigint"),
];

/// The polls about packages that a gate watches, by what is to be asked of them.
pub(crate) struct GatedPolls {
    /// They tell the version of a build that such a rollout offers.
    current: Vec<Polled>,
    /// They tell one below it.
    older: Vec<Polled>,
    /// They tell of crashes.
    crashed: Vec<Polled>,
}

impl GatedPolls {
    /// None where no gate watches any package.
    pub(crate) fn of(
        conn: &mut Conn,
        seen: &[Seen],
        devices: &HashMap<String, i64>,
    ) -> Result<Option<Self>, Fault> {
        let gated: Vec<GatedRollout> = diesel::sql_query(GATED).load(conn)?;
        if gated.is_empty() {
            return Ok(None);
        }
        let versions = offered_versions(conn, &gated)?;
        let mut by_package: BTreeMap<i64, Vec<&GatedRollout>> = BTreeMap::new();
        for rollout in &gated {
            by_package.entry(rollout.package_id).or_default().push(rollout);
        }
        let names: BTreeSet<&str> = seen.iter().map(|seen| seen.package.as_str()).collect();
        let packages = devices::package_ids(conn, &names.into_iter().collect::<Vec<_>>())?;
        let mut polls = Self {
            current: vec![],
            older: vec![],
            crashed: vec![],
        };
        for seen in seen {
            let package = packages.get(seen.package.as_str());
            let (Some(package), Some(device)) = (package, devices.get(seen.device.as_str())) else {
                continue;
            };
            for rollout in by_package.get(package).into_iter().flatten() {
                polls.add(seen, *device, rollout, &versions);
            }
        }
        polls.sort();
        Ok(Some(polls))
    }

    fn add(&mut self, seen: &Seen, device_id: i64, rollout: &GatedRollout, versions: &BTreeSet<(i64, i64)>) {
        let version_code = seen.installed.get();
        let polled = Polled {
            rollout_id: rollout.rollout_id,
            device_id,
            version_code,
            crashes: seen.crashes,
            at: micros(seen.at),
        };
        if seen.crashes.is_some_and(|crashes| crashes > 0) {
            self.crashed.push(polled.clone());
        }
        if versions.contains(&(rollout.package_id, version_code)) {
            self.current.push(polled.clone());
        }
        if version_code < rollout.version_code {
            self.older.push(polled);
        }
    }

    /// In the order of the tables.
    fn sort(&mut self) {
        for polls in [&mut self.current, &mut self.older, &mut self.crashed] {
            polls.sort_unstable_by_key(|polled| (polled.rollout_id, polled.device_id, polled.at));
        }
    }

    /// Finds the devices that run for certain what they installed, and those that are back on an older version.
    pub(crate) fn confirm(&self, conn: &mut Conn, histories: &mut Histories) -> Result<(), Fault> {
        let unconfirmed = "r.confirmed_at IS NULL AND b.version_code = v.version_code";
        self.ask(conn, &self.current, unconfirmed, histories, |gated, at| {
            gated.confirmed_at.get_or_insert(at);
        })?;
        let back = "r.failed_at IS NULL AND b.version_code > v.version_code";
        self.ask(conn, &self.older, back, histories, |gated, at| {
            gated.failed_at.get_or_insert(at);
        })
    }

    fn ask(
        &self,
        conn: &mut Conn,
        polls: &[Polled],
        which: &str,
        histories: &mut Histories,
        change: impl Fn(&mut crate::device_build::Gated, i64),
    ) -> Result<(), Fault> {
        #[derive(QueryableByName)]
        struct Found {
            #[diesel(embed)]
            history: DeviceRolloutRow,
            #[diesel(sql_type = BigInt)]
            polled_at: i64,
        }
        // In the words of the partial indexes: few rows are in them.
        let sql = format!(
            "SELECT r.*, v.at AS polled_at
             FROM {} CROSS JOIN device_rollouts r CROSS JOIN builds b
             WHERE r.rollout_id = v.rollout_id AND r.device_id = v.device_id
               AND r.gate_segment IS NOT NULL AND r.installed_at IS NOT NULL AND r.installed_at < v.at
               AND b.id = r.build_id AND {which}",
            rows(&POLLED_COLUMNS)
        );
        for polls in polls.chunks(BATCH) {
            let query = Kept::on(&sql, polls)?;
            for found in query.load::<Found>(conn)? {
                let key = histories.add_rollout(found.history)?;
                histories.change_gated(key, |gated| change(gated, found.polled_at));
            }
        }
        Ok(())
    }

    /// Notes which members told more crashes than at their entry.
    pub(crate) fn note_crashes(&self, conn: &mut Conn) -> Result<(), Fault> {
        let sql = format!(
            "UPDATE gate_members SET crashed_at = v.at FROM {}
             WHERE gate_members.rollout_id = v.rollout_id AND gate_members.device_id = v.device_id
               AND gate_members.crashed_at IS NULL AND gate_members.crashes < v.crashes
               AND gate_members.entered_at < v.at",
            rows(&POLLED_COLUMNS)
        );
        for crashed in self.crashed.chunks(BATCH) {
            Kept::on(&sql, crashed)?.run(conn)?;
        }
        Ok(())
    }
}

/// The versions that such rollouts offer, with those that devices must take in between; by package.
fn offered_versions(conn: &mut Conn, gated: &[GatedRollout]) -> Result<BTreeSet<(i64, i64)>, Fault> {
    let packages: BTreeSet<i64> = gated.iter().map(|rollout| rollout.package_id).collect();
    let barriers: Vec<(i64, i64)> = builds::table
        .filter(builds::package_id.eq_any(packages))
        .filter(builds::barrier)
        .select((builds::package_id, builds::version_code))
        .load(conn)?;
    let own = gated
        .iter()
        .map(|rollout| (rollout.package_id, rollout.version_code));
    Ok(own.chain(barriers).collect())
}
