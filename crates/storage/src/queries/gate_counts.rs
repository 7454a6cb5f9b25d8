//! The outcomes of gates' steps.

use std::collections::HashMap;

use diesel::prelude::*;
use tidegate_domain::gate::{RolloutGate, StepCounts};
use tidegate_domain::{PlanRun, RolloutState};

use super::gate_members::AtHand;
use super::kept::Kept;
use super::{BATCH, Conn, rows};
use crate::Error;
use crate::error::Fault;
use crate::gate_tally::{GateStep, GateTally};
use crate::rows::{from_json, small};
use crate::schema::{gate_counts, rollouts};

const COUNTS: [&str; 8] = [
    "reached",
    "begun",
    "sent",
    "failed",
    "corrupt",
    "in_trouble",
    "confirmed",
    "watched",
];

/// Adds what a batch counted.
pub(crate) fn add(conn: &mut Conn, tally: &GateTally) -> Result<(), Fault> {
    let changed = tally.rows();
    if changed.is_empty() {
        return Ok(());
    }
    let key = ["rollout_id", "segment", "step"];
    let columns: Vec<(&str, &str)> = key
        .into_iter()
        .chain(COUNTS)
        .map(|name| (name, "bigint"))
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let updates = COUNTS.map(|name| format!("{name} = gate_counts.{name} + excluded.{name}"));
    let sql = format!(
        "INSERT INTO gate_counts ({names}) SELECT {names} FROM {source} WHERE true
         ON CONFLICT ({key}) DO UPDATE SET {updates}",
        names = names.join(", "),
        source = rows(&columns),
        key = key.join(", "),
        updates = updates.join(", "),
    );
    for changed in changed.chunks(BATCH) {
        Kept::on(&sql, changed)?.run(conn)?;
    }
    Ok(())
}

/// What was counted in a step.
#[derive(Queryable, Selectable)]
#[diesel(table_name = gate_counts)]
struct CountRow {
    rollout_id: i64,
    segment: i64,
    step: i64,
    reached: i64,
    begun: i64,
    sent: i64,
    failed: i64,
    corrupt: i64,
    in_trouble: i64,
    confirmed: i64,
}

impl CountRow {
    fn counts(&self) -> Result<StepCounts, Error> {
        Ok(StepCounts {
            reached: number(self.reached)?,
            begun: number(self.begun)?,
            sent: number(self.sent)?,
            failed: number(self.failed)?,
            corrupt: number(self.corrupt)?,
            in_trouble: number(self.in_trouble)?,
            confirmed: number(self.confirmed)?,
        })
    }

    fn numbers(&self) -> [i64; 10] {
        [
            self.rollout_id,
            self.segment,
            self.step,
            self.reached,
            self.begun,
            self.sent,
            self.failed,
            self.corrupt,
            self.in_trouble,
            self.confirmed,
        ]
    }
}

/// Outcomes of the segment's steps from 0 to the step at hand, with zeros for a step that nobody was reached in.
pub(crate) fn step_counts(conn: &mut Conn, at: &AtHand) -> Result<Vec<StepCounts>, Fault> {
    let found: Vec<CountRow> = gate_counts::table
        .filter(gate_counts::rollout_id.eq(at.rollout))
        .filter(gate_counts::segment.eq(i64::from(at.segment.number)))
        .filter(gate_counts::step.le(i64::from(at.step)))
        .select(CountRow::as_select())
        .load(conn)?;
    let mut counts = vec![StepCounts::default(); usize::from(at.step) + 1];
    for row in found {
        let slot = usize::try_from(row.step)
            .ok()
            .and_then(|step| counts.get_mut(step));
        if let Some(slot) = slot {
            *slot = row.counts()?;
        }
    }
    Ok(counts)
}

/// All counts of these rollouts in a row, to be compared with those of another time.
pub(crate) fn mark(conn: &mut Conn, rollouts: &[i64]) -> Result<Vec<i64>, Fault> {
    let found: Vec<CountRow> = gate_counts::table
        .filter(gate_counts::rollout_id.eq_any(rollouts))
        .order((gate_counts::rollout_id, gate_counts::segment, gate_counts::step))
        .select(CountRow::as_select())
        .load(conn)?;
    Ok(found.iter().flat_map(CountRow::numbers).collect())
}

