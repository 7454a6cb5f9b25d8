//! How devices come into the arms of gates, are heard of, and leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use serde::Serialize;
use tidegate_domain::gate::{Arm, Patience, WATCHED_FOR, Watch, lost_at};
use tidegate_domain::{DeviceId, RolloutId};

use super::kept::Kept;
use super::{BATCH, Conn, execute_on, gate_counts, rows};
use crate::device_build::{arm, step};
use crate::error::Fault;
use crate::gate_tally::{GateStep, GateTally};
use crate::rows::device_id;
use crate::schema::{gate_members, rollouts};
use crate::time::{micros, moment};
use crate::{KnownMember, MAX_TREATED, Seen};

/// A device that enters.
#[derive(Serialize)]
struct Entry {
    device_id: i64,
    entered_at: i64,
    dense: bool,
    takes_at: u32,
    crashes: Option<u32>,
    lost_due_at: i64,
}

const ENTRY_COLUMNS: [(&str, &str); 6] = [
    ("device_id", "bigint"),
    ("entered_at", "bigint"),
    ("dense", "boolean"),
    ("takes_at", "bigint"),
    ("crashes", "bigint"),
    ("lost_due_at", "bigint"),
];

impl Entry {
    fn of(device_id: i64, seen: &Seen, watch: &Watch) -> Self {
        let dense = seen.facts.dense;
        Self {
            device_id,
            entered_at: micros(seen.at),
            dense,
            takes_at: watch.takes_at.get(),
            crashes: seen.crashes,
            lost_due_at: micros(lost_at(seen.at, seen.at, dense, Patience::Short)),
        }
    }
}

/// The devices that enter the same arm of the same step.
type Group = (i64, GateStep, bool);

/// Lets devices enter that polls bring into an arm. The first poll wins, and once treated a device stays so; control of an
/// earlier step may enter anew.
pub(crate) fn enter(
    conn: &mut Conn,
    seen: &[Seen],
    devices: &HashMap<String, i64>,
    tally: &mut GateTally,
) -> Result<(), Fault> {
    let mut groups: BTreeMap<Group, Vec<Entry>> = BTreeMap::new();
    for ((rollout, device), (seen, watch)) in first_polls(seen, devices) {
        let step = GateStep {
            segment: watch.segment,
            step: watch.step,
        };
        groups
            .entry((rollout, step, watch.arm == Arm::Treated))
            .or_default()
            .push(Entry::of(device, seen, watch));
    }
    let ids: BTreeSet<i64> = groups.keys().map(|(rollout, ..)| *rollout).collect();
    let known: Vec<i64> = rollouts::table
        .filter(rollouts::id.eq_any(ids))
        .select(rollouts::id)
        .load(conn)?;
    for ((rollout, step, treated), mut entries) in groups {
        if !known.contains(&rollout) {
            continue;
        }
        if treated {
            let room = MAX_TREATED.saturating_sub(gate_counts::watched(conn, rollout, step.step)?);
            entries.truncate(usize::try_from(room).unwrap_or(0));
        }
        let entered = insert(conn, (rollout, step, treated), &entries)?;
        if treated {
            tally.watch(rollout, step, entered);
        }
    }
    Ok(())
}

/// Each device's first poll about each rollout; one that makes it treated counts before one that makes it control.
fn first_polls<'a>(
    seen: &'a [Seen],
    devices: &HashMap<String, i64>,
) -> BTreeMap<(i64, i64), (&'a Seen, &'a Watch)> {
    let mut first: BTreeMap<(i64, i64), (&Seen, &Watch)> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| !seen.is_member) {
        let (Some(watch), Some(device)) = (&seen.watch, devices.get(seen.device.as_str())) else {
            continue;
        };
        let rank = |seen: &Seen, watch: &Watch| (watch.arm == Arm::Control, seen.at);
        let slot = first.entry((watch.rollout.0, *device)).or_insert((seen, watch));
        if rank(seen, watch) < rank(slot.0, slot.1) {
            *slot = (seen, watch);
        }
    }
    first
}

/// What is new of a device that enters again.
const ANEW: [&str; 14] = [
    "treated",
    "segment",
    "step",
    "entered_at",
    "nudged",
    "dense",
    "takes_at",
    "crashes",
    "heard_at",
    "lost_due_at",
    "lost_short_at",
    "lost_long_at",
    "crashed_at",
    "crash_counted",
];

/// Returns how many entered.
fn insert(conn: &mut Conn, (rollout, by, treated): Group, entries: &[Entry]) -> Result<usize, Fault> {
    let updates = ANEW.map(|name| format!("{name} = excluded.{name}"));
    let sql = format!(
        "INSERT INTO gate_members (rollout_id, device_id, treated, segment, step, entered_at, nudged, dense, takes_at,
                                   crashes, heard_at, lost_due_at, crash_counted)
         SELECT {rollout}, v.device_id, {treated}, {segment}, {step}, v.entered_at,
                EXISTS (SELECT 1 FROM nudge_deliveries n WHERE n.device_id = v.device_id
                        AND n.sent_at > v.entered_at - 3600000000 AND n.sent_at <= v.entered_at),
                v.dense, v.takes_at, v.crashes, v.entered_at, v.lost_due_at, false
         FROM {source} WHERE true
         ON CONFLICT (rollout_id, device_id) DO UPDATE SET {updates}
         WHERE NOT gate_members.treated AND (excluded.treated OR excluded.step > gate_members.step)",
        segment = by.segment,
        step = by.step,
        source = rows(&ENTRY_COLUMNS),
        updates = updates.join(", "),
    );
    let mut entered = 0;
    for entries in entries.chunks(BATCH) {
        entered += execute_on(conn, &sql, entries)?;
    }
    Ok(entered)
}

