//! The draft's steps: when each begins and is reached if nobody acts, and what polls are then answered by.

use chrono::{DateTime, Utc};

use super::{FleetDevice, ForecastTerms};
use crate::gate::{GateSettings, StepRange};
use crate::{
    Catalog, Percent, PlanRun, PlanStep, Position, Release, Rollout, RolloutId, RolloutSettings,
    RolloutState, Share, Track,
};

/// What becomes of a rollout by itself.
#[derive(Debug)]
pub(super) struct Course {
    /// The rollout.
    pub(super) id: RolloutId,
    /// When it begins.
    pub(super) begins: DateTime<Utc>,
    /// Whether it waits to be approved first.
    pub(super) waits: bool,
    /// The rollouts that are asked before it, in that order.
    pub(super) before: Vec<RolloutId>,
    pub(super) steps: Vec<CourseStep>,
    /// What polls were answered by at the end, were it the only rollout.
    pub(super) alone: Catalog,
    /// The same at its whole slice, beside the others: whom its control is taken of.
    pub(super) whole: Catalog,
    pub(super) settings: RolloutSettings,
    pub(super) gate: Option<GateSettings>,
    /// The last step's moment.
    pub(super) last: DateTime<Utc>,
}

/// One step.
#[derive(Debug)]
pub(super) struct CourseStep {
    pub(super) percent: Percent,
    /// When its share begins to grow.
    pub(super) begins: DateTime<Utc>,
    /// When its share is reached.
    pub(super) reached: DateTime<Utc>,
    /// When its bake is over; the last one's too.
    pub(super) baked: DateTime<Utc>,
    /// Whether it waits to be approved.
    pub(super) waits: bool,
    /// What polls are answered by from its beginning on, while it ramps and afterwards.
    pub(super) catalog: Catalog,
    /// Whose silence is watched, where a gate asks for it.
    pub(super) watched: Option<StepRange>,
}

impl Course {
    /// Of this rollout, which is in the track, begun or not.
    pub(super) fn of(made: &Track, id: RolloutId, terms: &ForecastTerms<'_>) -> Self {
        let now = terms.by.now;
        let release = own(made, id);
        let waits = release.is_some_and(|release| release.rollout.spec.state == RolloutState::Proposed);
        let first = release.and_then(|release| release.rollout.spec.plan.as_ref());
        let not_before = first.and_then(|run| run.plan.first().not_before);
        let begins = not_before.map_or(now, |time| time.max(now));
        let begun = made.with_begun(id, begins);
        let before = begun.serving.iter().map(|release| release.rollout.id);
        let mut course = Self {
            id,
            begins,
            waits,
            before: before.take_while(|other| *other != id).collect(),
            steps: vec![],
            alone: Catalog::default(),
            whole: Catalog::default(),
            settings: RolloutSettings::to(Percent::NOBODY),
            gate: None,
            last: begins,
        };
        if let Some(release) = own(&begun, id) {
            course.settings = release.rollout.spec.settings.clone();
            course.gate = release.rollout.spec.gate.map(|gate| gate.terms.settings);
            course.lead(&begun, &release.rollout, terms);
        }
        course
    }

    /// Where the device stands among those that the rollout addresses; none where it is none of them.
    pub(super) fn position_in_audience(&self, device: &FleetDevice<'_>) -> Option<Position> {
        let settings = &self.settings;
        let is_addressed = settings.audience.includes(&device.subject());
        is_addressed.then(|| settings.position(device.id))
    }

    /// Leads the rollout through its steps.
    fn lead(&mut self, begun: &Track, rollout: &Rollout, terms: &ForecastTerms<'_>) {
        let spec = &rollout.spec;
        let mut run = spec
            .plan
            .as_ref()
            .map(|run| PlanRun::begun(run.plan.clone(), Percent::NOBODY.share(), self.begins));
        let mut track = begun.clone();
        let mut from = Percent::NOBODY.share();
        // One approval is enough for all steps but those that ask for their own.
        let mut is_approved = self.waits || spec.consent.approved.is_some();
        loop {
            if let Some(run) = &run {
                track = begun.with_run(self.id, run);
            }
            let step = run.as_ref().map(|run| run.step().clone());
            let begins = run.as_ref().map_or(self.begins, |run| run.progress.since);
            let reached = run.as_ref().map_or(begins, |run| run.progress.until);
            let baked = step.as_ref().map_or(reached, |step| reached + step.bake.delta());
            let percent = step.as_ref().map_or(spec.settings.percent, |step| step.percent);
            let asks = |step: &PlanStep| step.approve || (!is_approved && begun.approval.asks(step.percent));
            let waits = !self.steps.is_empty() && step.as_ref().is_some_and(asks);
            is_approved |= waits;
            self.steps.push(CourseStep {
                percent,
                begins,
                reached,
                baked,
                waits,
                catalog: catalog(track.clone(), terms, begins),
                watched: self.watched(from, percent, terms),
            });
            from = percent.share();
            let next = run.as_ref().and_then(|run| {
                let next = run.next_step()?;
                Some(run.advanced(next.not_before.map_or(baked, |time| time.max(baked))))
            });
            self.last = reached;
            match next {
                Some(next) => run = Some(next),
                None => break,
            }
        }
        let mut alone = track.clone();
        alone.serving.retain(|release| release.rollout.id == self.id);
        self.alone = catalog(alone, terms, self.last);
        let at = self.last;
        for release in &mut track.serving {
            if release.rollout.id == self.id {
                release.rollout.spec.plan = None;
                release.rollout.spec.settings.percent = Percent::EVERYBODY;
            }
        }
        self.whole = catalog(track, terms, at);
    }

    /// Whose silence a step watches; nobody's where its gate doesn't ask, or the fleet is too small to tell.
    fn watched(&self, from: Share, percent: Percent, terms: &ForecastTerms<'_>) -> Option<StepRange> {
        let gate = self.gate.filter(|gate| gate.lost)?;
        let slice = self.settings.slice;
        let devices = u128::from(terms.fleet) * u128::from(slice.width.get());
        let devices = u64::try_from(devices / u128::from(Share::WHOLE.get())).unwrap_or(u64::MAX);
        Some(StepRange::new(
            slice,
            from,
            percent.share(),
            devices,
            gate.holdback,
        ))
    }

    /// Whether an answer about this package may depend on the tags that operators gave to devices.
    pub(super) fn needs_tags(&self, package: &str) -> bool {
        self.steps.iter().any(|step| step.catalog.needs_tags(package))
    }

    /// The step that holds at this time: the last that has begun.
    pub(super) fn at(&self, time: DateTime<Utc>) -> &CourseStep {
        let begun = self.steps.partition_point(|step| step.begins <= time);
        &self.steps[begun.saturating_sub(1)]
    }
}

fn own(track: &Track, id: RolloutId) -> Option<&Release> {
    track.serving.iter().find(|release| release.rollout.id == id)
}

/// What polls are answered by about this package, with its calendars worked out around this time where they can be.
#[cfg_attr(
    not(feature = "calendars"),
    expect(unused_variables, reason = "no calendar is worked out")
)]
fn catalog(track: Track, terms: &ForecastTerms<'_>, at: DateTime<Utc>) -> Catalog {
    let catalog = Catalog::new([track])
        .with_policies(terms.policies.clone())
        .with_calendars(terms.calendars.clone());
    #[cfg(feature = "calendars")]
    let catalog = catalog.with_openings(at, terms.calendars);
    catalog
}
