//! Gates' statements.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::gate::{GateCounts, GateFacts, GateReading, GateState, RolloutGate, judge};
use tidegate_domain::{By, PackageName, Release, Rollout, RolloutId, RolloutState, Track};

use super::gate_members::{self, AtHand};
use super::{Conn, lock, rollouts};
use super::{gate_counts, gate_readings};
use crate::error::Fault;
use crate::rows::{from_json, to_json};
use crate::schema::gates;
use crate::time::{micros, moment};
use crate::{Actor, Error, GateFailures, GateJudged, GateLook, GateQuestion, GatesLooked};

pub(crate) fn last_look(conn: &mut Conn, rollout: RolloutId) -> Result<Option<GateLook>, Fault> {
    let row: Option<(i64, String)> = gates::table
        .find(rollout.0)
        .select((gates::looked_at, gates::facts_json))
        .first(conn)
        .optional()?;
    let look = row.map(|(at, facts)| {
        Ok::<_, Error>(GateLook {
            at: moment(at)?,
            facts: from_json("gates.facts_json", &facts)?,
        })
    });
    Ok(look.transpose()?)
}

/// Looks at a package's gates, and does what the first one asks for whose reading changes something. The others are looked
/// at the next time: their track is another one by then.
pub(crate) fn look(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
    question: &GateQuestion,
) -> Result<GatesLooked, Fault> {
    let mut looked = GatesLooked {
        is_news: false,
        judged: None,
    };
    let Some(id) = lock::package(conn, package.as_str())? else {
        return Ok(looked);
    };
    let track = rollouts::load_track(conn, id, package)?;
    for (release, gate) in track.gated() {
        let (reading, is_news) = look_at(conn, release, gate, actor.now, question)?;
        looked.is_news |= is_news;
        let by = By {
            actor: &actor.subject,
            on_behalf_of: None,
            now: actor.now,
        };
        let Some(change) = track.judged(release.rollout.id, &reading, by) else {
            continue;
        };
        let changed = change
            .updates
            .iter()
            .find(|changed| changed.id == release.rollout.id);
        let reading = changed
            .and_then(|changed| changed.spec.gate)
            .map_or(reading, |gate| gate.upheld(reading));
        let sentence = reading.sentence(&release.build.facts.version_label());
        rollouts::write_judged(conn, id, package, actor, &change, (&reading, &sentence))?;
        looked.judged = Some(GateJudged {
            rollout: release.rollout.id,
            change,
            reading,
            sentence,
        });
        break;
    }
    Ok(looked)
}

/// One look: what happened since the last one, counted, judged and written down. And whether that is another than before.
fn look_at(
    conn: &mut Conn,
    release: &Release,
    gate: RolloutGate,
    now: DateTime<Utc>,
    question: &GateQuestion,
) -> Result<(GateReading, bool), Fault> {
    let rollout = &release.rollout;
    let at = at_hand(rollout, gate, now);
    let before = last_state(conn, rollout.id)?;
    let steps = rollout.spec.plan.as_ref().map_or(1, |run| run.plan.steps().len());
    let known = before
        .as_ref()
        .map(|(state, _)| state.clone())
        .unwrap_or_default();
    let mut state = known.at(gate.segment, usize::from(at.step) + 1, steps);
    if state.is_to_search(now) {
        let polls = gate_members::control_polls(conn, &at, question.poll_interval)?;
        if state.note_polls(polls, now) {
            let lost = gate_members::look_for_lost(conn, &at, &state.blind, &mut state.lost)?;
            let crashed = gate_members::look_for_crashes(conn, &at, &mut state.crashing)?;
            state.has_searched(lost || crashed, now);
        }
        (state.lost_arms, state.crashing_arms) = gate_members::arms(conn, &at)?;
    }
    let counts = GateCounts {
        fleet: question.fleet,
        steps: gate_counts::step_counts(conn, &at)?,
    };
    let facts = state.facts(&rollout.spec, counts, now);
    let reading = judge(&gate.terms.settings, &facts);
    let is_news = before.is_none_or(|(known, told)| known != state || told != facts);
    if is_news {
        keep(conn, rollout.id, now, &state, &facts)?;
        gate_readings::keep(conn, rollout.id, now, &reading)?;
    }
    Ok((reading, is_news))
}

fn at_hand(rollout: &Rollout, gate: RolloutGate, now: DateTime<Utc>) -> AtHand {
    AtHand {
        rollout: rollout.id.0,
        segment: gate.segment,
        step: rollout.spec.gate_step(),
        share: rollout.spec.share(now),
        now,
    }
}

fn last_state(conn: &mut Conn, rollout: RolloutId) -> Result<Option<(GateState, GateFacts)>, Fault> {
    let row: Option<(String, String)> = gates::table
        .find(rollout.0)
        .select((gates::state_json, gates::facts_json))
        .first(conn)
        .optional()?;
    let state = row.map(|(state, facts)| {
        let state = from_json("gates.state_json", &state)?;
        Ok::<_, Error>((state, from_json("gates.facts_json", &facts)?))
    });
    Ok(state.transpose()?)
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = gates)]
struct GateRow {
    rollout_id: i64,
    looked_at: i64,
    state_json: String,
    facts_json: String,
}

fn keep(
    conn: &mut Conn,
    rollout: RolloutId,
    now: DateTime<Utc>,
    state: &GateState,
    facts: &GateFacts,
) -> Result<(), Fault> {
    let row = GateRow {
        rollout_id: rollout.0,
        looked_at: micros(now),
        state_json: to_json(state)?,
        facts_json: to_json(facts)?,
    };
    let changed = diesel::update(gates::table.find(rollout.0))
        .set(&row)
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(gates::table).values(&row).execute(conn)?;
    }
    Ok(())
}

/// What the gates of a track's halted rollouts have counted: whoever resumes one must have seen it. Who fell silent or crashed
/// is what the last look found; what devices told since is counted.
pub(crate) fn failures(conn: &mut Conn, track: &Track, now: DateTime<Utc>) -> Result<GateFailures, Fault> {
    let mut failures = HashMap::new();
    for release in &track.serving {
        let (id, spec) = (release.rollout.id, &release.rollout.spec);
        let Some(gate) = spec.gate.filter(|_| spec.state == RolloutState::Halted) else {
            continue;
        };
        let Some(mut look) = last_look(conn, id)?.filter(|look| look.at >= gate.segment.began) else {
            continue;
        };
        look.facts.steps = gate_counts::step_counts(conn, &at_hand(&release.rollout, gate, now))?;
        if let Some(reading) = gate.reading(look.at, &look.facts) {
            failures.insert(id, reading.failures());
        }
    }
    Ok(GateFailures(failures))
}