/// Notes that members were heard of by something else than a poll.
pub(crate) fn hear<'a>(
    conn: &mut Conn,
    heard: impl Iterator<Item = (&'a DeviceId, DateTime<Utc>)>,
    devices: &HashMap<String, i64>,
) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Heard {
        device_id: i64,
        at: i64,
    }
    let any = gate_members::table.select(gate_members::device_id).limit(1);
    if any.first::<i64>(conn).optional()?.is_none() {
        return Ok(());
    }
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    for (device, at) in heard {
        if let Some(id) = devices.get(device.as_str()) {
            let last = last.entry(*id).or_insert(i64::MIN);
            *last = micros(at).max(*last);
        }
    }
    let heard: Vec<Heard> = last
        .into_iter()
        .map(|(device_id, at)| Heard { device_id, at })
        .collect();
    let sql = format!(
        "UPDATE gate_members SET heard_at = v.at FROM {}
         WHERE gate_members.device_id = v.device_id AND gate_members.heard_at < v.at",
        rows(&[("device_id", "bigint"), ("at", "bigint")])
    );
    for heard in heard.chunks(BATCH) {
        Kept::on(&sql, heard)?.run(conn)?;
    }
    Ok(())
}

/// Takes devices out of every arm: they were revoked, retired or erased.
pub(crate) fn leave(conn: &mut Conn, devices: &[i64]) -> Result<(), Fault> {
    for devices in devices.chunks(BATCH) {
        diesel::delete(gate_members::table.filter(gate_members::device_id.eq_any(devices))).execute(conn)?;
    }
    Ok(())
}

/// The members that entered these rollouts from then on, the youngest first, of each arm at most so many.
pub(crate) fn since(
    conn: &mut Conn,
    of: &[RolloutId],
    since: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<KnownMember>, Fault> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Bool)]
        treated: bool,
        #[diesel(sql_type = BigInt)]
        step: i64,
        #[diesel(sql_type = BigInt)]
        entered_at: i64,
    }
    let mut found = Vec::new();
    for rollout in of {
        for treated in [true, false] {
            let sql = format!(
                "SELECT d.name, m.treated, m.step, m.entered_at
                 FROM (SELECT * FROM gate_members
                       WHERE rollout_id = {rollout} AND treated = {treated} AND entered_at >= {since}
                       ORDER BY entered_at DESC LIMIT {limit}) m
                 JOIN devices d ON d.id = m.device_id",
                since = micros(since)
            );
            for row in diesel::sql_query(sql).load::<Row>(conn)? {
                found.push(KnownMember {
                    rollout: *rollout,
                    device: device_id(&row.name)?,
                    arm: arm(row.treated),
                    step: step(row.step)?,
                    entered: moment(row.entered_at)?,
                });
            }
        }
    }
    Ok(found)
}

/// Removes members of rollouts that ended or lost their gate, and those that entered before then; at most so many of each
/// rollout. Returns how many.
pub(crate) fn remove(conn: &mut Conn, now: DateTime<Utc>, limit: u32) -> Result<u64, Fault> {
    #[derive(QueryableByName)]
    struct Watching {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Bool)]
        has_gate: bool,
    }
    let watching: Vec<Watching> = diesel::sql_query(
        "SELECT r.id, (r.serving AND r.gate_json IS NOT NULL) AS has_gate FROM rollouts r
         WHERE EXISTS (SELECT 1 FROM gate_members m WHERE m.rollout_id = r.id) ORDER BY r.id",
    )
    .load(conn)?;
    let mut removed = 0;
    for Watching { id, has_gate } in watching {
        let before = match has_gate {
            true => micros(now - WATCHED_FOR),
            false => i64::MAX,
        };
        for treated in [true, false] {
            let sql = format!(
                "DELETE FROM gate_members WHERE rollout_id = {id} AND device_id IN (
                     SELECT device_id FROM gate_members
                     WHERE rollout_id = {id} AND treated = {treated} AND entered_at < {before}
                     ORDER BY entered_at LIMIT {limit})"
            );
            removed += diesel::sql_query(sql).execute(conn)?;
        }
    }
    Ok(removed as u64)
}

/// How many devices have each of these packages.
pub(crate) fn fleets(
    conn: &mut Conn,
    packages: &[tidegate_domain::PackageName],
) -> Result<HashMap<tidegate_domain::PackageName, u64>, Fault> {
    use crate::schema::device_packages;
    let names: Vec<&str> = packages
        .iter()
        .map(tidegate_domain::PackageName::as_str)
        .collect();
    let ids = super::devices::package_ids(conn, &names)?;
    let mut fleets = HashMap::new();
    for package in packages {
        let Some(id) = ids.get(package.as_str()) else {
            continue;
        };
        let devices: i64 = device_packages::table
            .filter(device_packages::package_id.eq(id))
            .filter(diesel::dsl::sql::<Bool>("counted"))
            .count()
            .get_result(conn)?;
        fleets.insert(package.clone(), devices.unsigned_abs());
    }
    Ok(fleets)
}
