//! One device: what it would be told, by which way it comes to the build, and when it would ask.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::course::Course;
use super::{ForecastTerms, NOT_MADE};
use crate::gate::{Place, StepRange};
use crate::{
    BuildId, BuildRejection, Catalog, Decision, DeviceFacts, Overlay, PackageName, PollDecision, PollRequest,
    Reason, RolloutId, Subject, VersionCode, decide, decide_until, poll_after, poll_after_change,
};

/// Who was silent for longer cannot be reached, as far as anybody knows.
pub const UNREACHABLE_AFTER: TimeDelta = TimeDelta::days(7);

/// How many of a device's polls are looked at until it is offered the build.
const MAX_LOOKS: usize = 64;

/// How many builds a device takes in between at most.
const MAX_HOPS: u32 = 64;

/// A device of the fleet, as it is known.
#[derive(Clone, Copy, Debug)]
pub struct FleetDevice<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it runs of the package; 0 when that is not installed.
    pub installed: VersionCode,
    /// What it said of itself in its last poll, or at its enrolment before the first.
    pub facts: &'a DeviceFacts<'a>,
    /// The builds that it gave up.
    pub rejections: &'a [BuildRejection],
    /// What operators gave to it.
    pub overlay: &'a Overlay,
    /// When it last polled; `None`: never.
    pub last_seen: Option<DateTime<Utc>>,
}

impl<'a> FleetDevice<'a> {
    /// As audiences look at it.
    pub(super) fn subject(&self) -> Subject<'a> {
        Subject {
            facts: self.facts,
            installed: self.installed,
            tags: self.overlay.tags(),
        }
    }
}

/// What a device is told at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) told: Told,
    /// When the offer is made: then, or when the window opens that it waits for.
    pub(super) at: DateTime<Utc>,
    /// Whether a window that opens by itself is all that keeps it from the offer.
    pub(super) waits: bool,
}

/// What a poll is told, as a forecast counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The draft's build, or one that must be taken before it.
    Offered,
    /// A build of another rollout.
    OfferedByAnother,
    Nothing(Reason),
}

impl Answer {
    /// Whether the draft comes to the device by itself.
    pub(super) fn is_meant(&self) -> bool {
        self.told == Told::Offered || self.waits
    }
}

/// What the draft means for a device, were there no other rollout.
pub(super) enum Alone {
    /// It runs a higher version, and stays on it.
    Stranded,
    /// It would be offered the build, and another rollout keeps it from that.
    TakenBefore(RolloutId),
    /// No less and no more than it does.
    AsAmongOthers,
}

/// How devices are asked.
#[derive(Debug)]
pub(super) struct Outlook {
    id: RolloutId,
    build: BuildId,
    package: PackageName,
    interval: Duration,
    now: DateTime<Utc>,
}

impl Outlook {
    pub(super) fn new(id: RolloutId, build: &crate::Build, terms: &ForecastTerms<'_>) -> Self {
        Self {
            id,
            build: build.id,
            package: build.facts.package.clone(),
            interval: terms.interval,
            now: terms.by.now,
        }
    }

    pub(super) fn package(&self) -> &str {
        self.package.as_str()
    }

    fn request<'a>(&'a self, device: &FleetDevice<'a>) -> PollRequest<'a> {
        PollRequest::new(
            device.id,
            self.package.as_str(),
            device.installed,
            device.facts,
            device.rejections,
            device.overlay,
        )
    }

    fn told(&self, decision: &Decision<'_>) -> Told {
        match decision {
            Decision::Offer(offer) if offer.rollout.id == self.id => Told::Offered,
            Decision::Offer(_) => Told::OfferedByAnother,
            Decision::NoUpdate(reason) => Told::Nothing(*reason),
        }
    }

    /// What the device's poll is told at this time.
    pub(super) fn answer(&self, catalog: &Catalog, device: &FleetDevice<'_>, at: DateTime<Utc>) -> Answer {
        let request = self.request(device);
        let PollDecision { decision, again, .. } = decide_until(catalog, &request, at);
        let told = self.told(&decision);
        let opens = again.filter(|_| told == Told::Nothing(Reason::OutsideWindow));
        let opened = opens.filter(|opens| self.told(&decide(catalog, &request, opens.at)) == Told::Offered);
        Answer {
            told,
            at: opened.map_or(at, |opens| opens.at),
            waits: opened.is_some(),
        }
    }

