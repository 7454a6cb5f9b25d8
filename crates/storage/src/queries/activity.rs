//! Writing what polls leave behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tidegate_domain::DeviceFacts;

use super::devices::{self, Installed};
use super::gate_polls::GatedPolls;
use super::histories::{BuildKey, Histories, RolloutKey};
use super::kept::Kept;
use super::{BATCH, Conn, builds, gate_entries, responses, retirement, rows};
use crate::error::Fault;
use crate::gate_tally::GateStep;
use crate::rows::to_json;
use crate::time::micros;
use crate::{Activity, ActivityOutcome, Seen, Standing};

pub(crate) fn record(conn: &mut Conn, batch: &Activity) -> Result<ActivityOutcome, Fault> {
    let names: BTreeSet<&str> = batch.seen.iter().map(|seen| seen.device.as_str()).collect();
    let devices::Present {
        ids: devices,
        inactive,
    } = devices::hold_present(conn, &names)?;
    retirement::return_active(conn, &inactive)?;
    let latest = latest(&batch.seen, &devices);
    touch(conn, &latest)?;
    install(conn, &batch.seen, &devices)?;
    let mut histories = Histories::default();
    let new_offers = offer(conn, &batch.seen, &devices, &mut histories)?;
    if let Some(polls) = GatedPolls::of(conn, &batch.seen, &devices)? {
        polls.confirm(conn, &mut histories)?;
        polls.note_crashes(conn)?;
        gate_entries::enter(conn, &batch.seen, &devices, &mut histories.tally.gates)?;
    }
    for checks in &batch.checks {
        let count = i64::try_from(checks.count).unwrap_or(i64::MAX);
        let (build, at) = (checks.build.0, micros(checks.at));
        let of_build = &mut histories.tally.build(build, at).total_checks;
        *of_build = of_build.saturating_add(count);
        let of_rollout = &mut histories.tally.rollout(checks.rollout.0, build, at).total_checks;
        *of_rollout = of_rollout.saturating_add(count);
    }
    histories.write(conn)?;
    let polled: BTreeMap<i64, i64> = latest.iter().map(|(&id, seen)| (id, micros(seen.at))).collect();
    responses::polled(conn, &polled)?;
    Ok(ActivityOutcome {
        devices: latest.len() as u64,
        new_offers,
    })
}

/// Each device's last poll.
fn latest<'a>(seen: &'a [Seen], devices: &HashMap<String, i64>) -> BTreeMap<i64, &'a Seen> {
    let mut latest: BTreeMap<i64, &Seen> = BTreeMap::new();
    for seen in seen {
        if let Some(id) = devices.get(seen.device.as_str()) {
            let last = latest.entry(*id).or_insert(seen);
            if last.at <= seen.at {
                *last = seen;
            }
        }
    }
    latest
}

/// When each device was last seen, and what it said of itself then.
fn touch(conn: &mut Conn, latest: &BTreeMap<i64, &Seen>) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Touch {
        id: i64,
        at: i64,
        polled: String,
    }
    let touches: Result<Vec<Touch>, Fault> = latest
        .iter()
        .map(|(&id, seen)| {
            Ok(Touch {
                id,
                at: micros(seen.at),
                polled: to_json::<DeviceFacts<'_>>(&seen.facts)?,
            })
        })
        .collect();
    let sql = format!(
        "UPDATE devices SET last_seen_at = v.at, polled_json = v.polled,
                token_used_at = CASE WHEN v.at >= devices.enrolled_at THEN COALESCE(devices.token_used_at, v.at)
                                     ELSE devices.token_used_at END
         FROM {}
         WHERE devices.id = v.id AND (devices.last_seen_at IS NULL OR devices.last_seen_at <= v.at)",
        rows(&[("id", "bigint"), ("at", "bigint"), ("polled", "text")])
    );
    for touches in touches?.chunks(BATCH) {
        Kept::on(&sql, touches)?.run(conn)?;
    }
    Ok(())
}

/// What each device runs and was told, by its last poll.
fn install(conn: &mut Conn, seen: &[Seen], devices: &HashMap<String, i64>) -> Result<(), Fault> {
    let names: BTreeSet<&str> = seen.iter().map(|seen| seen.package.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let packages = devices::package_ids(conn, &names)?;
    let mut latest: BTreeMap<(i64, i64), &Seen> = BTreeMap::new();
    for seen in seen {
        let device = devices.get(seen.device.as_str());
        let (Some(&device_id), Some(&package_id)) = (device, packages.get(seen.package.as_str())) else {
            continue;
        };
        let last = latest.entry((device_id, package_id)).or_insert(seen);
        if last.at <= seen.at {
            *last = seen;
        }
    }
    let polled: Vec<Installed> = latest
        .into_iter()
        .map(|((device_id, package_id), seen)| Installed::polled(device_id, package_id, seen))
        .collect();
    devices::set_polled(conn, &polled)
}

/// The offers, in the order in which they were made: the last one counts for reports that name no rollout.
fn offer(
    conn: &mut Conn,
    seen: &[Seen],
    devices: &HashMap<String, i64>,
    histories: &mut Histories,
) -> Result<u64, Fault> {
    let mut offers: Vec<(DateTime<Utc>, RolloutKey, &Seen)> = Vec::new();
    for seen in seen {
        if let (Some(id), Standing::Offered { rollout, build }) =
            (devices.get(seen.device.as_str()), seen.told)
        {
            offers.push((seen.at, (*id, rollout.0, build.0), seen));
        }
    }
    offers.sort_unstable_by_key(|(at, key, _)| (*at, *key));
    let ids: BTreeSet<i64> = offers.iter().map(|(_, (_, _, build), _)| *build).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let known = builds::versions(conn, &ids)?;
    offers.retain(|(_, (_, _, build), _)| known.contains_key(build));
    let keys: BTreeSet<RolloutKey> = offers.iter().map(|(_, key, _)| *key).collect();
    let builds: BTreeSet<BuildKey> = keys.iter().map(|(device, _, build)| (*device, *build)).collect();
    histories.read_builds(conn, &builds)?;
    histories.read_rollouts(conn, &keys)?;
    let mut first = 0;
    for (at, key, seen) in offers {
        let watch = seen.watch.filter(|watch| watch.rollout.0 == key.1);
        let gate = watch.map(|watch| GateStep {
            segment: watch.segment,
            step: watch.step,
        });
        first += u64::from(histories.offer(key, at, gate));
        if seen.has_file {
            histories.send(key, at, true);
        }
    }
    Ok(first)
}
