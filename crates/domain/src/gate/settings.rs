//! What an operator asks of a gate.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::gate::Tolerance;

/// What a gate does about what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// It only shows. The plan goes on by time alone.
    Watch,
    /// It doesn't let the plan advance.
    Hold,
    /// It halts the rollout as well.
    #[default]
    Act,
}

impl GateMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Watch, Self::Hold, Self::Act];

    /// Its word in JSON and at the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Hold => "hold",
            Self::Act => "act",
        }
    }
}

impl FromStr for GateMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| Error::invalid("gate.mode", format!("must be act, hold or watch, not {text:?}")))
    }
}

/// A rollout's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GateInput")]
pub struct GateSettings {
    /// What it does about what it finds.
    pub mode: GateMode,
    /// The share of devices that the build may fail on. In percent, 0.01 to 50, with up to two decimals.
    pub failed_percent: Tolerance,
    /// The share of devices that the file may arrive damaged at; the same.
    pub corrupt_percent: Tolerance,
    /// Whether devices that fall silent count.
    pub lost: bool,
    /// Whether crashes count.
    pub crashing: bool,
    /// Whether 5 % stay back from steps above 90 %, until the bake ends, so that there is something to compare with.
    pub holdback: bool,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            mode: GateMode::Act,
            failed_percent: Tolerance::FAILED,
            corrupt_percent: Tolerance::CORRUPT,
            lost: true,
            crashing: true,
            holdback: false,
        }
    }
}

/// As people write it; what is left out is as in [`GateSettings::default`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateInput {
    #[serde(default)]
    mode: GateMode,
    failed_percent: Option<f64>,
    corrupt_percent: Option<f64>,
    lost: Option<bool>,
    crashing: Option<bool>,
    holdback: Option<bool>,
}

impl TryFrom<GateInput> for GateSettings {
    type Error = Error;
    fn try_from(input: GateInput) -> Result<Self, Error> {
        let usual = Self::default();
        let tolerance = |field, percent: Option<f64>, usual| {
            percent.map_or(Ok(usual), |percent| Tolerance::of_percent(field, percent))
        };
        Ok(Self {
            mode: input.mode,
            failed_percent: tolerance("gate.failed_percent", input.failed_percent, usual.failed_percent)?,
            corrupt_percent: tolerance(
                "gate.corrupt_percent",
                input.corrupt_percent,
                usual.corrupt_percent,
            )?,
            lost: input.lost.unwrap_or(usual.lost),
            crashing: input.crashing.unwrap_or(usual.crashing),
            holdback: input.holdback.unwrap_or(usual.holdback),
        })
    }
}
