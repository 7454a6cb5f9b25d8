//! What tests ask of gates.

use chrono::TimeDelta;
use diesel::prelude::*;
use tidegate_domain::RolloutId;
use tidegate_domain::gate::BlindTimes;

use super::gate_members::{self, AtHand};
use super::{Conn, gate_counts, rollouts};
use crate::error::Fault;
use crate::rows::to_json;
use crate::schema::gates;
use crate::time::micros;
use crate::{GateLook, GateLooks, GateObservation};

/// Everything that a gate asks, in its order.
pub(crate) fn observe(
    conn: &mut Conn,
    at: &AtHand,
    blind: &BlindTimes,
    interval: TimeDelta,
    looks: &GateLooks,
) -> Result<GateObservation, Fault> {
    let mut looks = *looks;
    gate_members::look_for_lost(conn, at, blind, &mut looks.lost)?;
    gate_members::look_for_crashes(conn, at, &mut looks.crashing)?;
    let (lost_arms, crashing_arms) = gate_members::arms(conn, at)?;
    Ok(GateObservation {
        steps: gate_counts::step_counts(conn, at)?,
        lost_arms,
        crashing_arms,
        control_polls: gate_members::control_polls(conn, at, interval)?,
        looks,
    })
}

pub(crate) fn keep_look(conn: &mut Conn, rollout: RolloutId, look: &GateLook) -> Result<(), Fault> {
    diesel::delete(gates::table.find(rollout.0)).execute(conn)?;
    diesel::insert_into(gates::table)
        .values((
            gates::rollout_id.eq(rollout.0),
            gates::looked_at.eq(micros(look.at)),
            gates::state_json.eq("{}"),
            gates::facts_json.eq(to_json(&look.facts)?),
        ))
        .execute(conn)?;
    // The next look counts the same.
    let spec = rollouts::get(conn, rollout)?.spec;
    let segment = spec.gate.map_or(1, |gate| gate.segment.number);
    gate_counts::keep(conn, rollout.0, segment, &look.facts.steps)
}
