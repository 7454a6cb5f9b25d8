//! The gate of a rollout: its terms, and where it stands.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::gate::{
    GateAction, GateFacts, GateHalt, GateMode, GateReading, GateSettings, Segment, Verdict, judge,
};
use crate::{Error, Phase};

/// What becomes of a rollout that its gate has halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHalt {
    /// It stays halted until a person resumes it or takes it back.
    #[default]
    Hold,
    /// It is taken back at once. Where there is no healthy release to go back to, it stays halted.
    RollBack,
}

impl OnHalt {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hold, Self::RollBack];

    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::RollBack => "roll_back",
        }
    }
}

impl FromStr for OnHalt {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| Error::invalid("on_halt", format!("must be hold or roll_back, not {text:?}")))
    }
}

/// What an operator asks of a rollout's gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTerms {
    /// What is tested, and what is done about it.
    pub settings: GateSettings,
    /// What becomes of the rollout when it is halted.
    #[serde(default)]
    pub on_halt: OnHalt,
    /// Whether a roll-back takes devices back that run the build already.
    #[serde(default)]
    pub roll_back_forced: bool,
}

impl GateTerms {
    /// Other settings; what is not said of what follows a halt stays as it was before.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `roll_back_forced` where nothing is to be rolled back.
    pub fn changed(
        self,
        settings: GateSettings,
        on_halt: Option<OnHalt>,
        roll_back_forced: Option<bool>,
    ) -> Result<Self, Error> {
        let on_halt = on_halt.unwrap_or(self.on_halt);
        let roll_back_forced = match (on_halt, roll_back_forced) {
            (OnHalt::Hold, Some(true)) => {
                return Err(Error::invalid(
                    "roll_back_forced",
                    "goes with on_halt roll_back only",
                ));
            }
            (OnHalt::Hold, _) => false,
            (OnHalt::RollBack, said) => said.unwrap_or(self.roll_back_forced),
        };
        Ok(Self {
            settings,
            on_halt,
            roll_back_forced,
        })
    }
}

/// The gate of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutGate {
    /// What was asked for.
    #[serde(flatten)]
    pub terms: GateTerms,
    /// The part of the rollout's life that counts.
    pub segment: Segment,
    /// Why the plan doesn't advance though its step is over; none while it is not, and where nothing is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<GateWait>,
    /// What made it halt the rollout; none once somebody has resumed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<GateHalt>,
}

impl RolloutGate {
    /// The gate of a rollout that begins at this time.
    pub fn begun(terms: GateTerms, now: DateTime<Utc>) -> Self {
        Self {
            terms,
            segment: Segment::first(now),
            waits: None,
            halted: None,
        }
    }

    /// What a look finds that was taken at this time; none of a look at an earlier segment, which a new one begins
    /// without.
    pub fn reading(&self, looked_at: DateTime<Utc>, facts: &GateFacts) -> Option<GateReading> {
        (looked_at >= self.segment.began).then(|| self.upheld(judge(&self.terms.settings, facts)))
    }

    /// A reading as it is told: while a rollout is halted by its gate, nothing else is found of it.
    pub fn upheld(&self, reading: GateReading) -> GateReading {
        match self.halted {
            Some(halt) => halt.upheld(reading),
            None => reading,
        }
    }

    /// Whether a plan's step needs its word to go on.
    pub fn holds_plan(&self) -> bool {
        self.terms.settings.mode != GateMode::Watch
    }
}

/// What a plan waits for that its gate does not let advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateWait {
    /// What is in the way.
    pub what: WaitsFor,
    /// Since when it waits, by the gate's clock.
    pub since: DateTime<Utc>,
}

/// What a gate does not let a plan advance for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// What the step must show is not there yet, or something is suspicious.
    #[serde(rename = "waiting_evidence")]
    Evidence,
    /// The same for longer than [`STUCK_AFTER`](super::STUCK_AFTER).
    Stuck,
    /// Polls of devices that were never offered the build are missing.
    Blind,
}

impl WaitsFor {
    /// What a plan waits for by this reading, whose step is over or not.
    pub fn of(reading: &GateReading, is_over: bool) -> Option<Self> {
        match (reading.action, reading.verdict) {
            (GateAction::Hold, Verdict::Blind) => Some(Self::Blind),
            (GateAction::Hold, Verdict::Stuck) if is_over => Some(Self::Stuck),
            (GateAction::Hold, _) if is_over => Some(Self::Evidence),
            _ => None,
        }
    }

    /// Its word: that of the phase in which the plan is.
    pub fn as_str(self) -> &'static str {
        Phase::from(self).as_str()
    }
}

impl From<WaitsFor> for Phase {
    fn from(what: WaitsFor) -> Self {
        match what {
            WaitsFor::Evidence => Self::WaitingEvidence,
            WaitsFor::Stuck => Self::Stuck,
            WaitsFor::Blind => Self::Blind,
        }
    }
}
