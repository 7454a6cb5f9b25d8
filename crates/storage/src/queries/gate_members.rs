//! What gates ask of their members: who fell silent, who crashed, and whether anybody is heard at all.
//!
//! Whoever is revoked, retired or erased loses its row, and the others leave by clock and position, which are asked for
//! here. So those at risk are counted without a look at the devices.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use serde::Serialize;
use tidegate_domain::gate::{
    Arms, BlindTimes, DENSE_PHASE, Logrank, Look, LostTest, Member, Patience, Stratum, WATCHED_FOR, lost_at,
};

use super::{BATCH, Conn, SKIP_LOCKED, execute_on, rows};
use crate::device_build::{arm, gate_step, step};
use crate::error::Fault;
pub(crate) use crate::gates::GateAtHand as AtHand;
use crate::time::{micros, moment};

/// The most members that one look finds silent or crashed. Where there are more, the next look follows a second later.
const MAX_FOUND: usize = 2_000;

/// How many control members are asked whether polls arrive at all.
const SAMPLE: u32 = 1_000;

const HOUR: i64 = 3_600_000_000;

/// Which members `m` are still watched, as [`Member::is_watched`] says.
fn watched(at: &AtHand) -> String {
    format!(
        "m.entered_at > {} AND (m.treated OR (m.step = {} AND m.takes_at > {}))",
        micros(at.now - WATCHED_FOR),
        at.step,
        at.share.get()
    )
}

/// Who is in which arm: for silence, and for crashes, which is none where no member tells of any. One pass over the
/// rollout's members.
pub(crate) fn arms(conn: &mut Conn, at: &AtHand) -> Result<(Arms, Option<Arms>), Fault> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        treated: bool,
        #[diesel(sql_type = BigInt)]
        entered: i64,
        #[diesel(sql_type = BigInt)]
        at_risk: i64,
        #[diesel(sql_type = BigInt)]
        telling: i64,
        #[diesel(sql_type = BigInt)]
        telling_entered: i64,
        #[diesel(sql_type = BigInt)]
        telling_at_risk: i64,
    }
    let sql = format!(
        "SELECT m.treated, count(*) FILTER (WHERE m.segment = {segment}) AS entered,
                count(*) FILTER (WHERE m.lost_short_at IS NULL AND {watched}) AS at_risk,
                count(m.crashes) AS telling,
                count(m.crashes) FILTER (WHERE m.segment = {segment}) AS telling_entered,
                count(m.crashes) FILTER (WHERE NOT m.crash_counted AND {watched}) AS telling_at_risk
         FROM gate_members m WHERE m.rollout_id = {rollout} GROUP BY m.treated",
        segment = at.segment.number,
        watched = watched(at),
        rollout = at.rollout,
    );
    let found: Vec<Row> = diesel::sql_query(sql).load(conn)?;
    let (mut lost, mut crashing) = (Arms::default(), Arms::default());
    for row in &found {
        count(&mut lost, row.treated, row.entered, row.at_risk);
        count(
            &mut crashing,
            row.treated,
            row.telling_entered,
            row.telling_at_risk,
        );
    }
    let tells = found.iter().any(|row| row.telling > 0);
    Ok((lost, tells.then_some(crashing)))
}

fn count(arms: &mut Arms, treated: bool, entered: i64, at_risk: i64) {
    let (of_entered, of_risk) = match treated {
        true => (&mut arms.treated, &mut arms.treated_at_risk),
        false => (&mut arms.control, &mut arms.control_at_risk),
    };
    (*of_entered, *of_risk) = (entered.unsigned_abs(), at_risk.unsigned_abs());
}

/// A member whose silence is to be looked at.
#[derive(QueryableByName)]
struct Due {
    #[diesel(sql_type = BigInt)]
    device_id: i64,
    #[diesel(sql_type = Bool)]
    treated: bool,
    #[diesel(sql_type = BigInt)]
    segment: i64,
    #[diesel(sql_type = BigInt)]
    step: i64,
    #[diesel(sql_type = BigInt)]
    entered_at: i64,
    #[diesel(sql_type = Bool)]
    nudged: bool,
    #[diesel(sql_type = Bool)]
    dense: bool,
    #[diesel(sql_type = BigInt)]
    takes_at: i64,
    #[diesel(sql_type = BigInt)]
    heard_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    seen_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lost_short_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    lost_long_at: Option<i64>,
}

