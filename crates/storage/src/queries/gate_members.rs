//! Stand-in until the counting is merged.
#![allow(clippy::unnecessary_wraps, unused_variables)]

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::Share;
use tidegate_domain::gate::{Arms, BlindTimes, Logrank, LostTest, Segment, StepCounts};

use super::Conn;
use crate::error::Fault;

pub(crate) struct AtHand {
    pub rollout: i64,
    pub segment: Segment,
    pub step: u16,
    pub share: Share,
    pub now: DateTime<Utc>,
}
pub(crate) fn step_counts(conn: &mut Conn, at: &AtHand) -> Result<Vec<StepCounts>, Fault> {
    Ok(vec![StepCounts::default(); usize::from(at.step) + 1])
}
pub(crate) fn lost_arms(conn: &mut Conn, at: &AtHand) -> Result<Arms, Fault> {
    Ok(Arms::default())
}
pub(crate) fn crashing_arms(conn: &mut Conn, at: &AtHand) -> Result<Option<Arms>, Fault> {
    Ok(None)
}
pub(crate) fn look_for_lost(
    conn: &mut Conn,
    at: &AtHand,
    blind: &BlindTimes,
    test: &mut LostTest,
) -> Result<(), Fault> {
    Ok(())
}
pub(crate) fn look_for_crashes(conn: &mut Conn, at: &AtHand, test: &mut Logrank) -> Result<(), Fault> {
    Ok(())
}
pub(crate) fn control_polls(conn: &mut Conn, at: &AtHand, interval: TimeDelta) -> Result<(u64, u64), Fault> {
    Ok((0, 0))
}
