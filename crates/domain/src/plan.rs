//! A rollout's plan: the steps by which its share grows.

mod phase;
mod rate;
mod run;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Percent};

pub use self::phase::{Phase, Stage};
pub use self::rate::DevicesPerHour;
pub use self::run::{Coming, PlanRun, Progress};

/// How many steps a plan may have.
pub const MAX_STEPS: usize = 20;

/// The longest ramp and the longest bake of a step: a year.
pub const MAX_SPAN: Duration = Duration::from_secs(365 * 86_400);

/// A length of time in whole seconds, at most [`MAX_SPAN`]. In JSON a text such as `"90m"` or `"1day 12h"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u32);

impl Span {
    /// No time.
    pub const NONE: Self = Self(0);

    /// Takes a duration; parts of a second are cut off.
    ///
    /// # Errors
    /// [`Error::Invalid`] above [`MAX_SPAN`].
    pub fn new(duration: Duration) -> Result<Self, Error> {
        if duration > MAX_SPAN {
            return Err(Error::invalid("plan", "has a span of more than 365 days"));
        }
        Ok(Self(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Whole hours.
    pub const fn hours(hours: u16) -> Self {
        Self(hours as u32 * 3_600)
    }

    /// Whole seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    pub(crate) fn delta(self) -> TimeDelta {
        TimeDelta::seconds(self.0.into())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(Duration::from_secs(self.0.into())).fmt(f)
    }
}

impl FromStr for Span {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |fault| {
            Error::invalid(
                "plan",
                format!("has a span that does not read, {text:?}: {fault}"),
            )
        };
        Self::new(humantime::parse_duration(text).map_err(fault)?)
    }
}

impl TryFrom<String> for Span {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// The share that it leads to.
    pub percent: Percent,
    /// How long the share takes to get there, evenly; none: at once.
    #[serde(default, skip_serializing_if = "is_none")]
    pub over: Span,
    /// How long it then stays before the next step.
    #[serde(default, skip_serializing_if = "is_none")]
    pub bake: Span,
    /// It does not begin before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// It does not begin before a person approves it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approve: bool,
    /// Once its share is reached, the devices that the rollout takes and that are behind are woken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nudge: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(span: &Span) -> bool {
    *span == Span::NONE
}

impl PlanStep {
    /// A step that leads to this share at once and stays there.
    pub fn to(percent: Percent, bake: Span) -> Self {
        Self {
            percent,
            over: Span::NONE,
            bake,
            not_before: None,
            approve: false,
            nudge: false,
        }
    }
}

/// The steps of a rollout: 1 to [`MAX_STEPS`], each to a larger share than the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PlanText")]
pub struct Plan {
    steps: Vec<PlanStep>,
}

/// A plan as it is written, not checked yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    steps: Vec<PlanStep>,
}

impl TryFrom<PlanText> for Plan {
    type Error = Error;
    fn try_from(text: PlanText) -> Result<Self, Error> {
        Self::new(text.steps)
    }
}

impl Plan {
    /// Takes steps.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `plan` for none or too many steps, and for a share that does not grow.
    pub fn new(steps: Vec<PlanStep>) -> Result<Self, Error> {
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(Error::invalid(
                "plan",
                format!("must have 1 to {MAX_STEPS} steps"),
            ));
        }
        let mut before = Percent::NOBODY;
        for (number, step) in (1..).zip(&steps) {
            if step.percent <= before {
                let fault = format!(
                    "must grow with each step: step {number} is to {} after {before}",
                    step.percent
                );
                return Err(Error::invalid("plan", fault));
            }
            before = step.percent;
        }
        Ok(Self { steps })
    }

    /// The plan that is proposed where nobody made another: 1, 5, 10, 25, 50 and 100 %, the first two a day each, the
    /// others half a day.
    ///
    /// # Panics
    /// Never: its steps are what a plan's steps may be.
    pub fn careful() -> Self {
        let step = |percent, hours| {
            PlanStep::to(
                Percent::new(percent).unwrap_or(Percent::EVERYBODY),
                Span::hours(hours),
            )
        };
        Self {
            steps: vec![
                step(1, 24),
                step(5, 24),
                step(10, 12),
                step(25, 12),
                step(50, 12),
                step(100, 12),
            ],
        }
    }

    /// The steps.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The first step.
    pub fn first(&self) -> &PlanStep {
        &self.steps[0]
    }
}
