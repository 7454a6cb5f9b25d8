//! Calendars: at which times rollouts reach devices.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Calendar, CalendarName, CalendarTerms, CalendarZone, MAX_PREVIEW_DAYS, Opening, Role, Zone, ZoneName,
    openings,
};
use tidegate_storage::{Page, Paged, Store, StoredCalendar};

use crate::{Actor, Clock, Error, Snapshots};

/// How many days a preview looks ahead where nobody says otherwise.
pub const PREVIEW_DAYS: u32 = 14;

/// The most openings that a preview tells.
const MAX_PREVIEWED: usize = 1_000;

/// Makes and changes calendars.
pub struct Calendars {
    store: Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

/// When a calendar is open in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The zone that it was asked for.
    pub zone: ZoneName,
    /// From when on it was looked at.
    pub from: DateTime<Utc>,
    /// How many days.
    pub days: u32,
    /// The openings, the earliest first; at most a thousand.
    pub openings: Vec<Opening>,
}

impl Calendars {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
        }
    }

    /// All calendars, by name.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, page: Page) -> Result<Paged<StoredCalendar>, Error> {
        Ok(self.store.calendars(page).await?)
    }

    /// One calendar.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, name: CalendarName) -> Result<StoredCalendar, Error> {
        Ok(self.store.calendar(name).await?)
    }

    /// Adds a calendar. The very same one stays alone.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`]; [`crate::Kind::Exists`] when there is another of its name;
    /// [`crate::Kind::Conflict`] when there are too many; [`crate::Kind::Unavailable`].
    pub async fn create(&self, actor: &Actor, calendar: Calendar) -> Result<StoredCalendar, Error> {
        actor.require(Role::Operator)?;
        let calendar = Calendar {
            terms: checked(calendar.terms)?,
            ..calendar
        };
        let by = actor.on_record(self.clock.now());
        let made = self.store.create_calendar(calendar, by).await?;
        self.snapshots.follow_own_change().await;
        tell("calendar.create", actor, &made.stored);
        Ok(made.stored)
    }

    /// Gives a calendar other terms: polls go by them within a second on every server. Where the caller names the revision
    /// that they saw, it must be that still.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`], [`crate::Kind::NotFound`], [`crate::Kind::Conflict`],
    /// [`crate::Kind::Unavailable`].
    pub async fn change(
        &self,
        actor: &Actor,
        name: CalendarName,
        terms: CalendarTerms,
        seen: Option<u32>,
    ) -> Result<StoredCalendar, Error> {
        actor.require(Role::Operator)?;
        let by = actor.on_record(self.clock.now());
        let terms = checked(terms)?;
        let changed = self.store.change_calendar(name, terms, seen, by).await?;
        self.snapshots.follow_own_change().await;
        tell("calendar.change", actor, &changed.stored);
        Ok(changed.stored)
    }

    /// Removes a calendar that no rollout goes by, and returns it as it was.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`]; [`crate::Kind::Conflict`] while
    /// a rollout that serves uses it.
    pub async fn delete(&self, actor: &Actor, name: CalendarName) -> Result<StoredCalendar, Error> {
        actor.require(Role::Operator)?;
        let by = actor.on_record(self.clock.now());
        let deleted = self.store.delete_calendar(name, by).await?;
        self.snapshots.follow_own_change().await;
        tell("calendar.delete", actor, &deleted);
        Ok(deleted)
    }

    /// When a calendar is open from now on, as a device in this zone has it; `None`: one that tells no zone. A calendar that
    /// is told in a zone of its own is open at the same moments everywhere.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`]; [`crate::Kind::Invalid`] for a zone that nobody knows, and
    /// for more days than [`MAX_PREVIEW_DAYS`] or none.
    pub async fn preview(
        &self,
        name: CalendarName,
        zone: Option<ZoneName>,
        days: u32,
    ) -> Result<Preview, Error> {
        if !(1..=MAX_PREVIEW_DAYS).contains(&days) {
            return Err(Error::invalid(
                "days",
                format!("must be from 1 to {MAX_PREVIEW_DAYS}"),
            ));
        }
        let terms = self.store.calendar(name).await?.calendar.terms;
        let asked = zone.map(|zone| Zone::canonical(&zone)).transpose()?;
        let zone = asked
            .filter(|_| terms.zone.is_device_local())
            .unwrap_or_else(|| terms.zone.own().clone());
        let (from, rules) = (self.clock.now(), Zone::known(&zone)?);
        let found = openings(&terms, &rules, from, days);
        let told = found.as_slice().iter().take(MAX_PREVIEWED);
        Ok(Preview {
            openings: told.copied().collect(),
            zone,
            from,
            days,
        })
    }
}

/// Terms within their bounds, with the zone as IANA writes it.
fn checked(terms: CalendarTerms) -> Result<CalendarTerms, Error> {
    terms.check()?;
    let zone = match terms.zone {
        CalendarZone::Device { fallback } => CalendarZone::Device {
            fallback: Zone::canonical(&fallback)?,
        },
        CalendarZone::Named(zone) => CalendarZone::Named(Zone::canonical(&zone)?),
    };
    Ok(CalendarTerms { zone, ..terms })
}

fn tell(action: &'static str, actor: &Actor, stored: &StoredCalendar) {
    let CalendarTerms {
        zone,
        windows,
        freezes,
    } = &stored.calendar.terms;
    tracing::info!(
        event = "ota.calendar",
        action,
        actor = actor.subject,
        calendar = %stored.calendar.name,
        revision = stored.revision,
        device_local = zone.is_device_local(),
        zone = %zone.own(),
        windows = windows.len(),
        freezes = freezes.len(),
    );
}