/// Writes these counts down as those of a rollout's steps.
#[cfg(feature = "testing")]
pub(crate) fn keep(conn: &mut Conn, rollout: i64, segment: u32, steps: &[StepCounts]) -> Result<(), Fault> {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for (step, counts) in (0_i64..).zip(steps) {
        diesel::delete(gate_counts::table.find((rollout, i64::from(segment), step))).execute(conn)?;
        diesel::insert_into(gate_counts::table)
            .values((
                gate_counts::rollout_id.eq(rollout),
                gate_counts::segment.eq(i64::from(segment)),
                gate_counts::step.eq(step),
                gate_counts::reached.eq(whole(counts.reached)),
                gate_counts::begun.eq(whole(counts.begun)),
                gate_counts::sent.eq(whole(counts.sent)),
                gate_counts::failed.eq(whole(counts.failed)),
                gate_counts::corrupt.eq(whole(counts.corrupt)),
                gate_counts::in_trouble.eq(whole(counts.in_trouble)),
                gate_counts::confirmed.eq(whole(counts.confirmed)),
                gate_counts::watched.eq(0),
            ))
            .execute(conn)?;
    }
    Ok(())
}

fn number(count: i64) -> Result<u64, Error> {
    u64::try_from(count).map_err(|fault| Error::corrupt("gate_counts", fault))
}

/// How many treated devices of a step entered its arm, in whichever segment.
pub(crate) fn watched(conn: &mut Conn, rollout: i64, step: u16) -> Result<i64, Fault> {
    let watched: Vec<i64> = gate_counts::table
        .filter(gate_counts::rollout_id.eq(rollout))
        .filter(gate_counts::step.eq(i64::from(step)))
        .select(gate_counts::watched)
        .load(conn)?;
    Ok(watched.iter().sum())
}

/// What is needed of a rollout to take a report.
pub(crate) struct Reported {
    pub(crate) package: i64,
    pub(crate) retry_generation: u32,
    /// Where its gate stands, if it has one that counts.
    pub(crate) gate: Option<GateStep>,
}

/// Of rollouts that exist. A report may come before the buffered offer that it proves: then the step is that at hand.
pub(crate) fn reported(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, Reported>, Fault> {
    type Row = (i64, i64, i64, String, Option<String>, Option<String>);
    let mut found = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let rows: Vec<Row> = rollouts::table
            .filter(rollouts::id.eq_any(ids))
            .select((
                rollouts::id,
                rollouts::package_id,
                rollouts::retry_generation,
                rollouts::state,
                rollouts::gate_json,
                rollouts::plan_json,
            ))
            .load(conn)?;
        for (id, package, retry_generation, state, gate, plan) in rows {
            let reported = Reported {
                package,
                retry_generation: small("rollouts.retry_generation", retry_generation)?,
                gate: at_hand(&state, gate.as_deref(), plan.as_deref())?,
            };
            found.insert(id, reported);
        }
    }
    Ok(found)
}

/// Where the gate of a rollout stands that offers its build, or did until it was stopped.
fn at_hand(state: &str, gate: Option<&str>, plan: Option<&str>) -> Result<Option<GateStep>, Error> {
    let counts = [RolloutState::Active, RolloutState::Paused, RolloutState::Halted];
    let Some(gate) = gate.filter(|_| counts.iter().any(|counts| counts.as_str() == state)) else {
        return Ok(None);
    };
    let gate: RolloutGate = from_json("rollouts.gate_json", gate)?;
    let plan: Option<PlanRun> = plan
        .map(|plan| from_json("rollouts.plan_json", plan))
        .transpose()?;
    let step = plan.map_or(0, |run| run.progress.step);
    Ok(Some(GateStep {
        segment: gate.segment.number,
        step: u16::try_from(step).unwrap_or(u16::MAX),
    }))
}
