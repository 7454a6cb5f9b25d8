//! `tidegate admin calendar`: at which times rollouts reach devices.

use std::sync::Arc;

use tidegate_domain::{Calendar, CalendarTerms, CalendarZone, Opening, ZoneName, clock_text};
use tidegate_service::{Actor, Calendars, Error as Refusal, Snapshots, StoredCalendar};

use super::args::{AdminCalendar, TermsOfCalendar};
use super::people::{lines, moment};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

/// Makes, changes and shows calendars.
pub(super) async fn calendar(config: &Config, init: bool, what: AdminCalendar) -> Result<String, Error> {
    let store = Stores::open_made(config, init).await?.store;
    let clock = wiring::clock();
    let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
    let calendars = Calendars::new(store, snapshots, clock);
    let console = Actor::console();
    match what {
        AdminCalendar::List => lines(|page| calendars.list(page), told).await,
        AdminCalendar::Show { name } => Ok(shown(&calendars.get(name).await?)),
        AdminCalendar::Create { name, terms } => {
            let terms = terms_of(terms)?;
            let made = calendars.create(&console, Calendar { name, terms }).await?;
            Ok(shown(&made))
        }
        AdminCalendar::Change {
            name,
            terms,
            revision,
        } => {
            let changed = calendars.change(&console, name, terms_of(terms)?, revision);
            Ok(shown(&changed.await?))
        }
        AdminCalendar::Delete { name } => {
            let deleted = calendars.delete(&console, name).await?;
            Ok(format!("deleted {}", told(&deleted)))
        }
        AdminCalendar::Openings { name, zone, days } => {
            let preview = calendars.preview(name, zone, days).await?;
            let zone = &preview.zone;
            if preview.openings.is_empty() {
                return Ok(format!("not open within {days} days, by the clock of {zone}"));
            }
            let span = |opening: &Opening| format!("{}  {}", moment(opening.from), moment(opening.until));
            let spans: Vec<String> = preview.openings.iter().map(span).collect();
            Ok(format!("by the clock of {zone}, in UTC:\n{}", spans.join("\n")))
        }
    }
}

fn terms_of(terms: TermsOfCalendar) -> Result<CalendarTerms, Refusal> {
    let zone = match (terms.zone.as_str(), terms.fallback_zone) {
        ("device", fallback) => CalendarZone::Device {
            fallback: fallback.unwrap_or_else(ZoneName::utc),
        },
        (zone, None) => CalendarZone::Named(ZoneName::parse(zone)?),
        _ => {
            let fault = "goes with the devices' own clocks only: a zone that is named stands for all";
            return Err(Refusal::invalid("fallback_zone", fault));
        }
    };
    Ok(CalendarTerms {
        zone,
        windows: terms.windows,
        freezes: terms.freezes,
    })
}

/// A calendar as a line.
fn told(stored: &StoredCalendar) -> String {
    let Calendar { name, terms } = &stored.calendar;
    let zone = match &terms.zone {
        CalendarZone::Device { fallback } => format!("each device's own time, else {fallback}"),
        CalendarZone::Named(zone) => zone.to_string(),
    };
    format!(
        "{name}: {zone}, {} windows, {} freezes, revision {}, made {} by {}",
        terms.windows.len(),
        terms.freezes.len(),
        stored.revision,
        moment(stored.created_at),
        stored.created_by,
    )
}

/// A calendar as a line, and what it says below it.
fn shown(stored: &StoredCalendar) -> String {
    let terms = &stored.calendar.terms;
    let mut lines = vec![told(stored)];
    if terms.windows.is_empty() {
        lines.push("  always open".to_owned());
    }
    for window in &terms.windows {
        let days: Vec<&str> = window.days().collect();
        let (start, end) = (clock_text(window.start()), clock_text(window.end()));
        lines.push(format!("  window: {} {start}-{end}", days.join(",")));
    }
    for freeze in &terms.freezes {
        let (from, to) = freeze.written();
        let yearly = if freeze.is_yearly() { ", every year" } else { "" };
        lines.push(format!("  freeze: {from}..{to}{yearly}"));
    }
    lines.join("\n")
}
