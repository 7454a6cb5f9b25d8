//! The rollout's terms for the installation: its windows, its conditions and its deadline.
//!
//! They are asked after the safety rules, and by the server's clock. A window is never overridden; the conditions lapse at the
//! deadline.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::{DeferReason, InstallCondition, look_again_after};

use crate::backoff::{MAX_WAIT, fraction};
use crate::platform::Platform;
use crate::protocol::Manifest;

/// Devices whose update must be installed come within this time of an opening's start, and the others within half of the
/// opening.
const URGENT_SPREAD: TimeDelta = TimeDelta::minutes(5);

/// A time in which the file may be installed: from the first moment on, and before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallOpening {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// When it has ended.
    pub until: DateTime<Utc>,
}

impl InstallOpening {
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && now < self.until
    }
}

/// Why a verified file is not installed yet, and how long to wait before that is asked again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hold {
    pub reason: DeferReason,
    pub wait: Duration,
}

impl Manifest {
    /// Whether its terms depend on the time, so that a clock which was set would matter.
    pub(crate) fn is_timed(&self) -> bool {
        self.install_openings.is_some() || self.install_deadline.is_some()
    }

    /// What its terms say at this moment of the server's clock.
    pub(crate) fn hold(&self, device: &str, platform: &impl Platform, now: DateTime<Utc>) -> Option<Hold> {
        if let Some(wait) = self.until_opening(device, now) {
            let reason = DeferReason::OutsideWindow;
            return Some(Hold { reason, wait });
        }
        if self.install_deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        let reason = self.unmet(platform)?;
        let wait = look_again_after(self.must_install);
        Some(Hold { reason, wait })
    }

    /// How long to wait for the next opening; `None` while one is open, or where there is no calendar. Where no opening is
    /// known yet, a later poll tells it, so the wait is the longest.
    fn until_opening(&self, device: &str, now: DateTime<Utc>) -> Option<Duration> {
        let openings = self.install_openings.as_deref()?;
        if openings.iter().any(|opening| opening.is_open(now)) {
            return None;
        }
        let ahead = openings
            .iter()
            .filter(|opening| opening.from > now && opening.until > opening.from);
        let next = ahead.min_by_key(|opening| opening.from);
        Some(next.map_or(MAX_WAIT, |next| self.until_draw(next, device, now)))
    }

    /// How long to wait for this device's moment in an opening: its start, and a draw over its first half, so that not all
    /// devices ask the server at its start.
    fn until_draw(&self, opening: &InstallOpening, device: &str, now: DateTime<Utc>) -> Duration {
        let half = (opening.until - opening.from) / 2;
        let spread = if self.must_install {
            half.min(URGENT_SPREAD)
        } else {
            half
        };
        let start = (opening.from - now).to_std().unwrap_or_default().min(MAX_WAIT);
        let draw = fraction(device, seconds(opening.from));
        start + spread.to_std().unwrap_or_default().min(MAX_WAIT).mul_f64(draw)
    }

    /// The first of its conditions that does not hold. What this agent can't know, or does not know, does not hold.
    fn unmet(&self, platform: &impl Platform) -> Option<DeferReason> {
        self.install_when.iter().find_map(|name| {
            let Ok(condition) = name.parse::<InstallCondition>() else {
                return Some(DeferReason::UnknownCondition);
            };
            let holds = match condition {
                InstallCondition::Charging => platform.charging(),
                InstallCondition::Idle => platform.idle().unwrap_or(false),
                InstallCondition::AppConsents => platform.consents(&self.package_name).unwrap_or(false),
            };
            (!holds).then(|| condition.deferral())
        })
    }
}

/// The seconds since 1970, as a number to draw by.
pub(crate) fn seconds(time: DateTime<Utc>) -> u32 {
    u32::try_from(time.timestamp().rem_euclid(i64::from(u32::MAX))).unwrap_or_default()
}