/// What is written of it afterwards.
#[derive(Serialize)]
struct Looked {
    rollout_id: i64,
    device_id: i64,
    heard_at: i64,
    lost_due_at: Option<i64>,
    lost_short_at: Option<i64>,
    lost_long_at: Option<i64>,
}

/// What a look found of one member.
struct Found {
    looked: Looked,
    stratum: Stratum,
    treated: bool,
    /// The patiences that its silence has outlasted now.
    lost: Vec<Patience>,
}

/// Finds members whose silence is due, marks them and adds one look for each stratum with events; those at risk are
/// counted before the look's events. Where something was heard since, or the gate was blind, the look is put off. While the
/// gate is blind there is none. Returns whether more may be due.
pub(crate) fn look_for_lost(
    conn: &mut Conn,
    at: &AtHand,
    blind: &BlindTimes,
    test: &mut LostTest,
) -> Result<bool, Fault> {
    if blind.is_blind() {
        return Ok(false);
    }
    let sql = format!(
        "SELECT m.*, d.last_seen_at AS seen_at FROM gate_members m JOIN devices d ON d.id = m.device_id
         WHERE m.rollout_id = {} AND m.lost_due_at <= {} ORDER BY m.lost_due_at LIMIT {MAX_FOUND}{SKIP_LOCKED}",
        at.rollout,
        micros(at.now)
    );
    let due: Vec<Due> = diesel::sql_query(sql).load(conn)?;
    let found: Result<Vec<Found>, Fault> = due.into_iter().map(|due| due.look(at, blind)).collect();
    let found = found?;
    for patience in Patience::ALL {
        let lost = found.iter().filter(|found| found.lost.contains(&patience));
        let events = events(lost.map(|found| (found.stratum, found.treated)));
        let (at_risk, logrank) = match patience {
            Patience::Short => ("m.lost_short_at IS NULL", &mut test.short),
            Patience::Long => ("m.lost_long_at IS NULL", &mut test.long),
        };
        add_looks(conn, at, &events, at_risk, logrank)?;
    }
    let looked: Vec<Looked> = found.into_iter().map(|found| found.looked).collect();
    write_looks(conn, &looked)?;
    Ok(looked.len() == MAX_FOUND)
}

impl Due {
    fn look(self, at: &AtHand, blind: &BlindTimes) -> Result<Found, Fault> {
        let (entered, now) = (moment(self.entered_at)?, at.now);
        let heard_at = self
            .heard_at
            .max(self.seen_at.unwrap_or(i64::MIN))
            .max(self.entered_at);
        let heard = moment(heard_at)?;
        let by = gate_step(self.segment, self.step)?;
        let member = Member {
            arm: arm(self.treated),
            step: by.step,
            entered,
            nudged: self.nudged,
        };
        let mut looked = Looked {
            rollout_id: at.rollout,
            device_id: self.device_id,
            heard_at,
            lost_due_at: None,
            lost_short_at: self.lost_short_at,
            lost_long_at: self.lost_long_at,
        };
        let mut lost = Vec::new();
        let is_watched = now < entered + WATCHED_FOR
            && (self.treated || (by.step == at.step && self.takes_at > i64::from(at.share.get())));
        // Whoever resumes a rollout has seen who is silent: that leaves, and is no event.
        let leaves = by.segment < at.segment.number && heard < at.segment.began;
        for patience in Patience::ALL.into_iter().filter(|_| is_watched) {
            let lost_at_once = match patience {
                Patience::Short => &mut looked.lost_short_at,
                Patience::Long => &mut looked.lost_long_at,
            };
            if lost_at_once.is_some() {
                continue;
            }
            let bears = lost_at(entered, heard, self.dense, patience) - heard;
            let left = bears - blind.passed(heard, now);
            if left > TimeDelta::zero() {
                let due = micros(now + left);
                looked.lost_due_at = Some(looked.lost_due_at.map_or(due, |other| other.min(due)));
                continue;
            }
            *lost_at_once = Some(micros(now));
            if !leaves {
                lost.push(patience);
            }
        }
        if leaves && looked.lost_short_at.is_some() {
            looked.lost_long_at.get_or_insert(micros(now));
            looked.lost_due_at = None;
        }
        Ok(Found {
            looked,
            stratum: member.stratum(),
            treated: self.treated,
            lost,
        })
    }
}

