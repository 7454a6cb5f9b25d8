//! What devices said of patches.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::Serialize;
use tidegate_domain::{BuildId, PatchOutcome, RolloutId};

use super::histories::RolloutKey;
use super::kept::Kept;
use super::{BATCH, Conn, rows};
use crate::error::Fault;
use crate::schema::{builds, device_patches};
use crate::{PatchCounted, PatchStats};

const COLUMNS: [(&str, &str); 6] = [
    ("device_id", "bigint"),
    ("rollout_id", "bigint"),
    ("build_id", "bigint"),
    ("retry_generation", "bigint"),
    ("outcome", "text"),
    ("size", "bigint"),
];

#[derive(Clone, QueryableByName, Serialize)]
#[diesel(table_name = device_patches)]
struct DevicePatchRow {
    device_id: i64,
    rollout_id: i64,
    build_id: i64,
    retry_generation: Option<i64>,
    outcome: Option<String>,
    size: Option<i64>,
}

/// What a report said of a patch.
pub(super) struct Said {
    pub(super) key: RolloutKey,
    pub(super) retry_generation: u32,
    pub(super) outcome: PatchOutcome,
    /// The place of the report's answer.
    pub(super) answer: usize,
}

/// The rows of these devices. One that is not there yet is empty.
fn read(
    conn: &mut Conn,
    keys: impl Iterator<Item = RolloutKey>,
) -> Result<BTreeMap<RolloutKey, DevicePatchRow>, Fault> {
    let mut found: BTreeMap<RolloutKey, DevicePatchRow> = keys
        .map(|key| {
            let (device_id, rollout_id, build_id) = key;
            let row = DevicePatchRow {
                device_id,
                rollout_id,
                build_id,
                retry_generation: None,
                outcome: None,
                size: None,
            };
            (key, row)
        })
        .collect();
    let sql = format!(
        "SELECT p.* FROM {} CROSS JOIN device_patches p
         WHERE p.device_id = v.device_id AND p.rollout_id = v.rollout_id AND p.build_id = v.build_id",
        rows(&COLUMNS[..3])
    );
    let asked: Vec<DevicePatchRow> = found.values().cloned().collect();
    for asked in asked.chunks(BATCH) {
        let query = Kept::on(&sql, asked)?;
        for row in query.load::<DevicePatchRow>(conn)? {
            found.insert((row.device_id, row.rollout_id, row.build_id), row);
        }
    }
    Ok(found)
}

fn write(conn: &mut Conn, changed: &BTreeMap<RolloutKey, DevicePatchRow>) -> Result<(), Fault> {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let sql = format!(
        "INSERT INTO device_patches ({names}) SELECT {names} FROM {} WHERE true
         ON CONFLICT (device_id, rollout_id, build_id) DO UPDATE SET
           retry_generation = excluded.retry_generation, outcome = excluded.outcome, size = excluded.size",
        rows(&COLUMNS)
    );
    let changed: Vec<&DevicePatchRow> = changed.values().collect();
    for changed in changed.chunks(BATCH) {
        Kept::on(&sql, changed)?.run(conn)?;
    }
    Ok(())
}

/// Notes how large the patch was that went out to devices.
pub(super) fn sent(conn: &mut Conn, sent: &[(RolloutKey, u64)]) -> Result<(), Fault> {
    if sent.is_empty() {
        return Ok(());
    }
    let mut found = read(conn, sent.iter().map(|(key, _)| *key))?;
    for (key, size) in sent {
        if let Some(row) = found.get_mut(key) {
            row.size = Some(i64::try_from(*size).unwrap_or(i64::MAX));
        }
    }
    write(conn, &found)
}

