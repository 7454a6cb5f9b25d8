//! What a forecast says.

use chrono::{DateTime, TimeDelta, Utc};

use super::course::{Course, CourseStep};
use super::device::is_made;
use super::gate;
use super::tally::{Answers, Arrivals, StepTally, Tally};
use crate::gate::NotMeasured;
use crate::{Percent, Reason, RolloutId, RolloutSettings, RolloutState, Subject};

/// What a rollout would do that nobody has made yet. Devices are those that ask for the package; retired, inactive and
/// revoked ones are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// When the fleet was read.
    pub at: DateTime<Utc>,
    /// The rollout that serves on these very terms already, and would be returned instead of a new one.
    pub same_as: Option<RolloutId>,
    /// When it begins, if an approval that it waits for comes at once.
    pub begins: DateTime<Utc>,
    /// Whether it waits for another person's approval before it begins.
    pub waits_for_approval: bool,
    /// How many devices there are.
    pub devices: u64,
    /// Whether the numbers come from a sample and were scaled up.
    pub sampled: bool,
    /// Its steps; one for a rollout without a plan.
    pub steps: Vec<StepForecast>,
    /// When the devices of all steps together that can be reached have been offered it, after its beginning.
    pub times: Times,
    /// The most that is asked of the server.
    pub peak: Peak,
    /// How many devices would be offered it, did not this rollout, which is asked earlier, take them.
    pub taken_before: Vec<(RolloutId, u64)>,
    /// Devices that it addresses and that run a higher version: they stay on it.
    pub stranded: u64,
    /// Devices of its first step that were in the first step of earlier rollouts, the newest first.
    pub overlaps: Vec<Overlap>,
}

/// What one step would do. What polls are told is counted at the moment at which its share is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct StepForecast {
    /// The share that it leads to.
    pub percent: Percent,
    /// When it begins.
    pub begins: DateTime<Utc>,
    /// When its share is reached.
    pub reached: DateTime<Utc>,
    /// When its bake is over.
    pub baked: DateTime<Utc>,
    /// Whether it waits for another person's approval, which may come later than this says.
    pub waits_for_approval: bool,
    /// Devices whose poll is told to take the draft's build, or one before it.
    pub offered: u64,
    /// Devices whose poll is told to take another rollout's build.
    pub offered_by_another: u64,
    /// Devices whose poll is told to take nothing, by the reason. With the two before they are all devices.
    pub reasons: Vec<(Reason, u64)>,
    /// The same of the devices that the audience and this step's share take, whoever answers them.
    pub within: Within,
    /// Devices that this step is the first to take: those that are offered the build, and those that only wait for a
    /// window to open.
    pub new_devices: u64,
    /// Of these, those that have been silent for long, or are not offered it within many polls.
    pub unreachable: u64,
    /// How many builds they take in between, all together.
    pub barrier_hops: u64,
    /// The bytes of all files that they fetch.
    pub bytes: u64,
    /// When those that can be reached have been offered it, after the rollout's beginning.
    pub times: Times,
    /// The most that this step asks of the server.
    pub peak: Peak,
    /// What the gate can say of it; `None` without one.
    pub gate: Option<StepGate>,
}

impl StepForecast {
    /// Why devices are not offered the draft's build, with how many each; what concerns nobody is left out.
    pub fn not_offered(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let another = ("offered by another rollout", self.offered_by_another);
        let reasons = self
            .reasons
            .iter()
            .map(|(reason, devices)| (reason.as_str(), *devices));
        std::iter::once(another)
            .chain(reasons)
            .filter(|(_, devices)| *devices > 0)
    }
}

/// What becomes of the devices that a draft's audience and share take: its parts sum to `devices`, which a sample's
/// scaling may miss by the number of parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// How many they are.
    pub devices: u64,
    /// Devices that are offered the draft's build, or one before it.
    pub offered: u64,
    /// Devices that only wait for a window to open.
    pub waiting: u64,
    /// Devices that are offered another rollout's build.
    pub offered_by_another: u64,
    /// Devices that are told to take nothing, by the reason; who waits for a window is not among them.
    pub reasons: Vec<(Reason, u64)>,
}

/// After which time so many of those that can be reached have been offered the build; `None` where that is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Half of them.
    pub half: Option<TimeDelta>,
    /// 90 of 100.
    pub ninety: Option<TimeDelta>,
    /// 99 of 100.
    pub ninety_nine: Option<TimeDelta>,
}

/// The busiest hour, counted from the rollout's beginning in whole ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Devices that are offered the build in it.
    pub devices_per_hour: u64,
    /// The bytes that they fetch, by second, were they spread over the hour.
    pub bytes_per_second: u64,
}

/// What the gate can say of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepGate {
    /// How it can pass.
    pub passes: StepPasses,
    /// How many devices must install without a failure before it passes by evidence.
    pub successes_to_advance: Option<u64>,
    /// Devices that it treats and that can be reached.
    pub treated: u64,
    /// Devices that they are compared with.
    pub control: u64,
    /// What can be said of devices that fall silent.
    pub silence: SilenceForecast,
}

/// How a step can pass its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPasses {
    /// It has enough devices for evidence.
    ByEvidence,
    /// It has few: when nearly all of them run the build for certain. That promises nothing about later ones.
    ByCensus,
    /// Nobody is reached, and no evidence never advances.
    Never,
}