fn write_looks(conn: &mut Conn, looked: &[Looked]) -> Result<(), Fault> {
    let columns = [
        "rollout_id",
        "device_id",
        "heard_at",
        "lost_due_at",
        "lost_short_at",
        "lost_long_at",
    ];
    let sets: Vec<String> = columns[2..]
        .iter()
        .map(|name| format!("{name} = v.{name}"))
        .collect();
    // Were the rollout a number here, SQLite would go through all of its members for each row.
    let sql = format!(
        "UPDATE gate_members SET {} FROM {}
         WHERE gate_members.rollout_id = v.rollout_id AND gate_members.device_id = v.device_id",
        sets.join(", "),
        rows(&columns.map(|name| (name, "bigint")))
    );
    for looked in looked.chunks(BATCH) {
        execute_on(conn, &sql, looked)?;
    }
    Ok(())
}

/// Adds members whose polls told more crashes than at their entry since the last look. Returns whether there may be more.
pub(crate) fn look_for_crashes(conn: &mut Conn, at: &AtHand, test: &mut Logrank) -> Result<bool, Fault> {
    #[derive(QueryableByName)]
    struct Crashed {
        #[diesel(sql_type = BigInt)]
        device_id: i64,
        #[diesel(sql_type = Bool)]
        treated: bool,
        #[diesel(sql_type = BigInt)]
        step: i64,
        #[diesel(sql_type = BigInt)]
        entered_at: i64,
        #[diesel(sql_type = Bool)]
        nudged: bool,
        #[diesel(sql_type = Bool)]
        counts: bool,
    }
    #[derive(Serialize)]
    struct Counted {
        rollout_id: i64,
        device_id: i64,
    }
    let sql = format!(
        "SELECT m.device_id, m.treated, m.step, m.entered_at, m.nudged,
                ({watched} AND (m.segment = {segment} OR m.crashed_at > {began})) AS counts
         FROM gate_members m
         WHERE m.rollout_id = {rollout} AND m.crashed_at > 0 AND NOT m.crash_counted
         ORDER BY m.crashed_at LIMIT {MAX_FOUND}{SKIP_LOCKED}",
        watched = watched(at),
        segment = at.segment.number,
        began = micros(at.segment.began),
        rollout = at.rollout,
    );
    let crashed: Vec<Crashed> = diesel::sql_query(sql).load(conn)?;
    let mut members = Vec::new();
    for row in crashed.iter().filter(|row| row.counts) {
        let member = Member {
            arm: arm(row.treated),
            step: step(row.step)?,
            entered: moment(row.entered_at)?,
            nudged: row.nudged,
        };
        members.push((member.stratum(), row.treated));
    }
    let events = events(members.into_iter());
    let at_risk = "m.crashes IS NOT NULL AND NOT m.crash_counted";
    add_looks(conn, at, &events, at_risk, test)?;
    let counted: Vec<Counted> = crashed
        .iter()
        .map(|row| Counted {
            rollout_id: at.rollout,
            device_id: row.device_id,
        })
        .collect();
    let sql = format!(
        "UPDATE gate_members SET crash_counted = true FROM {}
         WHERE gate_members.rollout_id = v.rollout_id AND gate_members.device_id = v.device_id",
        rows(&[("rollout_id", "bigint"), ("device_id", "bigint")])
    );
    for counted in counted.chunks(BATCH) {
        execute_on(conn, &sql, counted)?;
    }
    Ok(counted.len() == MAX_FOUND)
}

/// Events among the treated and among control.
type Events = BTreeMap<Stratum, (u64, u64)>;

