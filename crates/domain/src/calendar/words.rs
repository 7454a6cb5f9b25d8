//! What a calendar's answer is in words, for those who want to know why.

use chrono::{DateTime, Utc};

use super::compiled::{CalendarQuestion, CompiledCalendars, zone_for};
use super::{CalendarTerms, Opening};

impl CompiledCalendars {
    /// What was looked at, by its names.
    pub(crate) fn looked_at(&self, question: &CalendarQuestion<'_>) -> Vec<(&'static str, String)> {
        let mut told = vec![];
        for name in question.names() {
            told.push(("calendar", name.to_string()));
        }
        let said = question.zone.unwrap_or("not stated");
        let own: Option<&CalendarTerms> = question
            .names()
            .filter_map(|name| self.terms(name))
            .find(|terms| terms.zone.is_device_local());
        if let Some(terms) = own {
            let (zone, is_known) = self.zone(question, terms);
            told.push(match (is_known, question.zone) {
                (true, _) => ("zone", zone.to_owned()),
                (false, None) => ("zone", format!("{said}: {zone}, the calendar's own, stands in")),
                (false, Some(_)) => (
                    "zone",
                    format!("{said}, which nobody knows: {zone}, the calendar's own, stands in"),
                ),
            });
        } else if let Some(terms) = question.names().find_map(|name| self.terms(name)) {
            told.push(("zone", terms.zone.own().to_string()));
        }
        if question.ignore_freeze {
            told.push(("ignore_freeze", "true".to_owned()));
        }
        told
    }

    /// The answer: that it is open and until when, or that it is closed and when it opens.
    pub(crate) fn answer(
        &self,
        question: &CalendarQuestion<'_>,
        found: Option<Opening>,
        now: DateTime<Utc>,
    ) -> String {
        let what = match question.names().count() {
            1 => "the window",
            _ => {
                "an agent from before protocol 2 needs the windows for downloading and installing at once: their common one"
            }
        };
        if let Some(missing) = question.names().find(|name| self.terms(name).is_none()) {
            return format!("calendar {missing} is not there, so it never opens");
        }
        match found.or_else(|| self.later(question, now)) {
            Some(opening) if opening.from <= now => {
                format!("{what} is open until {}", self.told(question, opening.until))
            }
            Some(opening) => {
                let frozen = if self.is_frozen(question, now) {
                    "a freeze holds; "
                } else {
                    ""
                };
                format!("{frozen}{what} opens at {}", self.told(question, opening.from))
            }
            None => format!("{what} does not open as far as can be seen"),
        }
    }

    /// A moment by the clock on the device's wall, and in UTC.
    fn told(&self, question: &CalendarQuestion<'_>, moment: DateTime<Utc>) -> String {
        let utc = moment.format("%FT%TZ");
        let terms = question.names().find_map(|name| self.terms(name));
        match terms.map(|terms| self.zone(question, terms).0) {
            Some(zone) => format!("{} in {zone} ({utc})", wall_clock(zone, moment)),
            None => utc.to_string(),
        }
    }

    /// The zone in which a calendar is told to the device, and whether that is what the device said or all that counts.
    fn zone<'a>(&self, question: &CalendarQuestion<'a>, terms: &'a CalendarTerms) -> (&'a str, bool) {
        let is_known = question.zone.is_some_and(|zone| self.knows_zone(zone));
        (
            zone_for(terms, question.zone, is_known),
            is_known || !terms.zone.is_device_local(),
        )
    }

    /// Whether it would be open now but for a freeze.
    fn is_frozen(&self, question: &CalendarQuestion<'_>, now: DateTime<Utc>) -> bool {
        let bare = CalendarQuestion {
            ignore_freeze: true,
            ..*question
        };
        self.next(&bare, now).is_some_and(|opening| opening.holds(now))
    }
}

#[cfg(feature = "calendars")]
fn wall_clock(zone: &str, moment: DateTime<Utc>) -> String {
    match super::Zone::find(zone) {
        Some(zone) => super::working_out::wall_clock(&zone, moment),
        None => moment.format("%H:%M").to_string(),
    }
}

/// Without the zones there is no other clock than UTC's.
#[cfg(not(feature = "calendars"))]
fn wall_clock(_: &str, moment: DateTime<Utc>) -> String {
    moment.format("%H:%M").to_string()
}
