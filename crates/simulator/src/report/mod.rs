//! The report of a run: as text, as JSON and as a picture.

mod chart;
mod picture;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::operator::Counts;
use crate::{ForecastBooks, PatchBooks, PlanBooks};

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The fleet's seed.
    pub seed: u64,
    /// How many devices it has.
    pub devices: usize,
    /// The package.
    pub package: String,
    /// The current build's version, for people.
    pub version_name: String,
    /// The current build's version code.
    pub version_code: i64,
    /// How long the fleet lived, in hours of its own time.
    pub hours: f64,
    /// The shares that the operator gave, one after the other.
    pub stages: Vec<Stage>,
    /// The share of the fleet that was offered the current build, and that runs it, over time.
    pub adoption: Vec<Point>,
    /// Answers to polls, by reason.
    pub answers: BTreeMap<String, u64>,
    /// Acknowledged reports, by status and reason.
    pub reports: BTreeMap<String, u64>,
    /// Requests and files that were made to fail, by how.
    pub faults: BTreeMap<String, u64>,
    /// What the devices and the server recorded, build by build.
    pub builds: Vec<BuildComparison>,
    /// The polls.
    pub checks: Checks,
    /// The formula of shares.
    pub formula: Formula,
    /// The books of the rollout that went on by itself, where there was one.
    pub plan: Option<PlanBooks>,
    /// What the server had said that this rollout would do.
    pub forecast: Option<ForecastBooks>,
    /// What came as patches, where the population has devices that take them.
    pub patches: Option<PatchBooks>,
    /// What else keeps the counts from being called equal, in words.
    pub remarks: Vec<String>,
    /// What this machine needed. Nothing in it is the same the next time.
    pub measured: Measured,
}

/// A time in which all shares stood still.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// When it began, in hours.
    pub from_h: f64,
    /// What people call the rollout that was made or raised at its beginning; empty for one without a name.
    pub rollout: String,
    /// Its share, in percent.
    pub percent: f64,
    /// How many devices the formula puts into it.
    pub expected: usize,
    /// How many were offered the build by its end.
    pub offered: usize,
    /// How many ran it by its end.
    pub installed: usize,
}

/// A moment of the adoption curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Hours since the beginning.
    pub hour: f64,
    /// Devices that were offered the build by then.
    pub offered: usize,
    /// Devices that ran it by then.
    pub installed: usize,
}

/// What two ways of computing the same percentage may differ by.
const ROUNDING: f64 = 1e-6;

/// What the devices and the server recorded about one build.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildComparison {
    /// The build.
    pub build_id: i64,
    /// What the devices did.
    pub devices: Counts,
    /// What the server counted meanwhile.
    pub server: Counts,
    /// What its hours add up to.
    pub by_hour: Counts,
    /// Its `adoption_rate`, of all devices it knows.
    pub adoption_rate: f64,
    /// The same, computed from its own counts.
    pub adoption: f64,
    /// What each of the build's rollouts did.
    pub by_rollout: Vec<RolloutComparison>,
}

/// What the devices and the server recorded about one rollout of a build.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolloutComparison {
    /// The rollout.
    pub rollout_id: i64,
    /// What the devices were offered by it, and reported.
    pub devices: Counts,
    /// What the server counted meanwhile.
    pub server: Counts,
}

/// The counts of distinct devices alone.
fn distinct(counts: Counts) -> Counts {
    Counts {
        total_checks: 0,
        ..counts
    }
}

impl BuildComparison {
    /// Whether all counts of distinct devices agree, of the build and of each rollout, and the server with itself.
    pub fn is_equal(&self) -> bool {
        let rollouts = self.by_rollout.iter();
        distinct(self.devices) == distinct(self.server)
            && rollouts.into_iter().all(RolloutComparison::is_equal)
            && self.is_sound()
    }

    /// Whether the server's own numbers agree with each other.
    pub fn is_sound(&self) -> bool {
        self.by_hour == self.server && (self.adoption_rate - self.adoption).abs() < ROUNDING
    }
}

impl RolloutComparison {
    /// Whether all counts of distinct devices agree.
    pub fn is_equal(&self) -> bool {
        distinct(self.devices) == distinct(self.server)
    }
}

/// The polls: a count that the server keeps in memory for up to a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// Polls that were answered.
    pub answered: u64,
    /// Polls without an answer, which the server may have counted or not.
    pub unanswered: u64,
    /// Answered polls that a crash may have wiped from the server's memory.
    pub at_risk: u64,
    /// What the server counted.
    pub server: u64,
}

impl Checks {
    /// The least that the server must have.
    pub fn least(&self) -> u64 {
        self.answered.saturating_sub(self.at_risk)
    }

    /// The most that it can have.
    pub fn most(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// Whether the server's count can be right. Without an outage this means that it is equal.
    pub fn hold(&self) -> bool {
        (self.least()..=self.most()).contains(&self.server)
    }
}

/// Whether exactly those were offered the current build whom the formula of shares takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Formula {
    /// How many devices it takes.
    pub expected: usize,
    /// How many were offered the build.
    pub offered: usize,
    /// How many are in one of the two sets only.
    pub wrong: usize,
    /// The same for each rollout of a release plan, in the order in which polls ask them.
    pub rollouts: Vec<RolloutFormula>,
    /// Single answers that contradicted it, the first few.
    pub contradictions: Vec<String>,
}

/// Whether exactly those were offered the build by a rollout whom the formula gives to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RolloutFormula {
    /// The rollout.
    pub rollout_id: i64,
    /// What people call it.
    pub name: String,
    /// How many devices the formula gives to it.
    pub expected: usize,
    /// How many it offered the build to.
    pub offered: usize,
    /// How many are in one of the two sets only.
    pub wrong: usize,
}

impl Formula {
    /// Whether the two sets are the same, of the build and of each rollout, and no single answer said otherwise.
    pub fn holds(&self) -> bool {
        let rollouts = self.rollouts.iter().all(|rollout| rollout.wrong == 0);
        self.wrong == 0 && rollouts && self.contradictions.is_empty()
    }
}

/// What this machine needed.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Real seconds, enrolment included.
    pub seconds: f64,
    /// Real seconds of enrolling.
    pub enrolling_seconds: f64,
    /// How often the server was away.
    pub outages: usize,
    /// Times to answer.
    pub latency: Vec<Latency>,
}

/// Times to answer one kind of request, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// The kind.
    pub errand: &'static str,
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are.
    pub p99: f64,
    /// 999 of 1,000 are.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Report {
    /// Whether all counts of the server and of the devices are equal.
    pub fn is_equal(&self) -> bool {
        self.builds.iter().all(BuildComparison::is_equal)
            && self.checks.hold()
            && self.formula.holds()
            && self.plan.as_ref().is_none_or(PlanBooks::hold)
            && self.patches.as_ref().is_none_or(PatchBooks::hold)
            && self.remarks.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// The adoption curve as a picture.
    pub fn svg(&self) -> String {
        picture::draw(self)
    }
}

#[cfg(test)]
mod tests;