fn events(found: impl Iterator<Item = (Stratum, bool)>) -> Events {
    let mut events = Events::new();
    for (stratum, treated) in found {
        let (of_treated, of_control) = events.entry(stratum).or_default();
        *(if treated { of_treated } else { of_control }) += 1;
    }
    events
}

/// Adds a look for each stratum with events, of those that are at risk as the table stands.
fn add_looks(
    conn: &mut Conn,
    at: &AtHand,
    events: &Events,
    at_risk: &str,
    test: &mut Logrank,
) -> Result<(), Fault> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        step: i64,
        #[diesel(sql_type = BigInt)]
        hour: i64,
        #[diesel(sql_type = Bool)]
        nudged: bool,
        #[diesel(sql_type = Bool)]
        treated: bool,
        #[diesel(sql_type = BigInt)]
        devices: i64,
    }
    let hours = || events.keys().map(|stratum| stratum.hour);
    let (Some(first), Some(last)) = (hours().min(), hours().max()) else {
        return Ok(());
    };
    let mut looks: BTreeMap<Stratum, Look> = BTreeMap::new();
    for (stratum, (treated_events, control_events)) in events {
        let look = Look {
            treated_events: *treated_events,
            control_events: *control_events,
            ..Look::default()
        };
        looks.insert(*stratum, look);
    }
    let sql = format!(
        "SELECT m.step, m.entered_at / {HOUR} AS hour, m.nudged, m.treated, count(*) AS devices
         FROM gate_members m
         WHERE m.rollout_id = {rollout} AND m.entered_at >= {from} AND m.entered_at < {until}
           AND {at_risk} AND {watched}
         GROUP BY m.step, m.entered_at / {HOUR}, m.nudged, m.treated",
        rollout = at.rollout,
        from = first * HOUR,
        until = (last + 1) * HOUR,
        watched = watched(at),
    );
    for row in diesel::sql_query(sql).load::<Row>(conn)? {
        let stratum = Stratum {
            step: step(row.step)?,
            hour: row.hour,
            nudged: row.nudged,
        };
        if let Some(look) = looks.get_mut(&stratum) {
            *(if row.treated {
                &mut look.treated
            } else {
                &mut look.control
            }) = row.devices.unsigned_abs();
        }
    }
    looks.into_values().for_each(|look| test.add(look));
    Ok(())
}

/// Of control members at risk that entered over an hour ago, of the youngest 1,000: how many devices should have been heard
/// within the last hour, given how often devices poll, and how many were.
pub(crate) fn control_polls(conn: &mut Conn, at: &AtHand, interval: TimeDelta) -> Result<(u64, u64), Fault> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        often: i64,
        #[diesel(sql_type = BigInt)]
        seldom: i64,
        #[diesel(sql_type = BigInt)]
        heard: i64,
    }
    let hour_ago = micros(at.now) - HOUR;
    let sql = format!(
        "SELECT count(*) FILTER (WHERE m.often) AS often, count(*) FILTER (WHERE NOT m.often) AS seldom,
                count(*) FILTER (WHERE m.heard_at > {hour_ago} OR d.last_seen_at > {hour_ago}) AS heard
         FROM (SELECT m.device_id, m.heard_at, (m.dense AND m.entered_at > {dense_since}) AS often
               FROM gate_members m
               WHERE m.rollout_id = {rollout} AND m.treated = false AND m.entered_at <= {hour_ago}
                 AND m.lost_long_at IS NULL AND {watched}
               ORDER BY m.entered_at DESC LIMIT {SAMPLE}) m
         JOIN devices d ON d.id = m.device_id",
        dense_since = micros(at.now - DENSE_PHASE),
        rollout = at.rollout,
        watched = watched(at),
    );
    let row: Row = diesel::sql_query(sql).get_result(conn)?;
    let (often, seldom) = (row.often.unsigned_abs(), row.seldom.unsigned_abs());
    let seconds = interval.num_seconds().max(3_600).unsigned_abs();
    Ok((often + seldom * 3_600 / seconds, row.heard.unsigned_abs()))
}
