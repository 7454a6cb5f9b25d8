//! What became of one build on one device, and what a report changes about it.
//!
//! Server and agent run the same rule, [`DeviceBuild::take`]: the server over its row for a device and a build, the
//! agent over what it remembers of a file. So they agree on when a device has given a build up. If they disagreed, the
//! server would go on offering what the agent never takes.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{REJECTION_COOL_DOWN_HOURS, RETRY_BUDGET, Report, ReportStatus};

/// How many reports about one build are stored of one device.
pub const MAX_REPORTS_PER_BUILD: u32 = 64;

/// How many reports beyond [`MAX_REPORTS_PER_BUILD`] are stored when they are the first of their status in their retry
/// generation. So the server hears how an update ended, however much a device said before.
pub const MAX_NEWS_PER_BUILD: u32 = 64;

/// What became of a build on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceBuild {
    /// When each thing happened for the first time.
    pub milestones: Milestones,
    /// The device's last report.
    pub last: Option<LastReport>,
    /// How many reports were taken.
    pub reports: u32,
    /// The highest retry generation that failed.
    pub failure_generation: u32,
    /// Failures since the last success, or since `failure_generation` first failed.
    pub failures: u32,
    /// Whether the build is withheld from the device, and until when.
    pub rejection: Option<Rejection>,
}

/// The first time of each thing that can happen to a build on a device. Each counts once in the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Milestones {
    /// When the device was offered the build.
    pub offered_at: Option<DateTime<Utc>>,
    /// When it had the whole file.
    pub downloaded_at: Option<DateTime<Utc>>,
    /// When it found the file not to be what the manifest said.
    pub verify_failed_at: Option<DateTime<Utc>>,
    /// When Android refused it.
    pub install_failed_at: Option<DateTime<Utc>>,
    /// When Android installed it.
    pub installed_at: Option<DateTime<Utc>>,
}

impl Milestones {
    /// Notes an offer, and returns whether it is the first.
    pub fn offer(&mut self, at: DateTime<Utc>) -> bool {
        first(&mut self.offered_at, at)
    }

    /// Notes what a report says, and returns whether it is the first of its status. A deferral never is one.
    pub fn reach(&mut self, status: ReportStatus, at: DateTime<Utc>) -> bool {
        self.slot(status).is_some_and(|slot| first(slot, at))
    }

    fn slot(&mut self, status: ReportStatus) -> Option<&mut Option<DateTime<Utc>>> {
        match status {
            ReportStatus::Downloaded => Some(&mut self.downloaded_at),
            ReportStatus::VerifyFailed => Some(&mut self.verify_failed_at),
            ReportStatus::InstallFailed => Some(&mut self.install_failed_at),
            ReportStatus::InstallSuccess => Some(&mut self.installed_at),
            ReportStatus::Deferred => None,
        }
    }
}

fn first(slot: &mut Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    let is_first = slot.is_none();
    slot.get_or_insert(at);
    is_first
}

/// What a device reported last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReport {
    /// What happened.
    pub status: ReportStatus,
    /// Why, in a word.
    pub reason: Option<String>,
    /// When it was told.
    pub at: DateTime<Utc>,
}

impl LastReport {
    /// The last report after this one came in. A report that waited in a device's queue may arrive after a younger one.
    pub fn after(last: Option<Self>, report: &Report, at: DateTime<Utc>) -> Option<Self> {
        match last {
            Some(last) if last.at > at => Some(last),
            _ => Some(Self {
                status: report.status,
                reason: report.reason.clone(),
                at,
            }),
        }
    }
}

/// A device's refusal of a build, remembered so that it is not offered the same build for ever.
///
/// When an operator lets the device try again, the refusal is not forgotten but [lifted](Rejection::lifted): the offers
/// that follow tell the agent so, which remembers its own refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The retry generation that failed; a rollout with a higher one is offered again.
    pub retry_generation: u32,
    /// When the device may try again; `None` when it may not.
    pub until: Option<DateTime<Utc>>,
}

/// Rollouts begin with retry generation 1, so a rejection of this one withholds none.
const LIFTED: u32 = 0;

impl Rejection {
    /// A rejection that an operator lifted at this time.
    pub fn lifted(at: DateTime<Utc>) -> Self {
        Self {
            retry_generation: LIFTED,
            until: Some(at),
        }
    }

