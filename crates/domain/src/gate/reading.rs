//! What a gate reads, and what it makes of it.

use serde::{Deserialize, Serialize};

use crate::gate::{Evidence, GateHalt, GateMode, Patience, Tolerance};

/// What a gate watches, in the order in which a halt is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Devices that gave the build up.
    Failed,
    /// Devices that were sent a damaged file.
    Corrupt,
    /// Devices that fell silent.
    Lost,
    /// Devices that crashed.
    Crashing,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Corrupt, Self::Lost, Self::Crashing];

    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Corrupt => "corrupt",
            Self::Lost => "lost",
            Self::Crashing => "crashing",
        }
    }
}

/// A test of a share against what is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareReading {
    /// Devices that count, over all steps of the segment.
    pub devices: u64,
    /// Those of them with the outcome.
    pub seen: u64,
    /// How many would be tolerated, rounded down.
    pub expected: u64,
    /// What is tolerated, in percent.
    pub tolerance: Tolerance,
    /// The natural logarithm of the e-value, of all steps.
    pub ln_e: Evidence,
    /// How many of the next devices in a row would have to have the outcome to halt. None where more than
    /// [`MAX_ROW`](super::MAX_ROW) would.
    pub halts_after: Option<u64>,
}

/// Why nothing is compared with control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotMeasured {
    /// The gate doesn't ask for it.
    SwitchedOff,
    /// No agent tells it.
    NotTold,
    /// The fleet is smaller than [`SILENCE_FLEET`](super::SILENCE_FLEET).
    SmallFleet,
    /// Nobody is left who doesn't have the build.
    NoControl,
}

impl NotMeasured {
    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SwitchedOff => "switched_off",
            Self::NotTold => "not_told",
            Self::SmallFleet => "small_fleet",
            Self::NoControl => "no_control",
        }
    }
}

/// A test of the treated against control.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedReading {
    /// Why nothing is measured now; what was found before stays.
    pub not_measured: Option<NotMeasured>,
    /// Devices that entered with the build.
    pub treated: u64,
    /// Devices that entered without it.
    pub control: u64,
    /// Of the treated, those that it happened to.
    pub seen: u64,
    /// How many of the treated it would have happened to, had it happened in both arms alike.
    pub expected: f64,
    /// Of control, those that it happened to.
    pub control_seen: u64,
    /// From which silence on, where it is about silence: the patience that says more.
    pub patience: Option<Patience>,
    /// The natural logarithm of the e-value.
    pub ln_e: Evidence,
    /// How many treated ones in a row it would have to happen to. None where more than
    /// [`MAX_COMPARED_ROW`](super::MAX_COMPARED_ROW) would, or more than are at risk.
    pub halts_after: Option<u64>,
}

/// How far the step's plan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepProgress {
    /// The share rises.
    Ramping,
    /// The ramp is over, and the bake is not.
    Baking,
    /// Both are over. Pauses and closed windows don't count as time.
    Over,
}

impl StepProgress {
    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ramping => "ramping",
            Self::Baking => "baking",
            Self::Over => "over",
        }
    }
}

/// What a plan may advance by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// The evidence that fewer devices fail than are tolerated.
    Evidence,
    /// All of this step's devices but those tolerated run the build. It promises nothing about later devices.
    Census,
}

impl Passed {
    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Census => "census",
        }
    }
}

/// What the step has shown for the build.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdvanceReading {
    /// How far the step has come.
    pub progress: StepProgress,
    /// This step's devices that were offered the build.
    pub reached: u64,
    /// Those of them that run it for certain.
    pub confirmed: u64,
    /// Those of them with a failure that no success followed.
    pub in_trouble: u64,
    /// The natural logarithm of the e-value for the build. A small fleet has none.
    pub ln_e_good: Option<Evidence>,
    /// By what it may advance once the step is over; none while neither holds.
    pub passed: Option<Passed>,
    /// How many more devices must install without a failure to pass by evidence: 0 once they did, and none where that
    /// can't be or is more than [`MAX_ROW`](super::MAX_ROW).
    pub successes_missing: Option<u64>,
    /// How many of the devices reached must still run the build to pass by census.
    pub census_missing: u64,
}

/// What a gate finds, whatever its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "by")]
pub enum Verdict {
    /// The build is bad by this test.
    Bad(Metric),
    /// It may be, by this test.
    Suspicious(Metric),
    /// Nothing can be said: polls of devices that were never offered the build are missing too.
    Blind,
    /// The step goes on.
    Running,
    /// The step is over, and what it must show is not there yet.
    WaitingForEvidence,
    /// The same for longer than [`STUCK_AFTER`](super::STUCK_AFTER).
    Stuck,
    /// The step is over, and showed what it must.
    Passed(Passed),
}

impl Verdict {
    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad(_) => "bad",
            Self::Suspicious(_) => "suspicious",
            Self::Blind => "blind",
            Self::Running => "running",
            Self::WaitingForEvidence => "waiting_for_evidence",
            Self::Stuck => "stuck",
            Self::Passed(_) => "passed",
        }
    }

    /// What it is about: the word of the test, or of what it passed by; empty where there is nothing more to say.
    pub fn by(self) -> &'static str {
        match self {
            Self::Bad(metric) | Self::Suspicious(metric) => metric.as_str(),
            Self::Passed(passed) => passed.as_str(),
            Self::Blind | Self::Running | Self::WaitingForEvidence | Self::Stuck => "",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAction {
    /// Nothing: the step goes on.
    Continue,
    /// The plan stays at this step.
    Hold,
    /// The next step may begin.
    Advance,
    /// The rollout is to be halted.
    Halt,
}

impl GateAction {
    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
            Self::Advance => "advance",
            Self::Halt => "halt",
        }
    }
}

/// A gate's reading at one moment: everything that a person needs to see why it acts so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReading {
    /// What the gate does about what it finds.
    pub mode: GateMode,
    /// Devices that gave the build up.
    pub failed: ShareReading,
    /// Devices that were sent a damaged file.
    pub corrupt: ShareReading,
    /// Devices that fell silent.
    pub lost: ComparedReading,
    /// Devices that crashed.
    pub crashing: ComparedReading,
    /// Polls that were expected of devices never offered the build.
    pub polls_expected: u64,
    /// Those that came.
    pub polls_seen: u64,
    /// What the step has shown for the build.
    pub advance: AdvanceReading,
    /// What the gate finds.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What is to be done about it.
    pub action: GateAction,
    /// What it halted the rollout by, while that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<GateHalt>,
}

impl GateReading {
    /// The failures that a person sees and acknowledges who resumes a halted rollout: of all four kinds, of devices that
    /// have the build.
    pub fn failures(&self) -> u64 {
        [
            self.failed.seen,
            self.corrupt.seen,
            self.lost.seen,
            self.crashing.seen,
        ]
        .iter()
        .sum()
    }

    /// The e-value of one test.
    pub fn evidence(&self, metric: Metric) -> Evidence {
        match metric {
            Metric::Failed => self.failed.ln_e,
            Metric::Corrupt => self.corrupt.ln_e,
            Metric::Lost => self.lost.ln_e,
            Metric::Crashing => self.crashing.ln_e,
        }
    }

    /// The events that one test has seen of devices with the build.
    pub fn events(&self, metric: Metric) -> u64 {
        match metric {
            Metric::Failed => self.failed.seen,
            Metric::Corrupt => self.corrupt.seen,
            Metric::Lost => self.lost.seen,
            Metric::Crashing => self.crashing.seen,
        }
    }
}
