//! What a plan does, and what people are told that it waits for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a plan does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The share grows.
    Ramping,
    /// The share stays, for the time that the step asks for.
    Baking,
    /// The next step waits for somebody's approval.
    WaitingApproval,
    /// There is no further step; the share stays.
    Done,
}

impl From<Stage> for Phase {
    /// What a plan waits for that nobody holds.
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Ramping => Self::Ramping,
            Stage::Baking => Self::Baking,
            Stage::WaitingApproval => Self::WaitingApproval,
            Stage::Done => Self::Done,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phase::from(*self).fmt(f)
    }
}

/// What an active rollout waits for, as people are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The share grows.
    Ramping,
    /// The share stays, for the time that the step asks for.
    Baking,
    /// Somebody holds the share where it is. Offers go on.
    Held,
    /// The next step waits for somebody's approval.
    WaitingApproval,
    /// Ramp and bake are over, and its gate has not seen yet what it must.
    WaitingEvidence,
    /// The same for longer than [`STUCK_AFTER`](crate::gate::STUCK_AFTER).
    Stuck,
    /// Polls of devices that were never offered the build are missing, so that nothing can be said of it.
    Blind,
    /// The plan has no further step; the share stays.
    Done,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 8] = [
        Self::Ramping,
        Self::Baking,
        Self::Held,
        Self::WaitingApproval,
        Self::WaitingEvidence,
        Self::Stuck,
        Self::Blind,
        Self::Done,
    ];

    /// The phase's name in JSON, metrics and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ramping => "ramping",
            Self::Baking => "baking",
            Self::Held => "held",
            Self::WaitingApproval => "waiting_approval",
            Self::WaitingEvidence => "waiting_evidence",
            Self::Stuck => "stuck",
            Self::Blind => "blind",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
