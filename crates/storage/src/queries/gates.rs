//! Gates' statements.

use diesel::prelude::*;
use tidegate_domain::RolloutId;

use super::Conn;
use crate::GateLook;
use crate::error::Fault;
use crate::rows::from_json;
use crate::schema::gates;
use crate::time::moment;

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
