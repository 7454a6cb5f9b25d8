//! Which rollouts devices may be taken by: those that serve, and those that roll-backs return to.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tidegate_domain::Rollout;

use super::{Conn, rollouts};
use crate::error::Fault;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// From each rollout that serves back along its predecessors. Roll-backs stop where a build was deleted.
const CHAIN: &str = "WITH RECURSIVE chain (id) AS (
        SELECT previous_id FROM rollouts WHERE serving AND previous_id IS NOT NULL
        UNION
        SELECT r.previous_id FROM chain c
        JOIN rollouts r ON r.id = c.id
        JOIN builds b ON b.id = r.build_id
        WHERE r.previous_id IS NOT NULL AND b.deleted_at IS NULL
    )
    SELECT r.id FROM chain c
    JOIN rollouts r ON r.id = c.id
    JOIN builds b ON b.id = r.build_id
    WHERE b.deleted_at IS NULL AND NOT r.serving";

/// A rollout whose terms hold, or may hold again.
pub(super) struct InUse {
    pub(super) rollout: Rollout,
    serves: bool,
}

impl InUse {
    /// As a refusal names it.
    pub(super) fn told(&self) -> String {
        let id = self.rollout.id;
        match self.serves {
            true => format!("rollout {id}"),
            false => format!("rollout {id} (a roll-back may return to it, until its build is deleted)"),
        }
    }
}

/// All rollouts that serve, and those that a roll-back of one, or several in a row, return to.
pub(super) fn all(conn: &mut Conn) -> Result<Vec<InUse>, Fault> {
    let serving = rollouts::serving(conn)?;
    let ids: Vec<Id> = diesel::sql_query(CHAIN).load(conn)?;
    let ids: Vec<i64> = ids.into_iter().map(|row| row.id).collect();
    let mut earlier: Vec<Rollout> = rollouts::by_ids(conn, &ids)?.into_values().collect();
    earlier.sort_by_key(|rollout| rollout.id);
    let marked = |serves| move |rollout| InUse { rollout, serves };
    let serving = serving.into_iter().map(marked(true));
    Ok(serving.chain(earlier.into_iter().map(marked(false))).collect())
}