/// Counts what is said for the first time in an attempt, and returns what that was, by the report's answer.
pub(super) fn count(conn: &mut Conn, said: &[Said]) -> Result<Vec<(usize, PatchCounted)>, Fault> {
    if said.is_empty() {
        return Ok(Vec::new());
    }
    let sizes = sizes(conn, said)?;
    let mut found = read(conn, said.iter().map(|said| said.key))?;
    let (mut counted, mut sums) = (Vec::new(), BTreeMap::<_, Sum>::new());
    for said in said {
        let Some(row) = found.get_mut(&said.key) else {
            continue;
        };
        let generation = i64::from(said.retry_generation);
        if row.retry_generation >= Some(generation) {
            continue;
        }
        row.retry_generation = Some(generation);
        row.outcome = Some(said.outcome.as_str().to_owned());
        // What was lost with a crash is not made up.
        let fetched = row.size.filter(|_| said.outcome == PatchOutcome::Applied);
        let saved = fetched.map_or(0, |fetched| {
            sizes.get(&row.build_id).map_or(0, |full| (full - fetched).max(0))
        });
        let sum = sums.entry((row.rollout_id, row.build_id)).or_default();
        *sum.outcomes.entry(said.outcome).or_default() += 1;
        sum.saved += saved;
        let saved_bytes = u64::try_from(saved).unwrap_or_default();
        let outcome = said.outcome;
        counted.push((said.answer, PatchCounted { outcome, saved_bytes }));
    }
    write(conn, &found)?;
    add(conn, &sums)?;
    Ok(counted)
}

fn sizes(conn: &mut Conn, said: &[Said]) -> Result<HashMap<i64, i64>, Fault> {
    let ids: Vec<i64> = said.iter().map(|said| said.key.2).collect();
    let found: Vec<(i64, i64)> = builds::table
        .filter(builds::id.eq_any(ids))
        .select((builds::id, builds::size))
        .load(conn)?;
    Ok(found.into_iter().collect())
}

#[derive(Default)]
struct Sum {
    outcomes: BTreeMap<PatchOutcome, i64>,
    saved: i64,
}

fn add(conn: &mut Conn, sums: &BTreeMap<(i64, i64), Sum>) -> Result<(), Fault> {
    for ((rollout, build), sum) in sums {
        let names = PatchOutcome::ALL.map(PatchOutcome::as_str).join(", ");
        let counts = PatchOutcome::ALL.map(|outcome| sum.outcomes.get(&outcome).copied().unwrap_or(0));
        let values = counts.map(|count| count.to_string()).join(", ");
        let updates = PatchOutcome::ALL
            .map(|outcome| format!("{outcome} = patch_stats.{outcome} + excluded.{outcome}"))
            .join(", ");
        diesel::sql_query(format!(
            "INSERT INTO patch_stats (rollout_id, build_id, {names}, bytes_saved)
             VALUES ({rollout}, {build}, {values}, {})
             ON CONFLICT (rollout_id, build_id) DO UPDATE SET
               {updates}, bytes_saved = patch_stats.bytes_saved + excluded.bytes_saved",
            sum.saved
        ))
        .execute(conn)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct StatsRow {
    #[diesel(sql_type = BigInt)]
    rollout_id: i64,
    #[diesel(sql_type = BigInt)]
    applied: i64,
    #[diesel(sql_type = BigInt)]
    base_differs: i64,
    #[diesel(sql_type = BigInt)]
    download_failed: i64,
    #[diesel(sql_type = BigInt)]
    damaged: i64,
    #[diesel(sql_type = BigInt)]
    no_space: i64,
    #[diesel(sql_type = BigInt)]
    apply_failed: i64,
    #[diesel(sql_type = BigInt)]
    bytes_saved: i64,
    #[diesel(sql_type = BigInt)]
    downloads: i64,
}

pub(crate) fn stats(conn: &mut Conn, build: BuildId) -> Result<Vec<PatchStats>, Fault> {
    let rows: Vec<StatsRow> = diesel::sql_query(format!(
        "SELECT p.*, coalesce(s.total_downloads, 0) AS downloads FROM patch_stats p
         LEFT JOIN rollout_stats s ON s.rollout_id = p.rollout_id AND s.build_id = p.build_id
         WHERE p.build_id = {build} ORDER BY p.rollout_id"
    ))
    .load(conn)?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let stats = rows.into_iter().map(|row| PatchStats {
        rollout: RolloutId(row.rollout_id),
        full: count(row.downloads - row.applied),
        outcomes: [
            row.applied,
            row.base_differs,
            row.download_failed,
            row.damaged,
            row.no_space,
            row.apply_failed,
        ]
        .map(count),
        saved_bytes: count(row.bytes_saved),
    });
    Ok(stats.collect())
}
