//! Who lives through a rollout, and what they meet.

/// The devices of one step of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// How many are offered the build.
    pub treated: u32,
    /// How many are watched without it.
    pub control: u32,
    /// The fraction of the treated that the build fails on.
    pub failing: f64,
}

/// How devices come to their first poll of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    /// A nudge wakes all of both arms within so many minutes.
    Nudge {
        /// Minutes.
        minutes: f64,
    },
    /// At their usual polls, the whole share at once.
    Polls,
    /// At their usual polls, while the share rises for so many hours.
    Ramp {
        /// Hours.
        hours: f64,
    },
}

/// How a build fails on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failing {
    /// At once and for good, within two minutes of the last byte.
    Terminal,
    /// After each of its tries, 6 to 24 hours apart, until the retry budget is spent. One in ten of the others fails
    /// once as well.
    Retries,
}

/// Devices that can't be reached for a while, as many of either arm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absence {
    /// The fraction of the fleet.
    pub share: f64,
    /// From which hour of the rollout on.
    pub from: f64,
    /// For how many hours.
    pub hours: f64,
}

/// Apps that crash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crashes {
    /// How often a phone crashes a day, on average.
    pub per_day: f64,
    /// How many times as often with the build.
    pub ratio: f64,
}

/// A fleet and its rollout. Hours count from the rollout's begin.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    /// The steps that are played, one after the other.
    pub steps: Vec<Step>,
    /// How many steps the plan has, the later ones not begun.
    pub plan: usize,
    /// How many hours a step lasts.
    pub step_hours: f64,
    /// The hour of the day at which the rollout begins.
    pub begins: f64,
    /// How devices come to their first poll.
    pub entry: Entry,
    /// The fraction of downloads that arrive damaged.
    pub corrupt: f64,
    /// The failing are a fixed part of the step, such as all of one model, and not each for itself.
    pub fixed_part: bool,
    /// How the build fails.
    pub failing: Failing,
    /// Agents poll as soon as they start again: after an installation, and after a crash.
    pub polls_on_restart: bool,
    /// They install between these hours of the day only, the second before the first where it is at night.
    pub install_window: Option<[f64; 2]>,
    /// The fraction of downloads that take ten hours.
    pub slow: f64,
    /// The fraction of healthy phones that miss polls for an hour and a half or longer from shortly after their entry on,
    /// half of them for six hours.
    pub missing: f64,
    /// The fraction of phones that are off from about 23:00 to about 7:00.
    pub off_at_night: f64,
    /// An outage that some meet, or a region that goes dark.
    pub absence: Option<Absence>,
    /// Crashes.
    pub crashes: Option<Crashes>,
    /// The fraction of phones that never say a word again after they installed the build.
    pub bricked: f64,
    /// Failures are counted in the order of reports, which is wrong: it shows what the order is for.
    pub counted_by_reports: bool,
}

impl Population {
    /// A fleet that nothing happens to: one step to so many of each arm, at their usual polls, watched for two days.
    pub(crate) fn calm(treated: u32, control: u32) -> Self {
        Self {
            steps: vec![Step {
                treated,
                control,
                failing: 0.0,
            }],
            plan: 1,
            step_hours: 48.0,
            begins: 9.0,
            entry: Entry::Polls,
            corrupt: 0.0,
            fixed_part: false,
            failing: Failing::Terminal,
            polls_on_restart: false,
            install_window: None,
            slow: 0.0,
            missing: 0.01,
            off_at_night: 0.0,
            absence: None,
            crashes: None,
            bricked: 0.0,
            counted_by_reports: false,
        }
    }

    /// How long the run lasts.
    pub(crate) fn hours(&self) -> f64 {
        self.steps.iter().map(|_| self.step_hours).sum()
    }

    /// A build that fails exactly as often as is tolerated: 2 %, and 0.2 % damaged files.
    pub(crate) fn at_tolerance(treated: u32, control: u32) -> Self {
        let mut population = Self::calm(treated, control);
        population.steps[0].failing = 0.02;
        population.corrupt = 0.002;
        population
    }
}
