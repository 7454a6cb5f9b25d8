//! Whether a release waits for a second person, and what waits.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, Percent, Plan, RolloutEdit};

/// Which releases of a package wait until another person than the last who edited them approves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Approval {
    /// None.
    #[default]
    Never,
    /// Those to more than this share of the fleet.
    Above(Percent),
    /// All.
    Always,
}

impl Approval {
    /// Whether a release to this share waits.
    pub fn asks(self, share: Percent) -> bool {
        match self {
            Self::Never => false,
            Self::Above(limit) => share > limit,
            Self::Always => true,
        }
    }

    /// Which steps of a plan wait before they begin. One approval is enough for all that it asks for, and not for a step that
    /// asks for its own.
    pub fn waits_of(self, plan: &Plan) -> Vec<bool> {
        let mut is_approved = false;
        let steps = plan.steps().iter().map(|step| {
            let waits = step.approve || (!is_approved && self.asks(step.percent));
            is_approved |= waits;
            waits
        });
        steps.collect()
    }

    /// Whether it lets something pass that the other one keeps waiting.
    pub fn is_lower_than(self, other: Self) -> bool {
        self.passes() > other.passes()
    }

    /// What becomes of it, and of what was asked for before, when this person wants another one: a higher one holds at
    /// once, a lower one when a second person wants it too.
    pub fn changed(
        self,
        request: Option<&ApprovalRequest>,
        wanted: Self,
        by: &str,
        now: DateTime<Utc>,
    ) -> (Self, Option<ApprovalRequest>) {
        let is_second = request.is_some_and(|request| request.approval == wanted && request.by != by);
        if !wanted.is_lower_than(self) || is_second {
            return (wanted, None);
        }
        let kept = request.filter(|request| request.approval == wanted).cloned();
        let asked = kept.unwrap_or_else(|| ApprovalRequest {
            approval: wanted,
            by: by.to_owned(),
            at: now,
        });
        (self, Some(asked))
    }

    /// Hundredths of a percent that pass.
    fn passes(self) -> u32 {
        match self {
            Self::Never => u32::MAX,
            Self::Above(limit) => limit.hundredths().into(),
            Self::Always => 0,
        }
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Above(limit) => write!(f, "above {limit}"),
            Self::Always => f.write_str("always"),
        }
    }
}

/// As it is written: `never`, `always`, `above 5 %` or `above 0.5`.
impl FromStr for Approval {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || {
            let fault = format!("must be never, always or above N % with N from 0.01 to 100, not {text:?}");
            Error::invalid("approval", fault)
        };
        match text {
            "never" => return Ok(Self::Never),
            "always" => return Ok(Self::Always),
            _ => {}
        }
        let limit = text.strip_prefix("above ").ok_or_else(refused)?;
        let limit = limit.trim_end_matches('%').trim();
        let limit: f64 = limit.parse().map_err(|_| refused())?;
        let limit = Percent::of_decimal(limit).map_err(|_| refused())?;
        match limit {
            Percent::NOBODY => Err(refused()),
            limit => Ok(Self::Above(limit)),
        }
    }
}

impl TryFrom<String> for Approval {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Approval> for String {
    fn from(approval: Approval) -> Self {
        approval.to_string()
    }
}

/// Who edited a rollout's terms last, who approved them, and what waits for an approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Who edited the terms last: a person, or a service account and the person who made it. None of them may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited_by: Vec<String>,
    /// Who approved the terms as they are. An edit voids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// A change of the terms that waits. The terms as they are go on serving meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ChangeRequest>,
}

/// Somebody's wish to lower a package's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// To this.
    pub approval: Approval,
    /// Whose.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Whose.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why without a second person, by somebody who edited the terms themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

/// A change of a rollout's terms that waits for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRequest {
    /// The change.
    pub edit: RolloutEdit,
    /// Who asked for it, as [`Consent::edited_by`].
    pub by: Vec<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl ChangeRequest {
    /// What waits when this is asked for while something else waits: both, and of what both are about, this.
    pub(crate) fn over(mut self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else {
            return self;
        };
        let others = earlier.by.into_iter().filter(|editor| !self.by.contains(editor));
        let others: Vec<String> = others.collect();
        self.by.extend(others);
        self.edit = self.edit.over(earlier.edit);
        self
    }
}
