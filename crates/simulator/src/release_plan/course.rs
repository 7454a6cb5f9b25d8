//! A rollout that goes on by itself: its steps, its calendars, and when the operator pauses it.

use std::time::Duration;

use serde::Deserialize;

use super::{MAX_ROWS, PlannedRollout, ReleasePlan, SHARE, check_number, check_text, fault, is_share};
use crate::Error;
use crate::openings::{Wall, zone_of};

/// The most hours that a time of a release plan may lie after its beginning.
const MAX_HOURS: f64 = 60.0 * 24.0;

/// One step of a plan. Hours are the fleet's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// The share that it leads to, in percent with up to two decimals.
    pub percent: f64,
    /// How long the share takes to get there; 0: at once.
    #[serde(default)]
    pub over_h: f64,
    /// How long it stays there.
    #[serde(default)]
    pub bake_h: f64,
    /// It does not begin before this hour.
    pub not_before_h: Option<f64>,
}

/// The names of the calendars that a rollout goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCalendars {
    /// For the download.
    pub download: Option<String>,
    /// For the installation.
    pub install: Option<String>,
}

/// The operator pauses the rollout, and resumes it. Hours are the fleet's.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// When it is paused.
    pub from_h: f64,
    /// When it goes on.
    pub to_h: f64,
}

/// A calendar that the operator makes before the first rollout.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCalendar {
    /// Its name.
    pub name: String,
    /// `device` for each device's own time, or an IANA name.
    pub zone: String,
    /// Stands in for a device that tells no zone; UTC when absent.
    pub fallback_zone: Option<String>,
    /// When it is open.
    pub windows: Vec<PlannedWindow>,
    /// When it is closed, whatever the windows say.
    #[serde(default)]
    pub freezes: Vec<PlannedFreeze>,
}

/// A window of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedWindow {
    /// Days of the week, such as `mon`.
    pub days: Vec<String>,
    /// When it begins, such as `22:00`.
    pub start: String,
    /// When it has ended; on the next day, if that is not after its start.
    pub end: String,
}

/// A freeze, at the same moment everywhere. Hours are the fleet's.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFreeze {
    /// When it begins.
    pub from_h: f64,
    /// When it has ended.
    pub to_h: f64,
}

/// So many hours.
pub(crate) fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64(hours * 3_600.0)
}

impl PlannedRollout {
    /// The share that it comes to at last, in percent.
    pub(crate) fn target(&self) -> f64 {
        self.plan.last().map_or(self.percent, |step| step.percent)
    }

    pub(super) fn check_course(&self) -> Result<(), Error> {
        if self.plan.is_empty() {
            if self.calendars.is_some() || !self.pauses.is_empty() {
                return fault(
                    "rollouts.calendars and rollouts.pauses are for a rollout with a plan".to_owned(),
                );
            }
            return check_share("rollouts.percent", self.percent);
        }
        if self.percent != 0.0 {
            return fault("rollouts.percent and rollouts.plan exclude each other".to_owned());
        }
        for step in &self.plan {
            check_share("rollouts.plan.percent", step.percent)?;
            check_number("rollouts.plan.over_h", step.over_h, MAX_HOURS)?;
            check_number("rollouts.plan.bake_h", step.bake_h, MAX_HOURS)?;
            check_number(
                "rollouts.plan.not_before_h",
                step.not_before_h.unwrap_or_default(),
                MAX_HOURS,
            )?;
        }
        let mut last = self.after_h;
        for pause in &self.pauses {
            check_number("rollouts.pauses.to_h", pause.to_h, MAX_HOURS)?;
            if !(last < pause.from_h && pause.from_h < pause.to_h) {
                return fault(
                    "rollouts.pauses come one after the other, after the rollout was made".to_owned(),
                );
            }
            last = pause.to_h;
        }
        Ok(())
    }
}

impl ReleasePlan {
    /// The rollout that goes on by itself, if there is one.
    pub(crate) fn course(&self) -> Option<&PlannedRollout> {
        self.rollouts.iter().find(|rollout| !rollout.plan.is_empty())
    }

    /// The calendar of this name.
    pub(crate) fn calendar(&self, name: Option<&String>) -> Option<&PlannedCalendar> {
        self.calendars
            .iter()
            .find(|calendar| Some(&calendar.name) == name)
    }

    pub(super) fn check_course(&self) -> Result<(), Error> {
        check_number("begins_h", self.begins_h, 7.0 * 24.0)?;
        if self.calendars.len() > MAX_ROWS {
            return fault(format!("a release plan has up to {MAX_ROWS} calendars"));
        }
        self.calendars.iter().try_for_each(PlannedCalendar::check)?;
        let Some(rollout) = self.course() else {
            return Ok(());
        };
        // Its books know of one line, and of nothing else that would keep a device from the build.
        let addresses = [&rollout.tag, &rollout.region, &rollout.model];
        let stands_alone = self.rollouts.len() == 1 && rollout.priority == 0 && self.pins.is_empty();
        if !stands_alone || rollout.slice.is_some() || addresses.into_iter().any(Option::is_some) {
            return fault(
                "a rollout with a plan is the only one, of priority 0, and for everybody".to_owned(),
            );
        }
        let named = rollout.calendars.clone().unwrap_or_default();
        for name in [named.download, named.install].into_iter().flatten() {
            if self.calendar(Some(&name)).is_none() {
                return fault(format!(
                    "rollouts.calendars names {name:?}, which no row of calendars describes"
                ));
            }
        }
        Ok(())
    }
}

impl PlannedCalendar {
    fn check(&self) -> Result<(), Error> {
        check_text("calendars.name", &self.name)?;
        let own = (self.zone != "device").then_some(&self.zone);
        for zone in [own, self.fallback_zone.as_ref()].into_iter().flatten() {
            if zone_of(zone).is_none() {
                return fault(format!("calendars: nobody knows the zone {zone:?}"));
            }
        }
        for window in &self.windows {
            if Wall::read(window).is_none() {
                return fault(format!(
                    "calendars.windows: {window:?} is not like {{ days = [\"mon\"], start = \"22:00\", end = \"04:00\" }}"
                ));
            }
        }
        for freeze in &self.freezes {
            check_number("calendars.freezes.to_h", freeze.to_h, MAX_HOURS)?;
            if !(0.0 <= freeze.from_h && freeze.from_h < freeze.to_h) {
                return fault("calendars.freezes end after they have begun".to_owned());
            }
        }
        Ok(())
    }
}

fn check_share(name: &str, percent: f64) -> Result<(), Error> {
    match is_share(percent) {
        true => Ok(()),
        false => fault(format!("{name} is {percent}; it must be {SHARE}")),
    }
}
