//! Gates' statements.

use std::collections::HashMap;

use diesel::prelude::*;
use tidegate_domain::{RolloutId, RolloutState, Track};

use super::Conn;
use crate::error::Fault;
use crate::rows::from_json;
use crate::schema::gates;
use crate::time::moment;
use crate::{GateFailures, GateLook};

pub(crate) fn last_look(conn: &mut Conn, rollout: RolloutId) -> Result<Option<GateLook>, Fault> {
    let row: Option<(i64, String)> = gates::table
        .find(rollout.0)
        .select((gates::looked_at, gates::facts_json))
        .first(conn)
        .optional()?;
    let look = row.map(|(at, facts)| {
        Ok::<_, crate::Error>(GateLook {
            at: moment(at)?,
            facts: from_json("gates.facts_json", &facts)?,
        })
    });
    Ok(look.transpose()?)
}

/// What the gates of a track's halted rollouts have counted: whoever resumes one must have seen it.
pub(crate) fn failures(conn: &mut Conn, track: &Track) -> Result<GateFailures, Fault> {
    let mut failures = HashMap::new();
    for release in &track.serving {
        let (id, spec) = (release.rollout.id, &release.rollout.spec);
        let Some(gate) = spec.gate.filter(|_| spec.state == RolloutState::Halted) else {
            continue;
        };
        let look = last_look(conn, id)?;
        if let Some(reading) = look.and_then(|look| gate.reading(look.at, &look.facts)) {
            failures.insert(id, reading.failures());
        }
    }
    Ok(GateFailures(failures))
}

#[cfg(feature = "testing")]
pub(crate) fn keep_look(conn: &mut Conn, rollout: RolloutId, look: &GateLook) -> Result<(), Fault> {
    diesel::delete(gates::table.find(rollout.0)).execute(conn)?;
    diesel::insert_into(gates::table)
        .values((
            gates::rollout_id.eq(rollout.0),
            gates::looked_at.eq(crate::time::micros(look.at)),
            gates::state_json.eq("{}"),
            gates::facts_json.eq(crate::rows::to_json(&look.facts)?),
        ))
        .execute(conn)?;
    Ok(())
}
