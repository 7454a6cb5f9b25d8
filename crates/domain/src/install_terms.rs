//! When a device may install what it has fetched: what a rollout asks for beside the safety rules.
//!
//! The conditions are a wish that ends at the deadline. A safety rule, a calendar's window and a freeze end at no deadline.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeferReason, Error};

/// Something that a rollout waits for on the device before it installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallCondition {
    /// The device is charging.
    Charging,
    /// Nobody uses the device: its screen is off, or what a kiosk's agent calls idle.
    Idle,
    /// The app itself says that it may be replaced now.
    AppConsents,
}

impl InstallCondition {
    /// All conditions, in the order in which a device asks them.
    pub const ALL: [Self; 3] = [Self::Charging, Self::Idle, Self::AppConsents];

    /// The condition's name in the protocol, in SQL and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charging => "charging",
            Self::Idle => "idle",
            Self::AppConsents => "app_consents",
        }
    }

    /// What a device reports while the condition does not hold.
    pub fn deferral(self) -> DeferReason {
        match self {
            Self::Charging => DeferReason::NotCharging,
            Self::Idle => DeferReason::NotIdle,
            Self::AppConsents => DeferReason::NoConsent,
        }
    }
}

impl fmt::Display for InstallCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstallCondition {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                Error::invalid("install_when", format!("is not one of {known}: {text}"))
            })
    }
}

/// What a rollout asks for before its build is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallTerms {
    /// All of these have to hold; none: any moment that the safety rules allow.
    #[serde(rename = "install_when", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub when: BTreeSet<InstallCondition>,
    /// From when on the conditions are no longer asked, and a device that has not installed is overdue.
    #[serde(rename = "install_deadline", default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
}

impl InstallTerms {
    /// Whether the deadline has passed.
    pub fn is_past(&self, now: DateTime<Utc>) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The conditions as one text, such as `charging,idle`; empty when there are none.
    pub fn conditions(&self) -> String {
        let names: Vec<&str> = self.when.iter().map(|condition| condition.as_str()).collect();
        names.join(",")
    }

    /// Reads [`InstallTerms::conditions`]. Spaces around a name are left out, and a name that is given twice counts once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is no condition's.
    pub fn parse_conditions(text: &str) -> Result<BTreeSet<InstallCondition>, Error> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

/// Refuses a deadline that has passed: every device that is offered the build would be overdue at once.
pub(crate) fn check_deadline(deadline: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), Error> {
    match deadline {
        Some(deadline) if deadline <= now => Err(Error::invalid("install_deadline", "must be in the future")),
        _ => Ok(()),
    }
}

/// The terms for the installation that an operator changes; those left out stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstallTermsEdit {
    /// All conditions; an empty set asks for none any more.
    pub when: Option<BTreeSet<InstallCondition>>,
    /// The deadline; `Some(None)` takes it away.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::change::said"
    )]
    pub deadline: Option<Option<DateTime<Utc>>>,
}

impl InstallTermsEdit {
    pub(crate) fn apply(self, terms: &mut InstallTerms) {
        if let Some(when) = self.when {
            terms.when = when;
        }
        if let Some(deadline) = self.deadline {
            terms.deadline = deadline;
        }
    }
}
