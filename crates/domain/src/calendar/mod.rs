//! Calendars: at which times a rollout may reach devices, as people read it off the wall.
//!
//! A [`Calendar`] has windows, such as 22:00 to 04:00 on weekdays, and freezes, during which nothing happens whatever the
//! windows say. It is told in the local time of the device, or of one zone. Deciding works on none of this: windows and
//! freezes are worked out ahead into [`Opening`]s, two moments each ([`CompiledCalendars`]), so that a poll compares
//! integers. That work needs the zones of the world and stands behind the feature `calendars`; an agent is told its
//! openings and needs neither.
//!
//! Rejected: cron and RRULE, which name moments and not windows, and openings that are told in hours from a moment, which
//! are an hour off on two days of the year.

mod compiled;
mod freeze;
mod name;
mod opening;
mod window;
mod words;
#[cfg(feature = "calendars")]
mod working_out;
#[cfg(feature = "calendars")]
mod zones;

use serde::{Deserialize, Serialize};

pub(crate) use self::compiled::CalendarQuestion;
pub use self::compiled::{CompiledCalendars, MAX_TOLD_OPENINGS, OPENINGS_AHEAD};
pub use self::freeze::{Freeze, YearDay};
pub use self::name::{CalendarName, MAX_CALENDAR_NAME_BYTES, ZoneName};
pub use self::opening::{Opening, Openings};
pub use self::window::{Window, clock_text};
#[cfg(feature = "calendars")]
pub use self::working_out::{MAX_PREVIEW_DAYS, openings};
#[cfg(feature = "calendars")]
pub use self::zones::Zone;

use crate::Error;

/// The most windows of a calendar.
pub const MAX_WINDOWS: usize = 32;

/// The most freezes of a calendar.
pub const MAX_FREEZES: usize = 64;

/// The most calendars that there may be.
pub const MAX_CALENDARS: usize = 200;

/// When a rollout may reach devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Calendar {
    /// What rollouts name it by.
    pub name: CalendarName,
    /// Everything else about it.
    #[serde(flatten)]
    pub terms: CalendarTerms,
}

/// A calendar without its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CalendarTerms {
    /// Whose time it is told in.
    pub zone: CalendarZone,
    /// When it is open. Without any it is always open, but for its freezes.
    pub windows: Vec<Window>,
    /// When it is closed whatever the windows say. A freeze that begins within an opening cuts it.
    pub freezes: Vec<Freeze>,
}

/// Whose time a calendar is told in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarZone {
    /// The device's own.
    Device {
        /// Stands in where a device tells none, or one that nobody knows.
        fallback: ZoneName,
    },
    /// This zone's.
    Named(ZoneName),
}

impl CalendarZone {
    /// The zone that stands for a device whose own is not known, or for all devices.
    pub fn own(&self) -> &ZoneName {
        match self {
            Self::Device { fallback } => fallback,
            Self::Named(zone) => zone,
        }
    }

    /// Whether each device's own time counts.
    pub fn is_device_local(&self) -> bool {
        matches!(self, Self::Device { .. })
    }
}

impl CalendarTerms {
    /// Checks the bounds. Windows, freezes and names were checked when they were made.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `windows` or `freezes`; with the feature `calendars`, also `zone` for one that nobody
    /// knows.
    pub fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("windows", self.windows.len(), MAX_WINDOWS),
            ("freezes", self.freezes.len(), MAX_FREEZES),
        ];
        for (field, there, limit) in bounds {
            if there > limit {
                return Err(Error::invalid(
                    field,
                    format!("may be at most {limit}, not {there}"),
                ));
            }
        }
        #[cfg(feature = "calendars")]
        Zone::known(self.zone.own())?;
        Ok(())
    }

    /// The same without its freezes.
    #[must_use]
    pub fn without_freezes(&self) -> Self {
        Self {
            freezes: vec![],
            ..self.clone()
        }
    }
}