    /// When an operator lifted it; `None` while it holds.
    pub fn lifted_at(&self) -> Option<DateTime<Utc>> {
        self.until.filter(|_| self.retry_generation == LIFTED)
    }

    /// Whether it withholds a rollout of this retry generation from the device now.
    pub fn applies_to(&self, retry_generation: u32, now: DateTime<Utc>) -> bool {
        retry_generation <= self.retry_generation && self.until.is_none_or(|until| now < until)
    }

    /// The one of both that withholds the build for longer: that of the higher generation, or of equal generations the
    /// one that ends later.
    fn stronger(self, other: Self) -> Self {
        let weight = |rejection: &Self| {
            let end = rejection.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
            (rejection.retry_generation, end)
        };
        if weight(&other) > weight(&self) {
            other
        } else {
            self
        }
    }
}

/// What a report means for further offers of the build to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    None,
    /// A failure that may pass: the device is offered the build again.
    Failed,
    /// The device is not to be offered the build.
    Rejected(Rejection),
    /// The build runs on the device: earlier failures are forgotten.
    Forgiven,
}

/// Which reports are still taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Any.
    Any,
    /// One that is the first of its status in its retry generation.
    FirstOfItsKind,
    /// None.
    Full,
}

impl DeviceBuild {
    /// Whether a report of this status, which was not taken before, is still taken.
    pub fn capacity_for(&self, status: ReportStatus) -> Capacity {
        let mut milestones = self.milestones;
        let is_first_ever = milestones.slot(status).is_some_and(|slot| slot.is_none());
        if self.reports < MAX_REPORTS_PER_BUILD || is_first_ever {
            Capacity::Any
        } else if status != ReportStatus::Deferred
            && self.reports < MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD
        {
            Capacity::FirstOfItsKind
        } else {
            Capacity::Full
        }
    }

    /// Takes a report that was not taken before, and says what it means for further offers of the build.
    ///
    /// | report | consequence |
    /// |---|---|
    /// | `downloaded`, `deferred` | none |
    /// | `install_success` | failures and rejection are forgotten |
    /// | a failure that is [terminal](Report::is_terminal) | rejected for good |
    /// | any other failure | counted; from the [`RETRY_BUDGET`]th in a row on the build is rejected for [`REJECTION_COOL_DOWN_HOURS`] |
    ///
    /// A success and the first failure of a higher retry generation begin the count anew. A rejection that has not ended
    /// is never replaced by a weaker one.
    pub fn take(&mut self, report: &Report, now: DateTime<Utc>) -> Consequence {
        self.reports = self.reports.saturating_add(1);
        self.milestones.reach(report.status, now);
        self.last = LastReport::after(self.last.take(), report, now);
        match report.status {
            ReportStatus::Downloaded | ReportStatus::Deferred => Consequence::None,
            ReportStatus::InstallSuccess => {
                self.forget_failures();
                Consequence::Forgiven
            }
            ReportStatus::InstallFailed | ReportStatus::VerifyFailed => self.fail(report, now),
        }
    }

    /// Gives the device another try: failures and rejection are forgotten.
    pub fn forget_failures(&mut self) {
        self.failures = 0;
        self.rejection = None;
    }

    fn fail(&mut self, report: &Report, now: DateTime<Utc>) -> Consequence {
        let failures = self.count_failure(report.retry_generation);
        let until = if report.is_terminal() {
            None
        } else if failures < RETRY_BUDGET {
            return Consequence::Failed;
        } else {
            Some(now + TimeDelta::hours(REJECTION_COOL_DOWN_HOURS))
        };
        let rejection = Rejection {
            retry_generation: report.retry_generation,
            until,
        };
        let has_not_ended = |earlier: &Rejection| earlier.until.is_none_or(|until| now < until);
        let earlier = self.rejection.filter(has_not_ended);
        let standing = earlier.map_or(rejection, |earlier| earlier.stronger(rejection));
        self.rejection = Some(standing);
        Consequence::Rejected(standing)
    }

    /// Counts a failure, and returns how many there are. Those of an older generation count like the others: a roll-back
    /// can restore a rollout of one, and its devices must not fetch and fail for ever.
    fn count_failure(&mut self, generation: u32) -> u32 {
        if generation > self.failure_generation {
            self.failure_generation = generation;
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }
}
