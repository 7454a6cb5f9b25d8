//! A rollout that goes on by itself: the fleet's time stands still while the server takes a step, as the operator's changes are
//! made while no device acts.

use std::time::Duration;

use tokio::time::Instant;

use super::{Run, serving};
use crate::Error;
use crate::forecast_books::ForecastBooks;
use crate::formula::{fits, position};
use crate::life::moment;
use crate::openings::Calendar;
use crate::operator::Rollout;
use crate::plan_books::{Course, Line, PlanBooks, Step, Subject};
use crate::release_plan::{PlannedRollout, ReleasePlan, hours};

/// How long the server may take, in real time, to take a step that is due: it looks each second, and another server takes over
/// after two.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long all servers need at most to see a step that one has taken, in real time, and as much again.
const SEEN_BY_ALL: Duration = Duration::from_millis(800);

/// How long the server takes at most to write a poll down, in real time.
const WRITTEN_DOWN: Duration = Duration::from_millis(1_500);

impl Run<'_> {
    fn release(&self) -> Option<(&ReleasePlan, &PlannedRollout)> {
        let release = self.plan.release.as_ref()?;
        Some((release, release.course()?))
    }

    /// Whether devices may be told to wait for something that will come.
    pub(super) fn waits(&self) -> bool {
        self.release().is_some()
    }

    pub(super) async fn make_calendars(&self) -> Result<(), Error> {
        let calendars = self.plan.release.iter().flat_map(|release| &release.calendars);
        for calendar in calendars {
            self.fleet
                .operator()
                .create_calendar(calendar, self.begin)
                .await?;
        }
        Ok(())
    }

    /// The rollout that goes on by itself, once it was made.
    async fn course(&self) -> Result<Option<Rollout>, Error> {
        if self.release().is_none() {
            return Ok(None);
        }
        let rollouts = self.fleet.operator().rollouts(&self.plan.package).await?;
        Ok(rollouts
            .into_iter()
            .find(|rollout| rollout.plan.is_some() && rollout.build_id == self.build.build_id))
    }

    pub(super) async fn act_on_course(&self, verb: &str) -> Result<(), Error> {
        match self.course().await? {
            Some(rollout) => self.fleet.operator().act_on(rollout.rollout_id, verb).await,
            None => Err(Error::Usage(format!("there is no rollout with a plan to {verb}"))),
        }
    }

    /// When the plan takes its next step, if that is before this moment.
    pub(super) async fn next_edge(&self, end: i64) -> Result<Option<i64>, Error> {
        let Some(rollout) = self.course().await? else {
            return Ok(None);
        };
        let timeline = self.fleet.operator().timeline(rollout.rollout_id).await?;
        // Rounded up: the server's clock knows microseconds.
        let edge = timeline.next.map(|at| at.timestamp_millis() + 1);
        Ok(edge.filter(|edge| *edge < end))
    }

    /// Lets the time be that of a step, and waits until the server has taken it.
    pub(super) async fn take_step(&self, edge: i64) -> Result<(), Error> {
        if let Some(driver) = &self.plan.clock {
            driver.set(moment(edge), 0).await;
        }
        let begun = Instant::now();
        while self.next_edge(edge + 1).await?.is_some() {
            if begun.elapsed() > STEP_LIMIT {
                return Err(Error::Server(format!(
                    "a step of the plan was due at {} and was not taken",
                    moment(edge)
                )));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        tokio::time::sleep(SEEN_BY_ALL).await;
        let serving = serving(self.fleet.operator(), &self.plan.package, &self.overlays).await?;
        if let Some(settings) = &self.fleet.commons.settings {
            settings.change(serving);
        }
        Ok(())
    }

    /// Refuses a plan that would go on while the devices finish: its last share is what they are compared with.
    pub(super) async fn check_course_is_over(&self) -> Result<(), Error> {
        let Some(rollout) = self.course().await? else {
            return Ok(());
        };
        if !self.fleet.operator().timeline(rollout.rollout_id).await?.goes_on {
            return Ok(());
        }
        Err(Error::Usage(
            "the plan is not over at the end; let the fleet live longer: --duration".to_owned(),
        ))
    }

    /// Asks what the rollout that goes on by itself would do, shortly before it is made.
    pub(super) async fn ask_forecast(&self, planned: &PlannedRollout) -> Result<(), Error> {
        if planned.plan.is_empty() || self.told.get().is_some() {
            return Ok(());
        }
        // Until then the last polls are written down.
        tokio::time::sleep(WRITTEN_DOWN).await;
        let told = self
            .fleet
            .operator()
            .forecast(self.build.build_id, planned, self.begin);
        // Asked once: a rollout is made once.
        let _ = self.told.set(told.await?);
        Ok(())
    }

    /// Compares it with what the rollout did.
    pub(super) async fn forecast_books(&self) -> Result<Option<ForecastBooks>, Error> {
        let (Some((_, planned)), Some(rollout), Some(told)) =
            (self.release(), self.course().await?, self.told.get())
        else {
            return Ok(None);
        };
        let timeline = self.fleet.operator().timeline(rollout.rollout_id).await?;
        let begun = timeline.happenings.iter().find(|one| one.state == "active");
        let begun = begun.map_or(0, |one| one.at.timestamp_millis());
        let steps: Vec<Step> = planned.plan.iter().map(step).collect();
        let mut offers = Vec::new();
        for device in self.fleet.devices() {
            let place = position(device.id(), None);
            let seen = device.seen();
            let mut polls = seen.polls.iter();
            let first = polls.find(|poll| poll.offered.is_some_and(|(of, _)| of == rollout.rollout_id));
            let of = steps.iter().position(|step| place < step.to);
            offers.extend(first.zip(of).map(|(poll, of)| (of, (poll.at - begun) / 1_000)));
        }
        Ok(Some(ForecastBooks::of(told, offers)))
    }

    /// Closes the books of the plan, if there is one.
    pub(super) async fn plan_books(&self) -> Result<Option<PlanBooks>, Error> {
        let (Some((release, planned)), Some(rollout)) = (self.release(), self.course().await?) else {
            return Ok(None);
        };
        let timeline = self.fleet.operator().timeline(rollout.rollout_id).await?;
        let steps: Vec<Step> = planned.plan.iter().map(step).collect();
        let line = Line::of(&steps, &timeline.happenings).ok_or_else(|| {
            Error::Usage(format!(
                "somebody else changed the plan of rollout {} meanwhile",
                rollout.rollout_id
            ))
        })?;
        let named = planned.calendars.clone().unwrap_or_default();
        let calendar = |name: Option<&String>| {
            let planned = release.calendar(name)?;
            Calendar::read(planned, self.begin)
        };
        let course = Course {
            rollout: rollout.rollout_id,
            build: self.build.build_id,
            version: self.build.version_code,
            line,
            download: calendar(named.download.as_ref()),
            install: calendar(named.install.as_ref()),
        };
        let mut books = PlanBooks::default();
        for device in self.fleet.devices() {
            let subject = Subject {
                name: device.id(),
                position: position(device.id(), None),
                fits: fits(&self.build, device.world()),
                zone: device.zone(),
                protocol: device.protocol(),
            };
            course.judge(subject, &device.seen(), &mut books);
        }
        Ok(Some(books))
    }
}

fn step(step: &crate::release_plan::PlannedStep) -> Step {
    Step::new(
        step.percent,
        i64::try_from(hours(step.over_h).as_millis()).unwrap_or(i64::MAX / 4),
    )
}
