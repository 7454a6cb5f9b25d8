//! `tidegate admin calendar`, and calendars in other commands.

use clap::{Args, Subcommand};
use tidegate_domain::{CalendarName, Freeze, Window, ZoneName};

/// A calendar, or that there is to be none.
pub(in crate::cli) type CalendarOrNone = Box<Option<CalendarName>>;

pub(super) fn calendar_or_none(text: &str) -> Result<CalendarOrNone, String> {
    let name = (!text.is_empty()).then(|| CalendarName::parse(text)).transpose();
    name.map(Box::new).map_err(|fault| fault.to_string())
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AdminCalendar {
    /// List calendars by name.
    List,
    /// Show one calendar.
    Show {
        /// Its name.
        name: CalendarName,
    },
    /// Make a calendar.
    #[command(after_help = "Examples:
  tidegate admin calendar create nights --window \"mon-fri 22:00-04:00\" --window \"sat,sun 00:00-24:00\"
                                                 by each device's own clock
  tidegate admin calendar create office --zone Europe/Berlin --window \"mon-fri 08:00-17:00\" \\
    --freeze 2026-12-20..2027-01-06              at the same moments everywhere, and not over Christmas
  tidegate admin calendar create quiet --freeze 12-20..01-06
                                                 at any time but over New Year, every year")]
    Create {
        /// Its name.
        name: CalendarName,
        #[command(flatten)]
        terms: TermsOfCalendar,
    },
    /// Give a calendar other terms as a whole: what is left out is gone. Rollouts go by them at once.
    Change {
        /// Its name.
        name: CalendarName,
        #[command(flatten)]
        terms: TermsOfCalendar,
        /// Refuse when it is at another revision by now.
        #[arg(long, value_name = "N")]
        revision: Option<u32>,
    },
    /// Delete a calendar that no rollout goes by.
    Delete {
        /// Its name.
        name: CalendarName,
    },
    /// Print when a calendar is open from now on.
    Openings {
        /// Its name.
        name: CalendarName,
        /// The device's time zone; left out for a device that tells none.
        #[arg(long, value_name = "ZONE")]
        zone: Option<ZoneName>,
        /// How many days, at most 400.
        #[arg(long, value_name = "N", default_value_t = tidegate_service::PREVIEW_DAYS)]
        days: u32,
    },
}

/// What a calendar says.
#[derive(Debug, Args)]
pub(in crate::cli) struct TermsOfCalendar {
    /// Whose clock counts: \"device\" for each device's own, or an IANA time zone such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "device")]
    pub(in crate::cli) zone: String,
    /// With the devices' own clocks: the zone of those that tell none.
    #[arg(long, value_name = "ZONE")]
    pub(in crate::cli) fallback_zone: Option<ZoneName>,
    /// When it is open, such as \"mon-fri 22:00-04:00\", \"sat,sun 00:00-24:00\" or \"daily 01:00-05:00\"; may be repeated.
    /// Without any it is always open.
    #[arg(long = "window", value_name = "DAYS START-END", value_parser = window)]
    pub(in crate::cli) windows: Vec<Window>,
    /// When it is closed whatever its windows say: from..to, such as 2026-12-20..2027-01-06 or, every year, 12-20..01-06;
    /// with a time as in 2026-12-20T18:00. May be repeated.
    #[arg(long = "freeze", value_name = "FROM..TO", value_parser = freeze)]
    pub(in crate::cli) freezes: Vec<Freeze>,
}

/// The days of a week, in their order.
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn window(text: &str) -> Result<Window, String> {
    let form = || "must be days and times such as \"mon-fri 22:00-04:00\"".to_owned();
    let (days, times) = text.trim().split_once(' ').ok_or_else(form)?;
    let (start, end) = times.trim().split_once('-').ok_or_else(form)?;
    let mut named = Vec::new();
    for part in days.split(',') {
        named.extend(days_of(part).ok_or_else(form)?);
    }
    Window::parse(&named, start, end).map_err(|fault| fault.to_string())
}

/// A day, days from one to another, or all. A span may go on over the end of the week.
fn days_of(text: &str) -> Option<Vec<&'static str>> {
    let place = |name: &str| WEEK.iter().position(|day| *day == name);
    let (first, last) = match (text, text.split_once('-')) {
        ("daily", _) => (0, 6),
        (_, Some((first, last))) => (place(first)?, place(last)?),
        (day, None) => (place(day)?, place(day)?),
    };
    let count = (last + 7 - first) % 7 + 1;
    Some((0..count).map(|at| WEEK[(first + at) % 7]).collect())
}

fn freeze(text: &str) -> Result<Freeze, String> {
    let (from, to) = text
        .split_once("..")
        .ok_or_else(|| "must be two times such as 2026-12-20..2027-01-06".to_owned())?;
    // A year has four digits, a month two.
    let is_yearly = from.find('-') == Some(2);
    Freeze::parse(from, to, is_yearly).map_err(|fault| fault.to_string())
}
