//! What a rollout would do that nobody has made yet.
//!
//! The draft is made by the verb that really makes rollouts, and put into a copy of its package's track; its plan is led
//! through its steps by the transitions that really lead it. Then each device of the fleet is asked by the poll's own
//! [`decide`](crate::decide), once for each step at the moment at which the step's share is reached. So a forecast knows
//! no rule of its own, and cannot differ from what happens by more than the fleet changes in the meantime.
//!
//! What it takes for granted: operators do nothing, approvals come at once, the gate lets each step pass as soon as its
//! bake is over, other rollouts' plans stay in the step that they are in, devices run what they run now, and nobody is
//! woken by a nudge.

/// The page's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/forecast.md")]
struct Page;

mod course;
mod device;
mod gate;
mod tally;
mod told;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::device::{FleetDevice, UNREACHABLE_AFTER};
pub use self::told::{
    EarlierRollout, Forecast, Overlap, Peak, SilenceForecast, StepForecast, StepGate, StepPasses, Times,
    Within,
};

use self::course::Course;
use self::device::{Answer, Outlook};
use self::tally::{StepTally, Tally};
use crate::{
    Build, By, Change, CompiledCalendars, Error, PolicySet, RolloutDraft, RolloutId, RolloutSpec, Track,
};

/// The number of a rollout that has none yet. It is newer than all others, so it is asked where a new one is.
const NOT_MADE: RolloutId = RolloutId(i64::MAX);

/// How many earlier rollouts a draft's first devices are compared with.
pub const MAX_EARLIER: usize = 5;

/// What is asked, and what has to be known besides the fleet.
pub struct ForecastTerms<'a> {
    /// The package's track as it stands.
    pub track: &'a Track,
    /// The policies.
    pub policies: &'a PolicySet,
    /// All calendars; those that are not named are left out.
    pub calendars: &'a CompiledCalendars,
    /// The build.
    pub build: &'a Build,
    /// The rollout that nobody has made.
    pub draft: &'a RolloutDraft,
    /// How often the build was released before.
    pub attempts: u32,
    /// Who would make it, and when.
    pub by: By<'a>,
    /// How often devices poll.
    pub interval: Duration,
    /// The package's last rollouts, at most [`MAX_EARLIER`].
    pub earlier: &'a [EarlierRollout],
    /// How many devices there are, before a sample is taken of them.
    pub fleet: u64,
}

/// Takes the fleet in, device by device. What it keeps grows by some bytes a device.
#[derive(Debug)]
pub struct Forecaster {
    change: Change,
    course: Course,
    outlook: Outlook,
    earlier: Vec<EarlierRollout>,
    tally: Tally,
}

impl Forecaster {
    /// Makes the draft as the verb would, in a copy of the track.
    ///
    /// # Errors
    /// What [`Track::create`] refuses.
    pub fn new(terms: &ForecastTerms<'_>) -> Result<Self, Error> {
        let ForecastTerms { track, build, by, .. } = *terms;
        let change = track.create(build, terms.draft, terms.attempts, by)?;
        // One that serves on these very terms already is not made again: then it is that one.
        let id = match change.insert.is_empty() {
            true => change.after.rollout_id.unwrap_or(NOT_MADE),
            false => NOT_MADE,
        };
        let made = track.after(&change, &Arc::new(build.clone()), id);
        let course = Course::of(&made, id, terms);
        Ok(Self {
            outlook: Outlook::new(id, build, terms),
            tally: Tally::of(course.steps.len(), terms.earlier.len()),
            earlier: terms.earlier.to_vec(),
            course,
            change,
        })
    }

    /// The rollouts that would be written, for those who know what else they must agree with.
    pub fn specs(&self) -> &[RolloutSpec] {
        &self.change.insert
    }

    /// Whether the answers may depend on the tags that operators gave to devices.
    pub fn needs_tags(&self) -> bool {
        self.course.needs_tags(self.outlook.package())
    }

    /// How many devices were asked about.
    pub fn devices(&self) -> u64 {
        self.tally.devices
    }

    /// Asks about one device.
    pub fn add(&mut self, device: &FleetDevice<'_>) {
        let (outlook, course) = (&self.outlook, &self.course);
        self.tally.devices += 1;
        let mut added_by = None;
        let position = course.position_in_audience(device);
        for (number, step) in course.steps.iter().enumerate() {
            let answer = outlook.answer(&step.catalog, device, step.reached);
            let takes = |position| course.settings.slice.takes(position, step.percent.share());
            self.tally.steps[number].count(&answer, position.is_some_and(takes));
            if added_by.is_none() && answer.is_meant() {
                added_by = Some((number, answer));
            }
        }
        if let Some((number, answer)) = &added_by {
            self.add_new(*number, answer, device);
        }
        self.compare(device, added_by.as_ref().map(|(number, _)| *number));
    }

    /// Counts a device with the step that is the first to take it.
    fn add_new(&mut self, number: usize, answer: &Answer, device: &FleetDevice<'_>) {
        let (outlook, course) = (&self.outlook, &self.course);
        let step = &course.steps[number];
        let (hops, bytes) = outlook.way(&step.catalog, device, answer.at);
        let tally: &mut StepTally = &mut self.tally.steps[number];
        tally.add(hops, bytes);
        match outlook.offered_at(course, number, device) {
            Some(at) => {
                let after = at - course.begins;
                tally.offered_after(after, bytes);
                self.tally.whole.offered_after(after, bytes);
            }
            None => tally.unreachable += 1,
        }
    }

    /// Counts it with what the draft is compared with: what others take from it, and what came before it.
    fn compare(&mut self, device: &FleetDevice<'_>, added_by: Option<usize>) {
        let (outlook, course) = (&self.outlook, &self.course);
        match outlook.alone(course, device, added_by.is_some()) {
            device::Alone::Stranded => self.tally.stranded += 1,
            device::Alone::TakenBefore(other) => *self.tally.taken_before.entry(other).or_default() += 1,
            device::Alone::AsAmongOthers => {}
        }
        for (number, step) in course.steps.iter().enumerate() {
            let Some(range) = step.watched else { break };
            if outlook.is_control(course, range, device) {
                self.tally.steps[number].control += 1;
            }
        }
        if added_by != Some(0) {
            return;
        }
        let subject = device.subject();
        for (earlier, shared) in self.earlier.iter().zip(&mut self.tally.shared) {
            *shared += u64::from(earlier.took(device.id, &subject));
        }
    }

    /// What comes of it. `at` is when the fleet was read; `sample_of` is how many devices there are, where only some of
    /// them were asked.
    pub fn finish(self, at: DateTime<Utc>, sample_of: Option<u64>) -> Forecast {
        told::forecast(&self.course, &self.earlier, self.tally, at, sample_of)
    }
}
