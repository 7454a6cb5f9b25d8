//! What gates have read, minute by minute.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tidegate_domain::RolloutId;
use tidegate_domain::gate::{ComparedReading, Evidence, GateReading, NotMeasured};

use super::Conn;
use crate::error::Fault;
use crate::schema::gate_readings;
use crate::time::{micros, minute, moment};
use crate::{Error, GateEvidence, MAX_GATE_READINGS};

/// E-values are kept as thousandths of their logarithm: whole numbers are the same in both engines.
const THOUSANDTHS: f64 = 1000.0;

#[derive(Insertable, AsChangeset, Queryable, Selectable)]
#[diesel(table_name = gate_readings, treat_none_as_null = true)]
struct ReadingRow {
    rollout_id: i64,
    minute_at: i64,
    failed: i64,
    corrupt: i64,
    lost: Option<i64>,
    crashing: Option<i64>,
    good: Option<i64>,
}

impl ReadingRow {
    fn evidence(&self) -> (i64, i64, Option<i64>, Option<i64>, Option<i64>) {
        (self.failed, self.corrupt, self.lost, self.crashing, self.good)
    }
}

/// Writes a reading down in place of this minute's earlier one, unless it is what was read last.
pub(super) fn keep(
    conn: &mut Conn,
    rollout: RolloutId,
    now: DateTime<Utc>,
    reading: &GateReading,
) -> Result<(), Fault> {
    let row = ReadingRow {
        rollout_id: rollout.0,
        minute_at: minute(micros(now)),
        failed: thousandths(reading.failed.ln_e),
        corrupt: thousandths(reading.corrupt.ln_e),
        lost: compared(&reading.lost),
        crashing: compared(&reading.crashing),
        good: reading.advance.ln_e_good.map(thousandths),
    };
    let last: Option<ReadingRow> = gate_readings::table
        .filter(gate_readings::rollout_id.eq(rollout.0))
        .order(gate_readings::minute_at.desc())
        .select(ReadingRow::as_select())
        .first(conn)
        .optional()?;
    if last.is_some_and(|last| last.evidence() == row.evidence()) {
        return Ok(());
    }
    let known = gate_readings::table.find((row.rollout_id, row.minute_at));
    if diesel::update(known).set(&row).execute(conn)? > 0 {
        return Ok(());
    }
    diesel::insert_into(gate_readings::table)
        .values(&row)
        .execute(conn)?;
    thin_out(conn, rollout)
}

/// Where there are too many, every second goes. The first and the last stay.
fn thin_out(conn: &mut Conn, rollout: RolloutId) -> Result<(), Fault> {
    let kept: i64 = gate_readings::table
        .filter(gate_readings::rollout_id.eq(rollout.0))
        .count()
        .get_result(conn)?;
    if usize::try_from(kept).unwrap_or(0) <= MAX_GATE_READINGS {
        return Ok(());
    }
    diesel::sql_query(
        "DELETE FROM gate_readings WHERE rollout_id = $1 AND minute_at IN (
           SELECT minute_at FROM (SELECT minute_at, row_number() OVER (ORDER BY minute_at) AS number
                                  FROM gate_readings WHERE rollout_id = $1) numbered
           WHERE number % 2 = 0)",
    )
    .bind::<BigInt, _>(rollout.0)
    .execute(conn)?;
    Ok(())
}

/// Where only control has run out, what was found before stays.
fn compared(reading: &ComparedReading) -> Option<i64> {
    let is_told = matches!(reading.not_measured, None | Some(NotMeasured::NoControl));
    is_told.then(|| thousandths(reading.ln_e))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast saturates, and what is beyond is certain enough"
)]
fn thousandths(evidence: Evidence) -> i64 {
    (evidence.ln() * THOUSANDTHS).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "logarithms are small")]
fn ln(thousandths: i64) -> f64 {
    thousandths as f64 / THOUSANDTHS
}

pub(crate) fn list(conn: &mut Conn, rollout: RolloutId) -> Result<Vec<GateEvidence>, Fault> {
    let rows: Vec<ReadingRow> = gate_readings::table
        .filter(gate_readings::rollout_id.eq(rollout.0))
        .order(gate_readings::minute_at)
        .select(ReadingRow::as_select())
        .load(conn)?;
    let readings = rows.into_iter().map(|row| {
        Ok::<_, Error>(GateEvidence {
            minute: moment(row.minute_at)?,
            failed: ln(row.failed),
            corrupt: ln(row.corrupt),
            lost: row.lost.map(ln),
            crashing: row.crashing.map(ln),
            good: row.good.map(ln),
        })
    });
    Ok(readings.collect::<Result<_, Error>>()?)
}