    /// How many builds the device takes in between, and how many bytes it fetches, from this offer on.
    pub(super) fn way(&self, catalog: &Catalog, device: &FleetDevice<'_>, at: DateTime<Utc>) -> (u32, u64) {
        let (mut hops, mut bytes) = (0, 0_u64);
        let mut device = *device;
        while let Decision::Offer(offer) = decide(catalog, &self.request(&device), at) {
            bytes = bytes.saturating_add(offer.build.facts.size);
            if offer.build.id == self.build || offer.rollout.id != self.id || hops == MAX_HOPS {
                break;
            }
            hops += 1;
            device.installed = offer.build.facts.version_code;
        }
        (hops, bytes)
    }

    /// When the device is offered the build that the step of this number is the first to have for it; `None` where it
    /// has been silent for long, or was not offered it within many polls.
    pub(super) fn offered_at(
        &self,
        course: &Course,
        number: usize,
        device: &FleetDevice<'_>,
    ) -> Option<DateTime<Utc>> {
        let rhythm = TimeDelta::from_std(poll_after(device.id, self.interval)).ok()?;
        let rhythm = rhythm.max(TimeDelta::seconds(1));
        let first = self.next_poll(device, rhythm)?;
        let mut at = first + whole_turns(first, course.steps[number].begins, rhythm, true);
        let request = self.request(device);
        for _ in 0..MAX_LOOKS {
            let PollDecision { decision, again, .. } = decide_until(&course.at(at).catalog, &request, at);
            if self.told(&decision) == Told::Offered {
                return Some(at);
            }
            let turns = again.map_or(TimeDelta::zero(), |again| {
                whole_turns(at, again.at, rhythm, false)
            });
            at += match turns > TimeDelta::zero() {
                // In between it would be told the same.
                true => turns,
                false => TimeDelta::from_std(poll_after_change(device.id, self.interval, again, at)).ok()?,
            };
        }
        None
    }

    /// When it polls next, by its rhythm. One that is late is taken to stay away for as long again, and no longer than
    /// one turn.
    fn next_poll(&self, device: &FleetDevice<'_>, rhythm: TimeDelta) -> Option<DateTime<Utc>> {
        let seen = device
            .last_seen
            .filter(|seen| self.now - *seen <= UNREACHABLE_AFTER)?;
        let due = seen + rhythm;
        let late = (self.now - due).max(TimeDelta::zero());
        Some(due + late + late.min(rhythm))
    }

    /// What the draft would mean for the device without the other rollouts.
    pub(super) fn alone(&self, course: &Course, device: &FleetDevice<'_>, is_meant: bool) -> Alone {
        if is_meant {
            return Alone::AsAmongOthers;
        }
        let request = self.request(device);
        match self.told(&decide(&course.alone, &request, course.last)) {
            Told::Nothing(Reason::NewerInstalled) => Alone::Stranded,
            Told::Offered => match self.taken_by(course, device) {
                Some(other) => Alone::TakenBefore(other),
                None => Alone::AsAmongOthers,
            },
            _ => Alone::AsAmongOthers,
        }
    }

    /// The rollout that is asked before the draft and takes the device.
    fn taken_by(&self, course: &Course, device: &FleetDevice<'_>) -> Option<RolloutId> {
        let track = course.at(course.last).catalog.track(self.package.as_str())?;
        let place = track.taken_by(device.id, &device.subject(), course.last)?;
        course.before.get(place).copied()
    }

    /// Whether the device is one of those that a step is compared with: in the next positions, which neither that step
    /// nor an earlier one takes, and only the share keeps it from the offer.
    pub(super) fn is_control(&self, course: &Course, range: StepRange, device: &FleetDevice<'_>) -> bool {
        let position = course.settings.position(device.id);
        if range.place(position, range.target) != Place::Control {
            return false;
        }
        self.answer(&course.whole, device, course.last).is_meant()
    }
}

/// The whole turns of this length from one moment to another: as many as reach it, or as many as don't pass it.
fn whole_turns(from: DateTime<Utc>, to: DateTime<Utc>, turn: TimeDelta, reach: bool) -> TimeDelta {
    let (way, turn) = (
        (to - from).num_milliseconds().max(0),
        turn.num_milliseconds().max(1),
    );
    let turns = match reach {
        true => (way + turn - 1) / turn,
        false => way / turn,
    };
    TimeDelta::milliseconds(turns * turn)
}

/// Whether this is the number of a rollout that is not made yet.
pub(super) fn is_made(id: RolloutId) -> bool {
    id != NOT_MADE
}
