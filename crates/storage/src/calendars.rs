//! Calendars: at which times rollouts reach devices.

use chrono::{DateTime, Utc};
use tidegate_domain::{Calendar, CalendarName, CalendarTerms};

use crate::store::run;
use crate::{Actor, Error, Page, Paged, Store};

/// A calendar as it stands, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCalendar {
    /// The calendar.
    pub calendar: Calendar,
    /// How often it was changed, from 1.
    pub revision: u32,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What making or changing a calendar did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarChange {
    /// The calendar as it stands.
    pub stored: StoredCalendar,
    /// Whether anything was written.
    pub changed: bool,
}

impl Store {
    /// All calendars, by name.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn calendars(&self, page: Page) -> Result<Paged<StoredCalendar>, Error> {
        run!(self, read, calendars::list(&page))
    }

    /// One calendar.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn calendar(&self, name: CalendarName) -> Result<StoredCalendar, Error> {
        run!(self, read, calendars::get(&name))
    }

    /// Adds a calendar. The very same one stays as it is, and nothing is written.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when there is another of its name, [`Error::TooMany`] beyond
    /// [`tidegate_domain::MAX_CALENDARS`].
    pub async fn create_calendar(&self, calendar: Calendar, actor: Actor) -> Result<CalendarChange, Error> {
        run!(self, urgent, calendars::create(&calendar, &actor))
    }

    /// Gives a calendar other terms, if it is at the revision that the caller saw, where they name one. The catalog's epoch
    /// rises.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::CalendarChanged`].
    pub async fn change_calendar(
        &self,
        name: CalendarName,
        terms: CalendarTerms,
        seen: Option<u32>,
        actor: Actor,
    ) -> Result<CalendarChange, Error> {
        run!(self, urgent, calendars::change(&name, &terms, seen, &actor))
    }

    /// Removes a calendar, and returns it. Rollouts that have ended forget it: one that a roll-back returns to then reaches
    /// devices at any time.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::CalendarInUse`] while a rollout names it that serves or that a roll-back may
    /// return to, or a change that waits for an approval.
    pub async fn delete_calendar(&self, name: CalendarName, actor: Actor) -> Result<StoredCalendar, Error> {
        run!(self, urgent, calendars::delete(&name, &actor))
    }
}
