//! Writing what polls leave behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::devices::{self, Installed};
use super::{BATCH, Conn, builds, execute_on, responses, rows, stats};
use crate::device_build::DeviceBuildRow;
use crate::error::Fault;
use crate::tally::Tally;
use crate::time::micros;
use crate::{Activity, ActivityOutcome, Seen};

pub(crate) fn record(conn: &mut Conn, batch: &Activity) -> Result<ActivityOutcome, Fault> {
    let names: BTreeSet<&str> = batch.seen.iter().map(|seen| seen.device.as_str()).collect();
    let devices = devices::hold(conn, &names)?;
    let latest = latest(&batch.seen, &devices);
    touch(conn, &latest)?;
    install(conn, &batch.seen, &devices)?;
    let mut tally = Tally::default();
    let new_offers = offer(conn, &batch.seen, &devices, &mut tally)?;
    for checks in &batch.checks {
        let count = i64::try_from(checks.count).unwrap_or(i64::MAX);
        let sum = &mut tally.at(checks.build.0, micros(checks.at)).total_checks;
        *sum = sum.saturating_add(count);
    }
    stats::add(conn, &tally)?;
    responses::polled(conn, &latest)?;
    Ok(ActivityOutcome {
        devices: devices.len() as u64,
        new_offers,
    })
}

/// Each device's last poll.
fn latest(seen: &[Seen], devices: &HashMap<String, i64>) -> BTreeMap<i64, i64> {
    let mut latest: BTreeMap<i64, i64> = BTreeMap::new();
    for seen in seen {
        if let Some(id) = devices.get(seen.device.as_str()) {
            let at = latest.entry(*id).or_insert(i64::MIN);
            *at = micros(seen.at).max(*at);
        }
    }
    latest
}

/// When each device was last seen.
fn touch(conn: &mut Conn, latest: &BTreeMap<i64, i64>) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Touch {
        id: i64,
        at: i64,
    }
    let touches: Vec<Touch> = latest.iter().map(|(&id, &at)| Touch { id, at }).collect();
    let sql = format!(
        "UPDATE devices SET last_seen_at = v.at FROM {}
         WHERE devices.id = v.id AND (devices.last_seen_at IS NULL OR devices.last_seen_at < v.at)",
        rows(&[("id", "bigint"), ("at", "bigint")])
    );
    for touches in touches.chunks(BATCH) {
        execute_on(conn, &sql, touches)?;
    }
    Ok(())
}

/// What each device runs, by its last word.
fn install(conn: &mut Conn, seen: &[Seen], devices: &HashMap<String, i64>) -> Result<(), Fault> {
    let names: BTreeSet<&str> = seen.iter().map(|seen| seen.package.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let packages = devices::package_ids(conn, &names)?;
    let mut latest: BTreeMap<(i64, i64), Installed> = BTreeMap::new();
    for seen in seen {
        let device = devices.get(seen.device.as_str());
        let (Some(&device_id), Some(&package_id)) = (device, packages.get(seen.package.as_str())) else {
            continue;
        };
        let installed = Installed {
            device_id,
            package_id,
            version_code: seen.installed.get(),
            seen_at: micros(seen.at),
            cohort: tidegate_domain::cohort(seen.device.as_str()),
        };
        let entry = latest.entry((device_id, package_id)).or_insert(installed);
        if entry.seen_at <= installed.seen_at {
            *entry = installed;
        }
    }
    let latest: Vec<Installed> = latest.into_values().collect();
    devices::set_installed(conn, &latest)
}

/// The first offers of a build to a device.
fn offer(
    conn: &mut Conn,
    seen: &[Seen],
    devices: &HashMap<String, i64>,
    tally: &mut Tally,
) -> Result<u64, Fault> {
    let mut first: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for seen in seen {
        if let (Some(id), Some(build)) = (devices.get(seen.device.as_str()), seen.offered) {
            let at = first.entry((*id, build.0)).or_insert(i64::MAX);
            *at = micros(seen.at).min(*at);
        }
    }
    let ids: BTreeSet<i64> = first.keys().map(|(_, build)| *build).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let known = builds::versions(conn, &ids)?;
    first.retain(|(_, build), _| known.contains_key(build));
    let mut accounts: BTreeMap<(i64, i64), DeviceBuildRow> = BTreeMap::new();
    for account in devices::accounts(conn, &first.keys().copied().collect())? {
        accounts.insert((account.device_id, account.build_id), account);
    }
    let mut offered = Vec::new();
    for ((device, build), at) in first {
        let mut account = accounts
            .remove(&(device, build))
            .unwrap_or_else(|| DeviceBuildRow::new(device, build));
        if account.offered_at.is_none() {
            account.offer(at, tally);
            offered.push(account);
        }
    }
    let offered: Vec<&DeviceBuildRow> = offered.iter().collect();
    devices::store_accounts(conn, &offered)?;
    Ok(offered.len() as u64)
}