impl StepPasses {
    /// Its word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByEvidence => "evidence",
            Self::ByCensus => "census",
            Self::Never => "never",
        }
    }
}

/// What a gate can say of devices that fall silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SilenceForecast {
    /// Nothing.
    NotMeasured(NotMeasured),
    /// Something.
    Measured {
        /// How many of the treated in a row must fall silent to halt it; `None`: it can't be halted so.
        row: Option<u64>,
        /// The smallest fraction of the treated that a build silences and that is found in 80 of 100 cases; `None`: none is.
        smallest: Option<f64>,
    },
}

/// A rollout of before, as its first step was.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlierRollout {
    /// Its number.
    pub id: RolloutId,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub state: RolloutState,
    /// Its terms, with the share that it began with.
    pub settings: RolloutSettings,
}

impl EarlierRollout {
    /// Whether its first step was for the device, as that is known now.
    pub(super) fn took(&self, device_id: &str, subject: &Subject<'_>) -> bool {
        let settings = &self.settings;
        settings.audience.includes(subject) && settings.takes(settings.position(device_id))
    }
}

/// How many devices of the draft's first step an earlier rollout began with too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The earlier rollout.
    pub rollout: RolloutId,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub state: RolloutState,
    /// How many devices.
    pub devices: u64,
}

/// From a sample to the whole.
#[derive(Clone, Copy)]
struct Scale {
    seen: u64,
    of: u64,
}

impl Scale {
    /// As many of all as there are in the sample, rounded.
    fn up(self, count: u64) -> u64 {
        if self.seen == self.of || self.seen == 0 {
            return count;
        }
        let of_all = u128::from(count) * u128::from(self.of) + u128::from(self.seen / 2);
        u64::try_from(of_all / u128::from(self.seen)).unwrap_or(u64::MAX)
    }
}

pub(super) fn forecast(
    course: &Course,
    earlier: &[EarlierRollout],
    mut tally: Tally,
    at: DateTime<Utc>,
    sample_of: Option<u64>,
) -> Forecast {
    let scale = Scale {
        seen: tally.devices,
        of: sample_of.unwrap_or(tally.devices),
    };
    let steps = course.steps.iter().zip(&mut tally.steps);
    let steps = steps
        .map(|(step, tally)| self::step(course, step, tally, scale))
        .collect();
    let overlaps = earlier.iter().zip(&tally.shared);
    Forecast {
        at,
        same_as: is_made(course.id).then_some(course.id),
        begins: course.begins,
        waits_for_approval: course.waits,
        devices: scale.of,
        sampled: sample_of.is_some(),
        steps,
        times: times(&mut tally.whole),
        peak: peak(&tally.whole, scale),
        taken_before: tally
            .taken_before
            .into_iter()
            .map(|(rollout, devices)| (rollout, scale.up(devices)))
            .collect(),
        stranded: scale.up(tally.stranded),
        overlaps: overlaps
            .map(|(earlier, shared)| Overlap {
                rollout: earlier.id,
                name: earlier.name.clone(),
                state: earlier.state,
                devices: scale.up(*shared),
            })
            .collect(),
    }
}

fn step(course: &Course, step: &CourseStep, tally: &mut StepTally, scale: Scale) -> StepForecast {
    let gate = course.gate.as_ref().map(|settings| {
        let (treated, control) = (scale.up(tally.arrivals.len()), scale.up(tally.control));
        gate::step(settings, treated, control, scale.of)
    });
    StepForecast {
        percent: step.percent,
        begins: step.begins,
        reached: step.reached,
        baked: step.baked,
        waits_for_approval: step.waits,
        offered: scale.up(tally.all.offered),
        offered_by_another: scale.up(tally.all.offered_by_another),
        reasons: reasons(&tally.all, scale),
        within: within(&tally.within, scale),
        new_devices: scale.up(tally.new_devices),
        unreachable: scale.up(tally.unreachable),
        barrier_hops: scale.up(tally.hops),
        bytes: scale.up(tally.bytes),
        times: times(&mut tally.arrivals),
        peak: peak(&tally.arrivals, scale),
        gate,
    }
}

fn reasons(answers: &Answers, scale: Scale) -> Vec<(Reason, u64)> {
    let reasons = answers.reasons().into_iter();
    reasons
        .map(|(reason, devices)| (reason, scale.up(devices)))
        .collect()
}

fn within(answers: &Answers, scale: Scale) -> Within {
    Within {
        devices: scale.up(answers.devices),
        offered: scale.up(answers.offered),
        waiting: scale.up(answers.waiting),
        offered_by_another: scale.up(answers.offered_by_another),
        reasons: reasons(answers, scale),
    }
}

fn times(arrivals: &mut Arrivals) -> Times {
    let mut after = |hundredths| {
        arrivals
            .after(hundredths)
            .map(|seconds| TimeDelta::seconds(seconds.into()))
    };
    Times {
        half: after(50),
        ninety: after(90),
        ninety_nine: after(99),
    }
}

fn peak(arrivals: &Arrivals, scale: Scale) -> Peak {
    let (devices, bytes) = arrivals.peaks();
    Peak {
        devices_per_hour: scale.up(devices),
        bytes_per_second: scale.up(bytes).div_ceil(3_600),
    }
}
