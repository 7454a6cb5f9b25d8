//! Calendars worked out ahead, for polls.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::opening::{Opening, Openings, next, next_common};
use super::{Calendar, CalendarName, CalendarTerms, CalendarZone};
use crate::RolloutCalendars;

/// How far ahead devices are told when they may install.
pub const OPENINGS_AHEAD: TimeDelta = TimeDelta::days(14);

/// How many openings a device is told at most.
pub const MAX_TOLD_OPENINGS: usize = 8;

/// How long before its making what is worked out begins: so far a clock may be set back.
#[cfg(feature = "calendars")]
const BEFORE: TimeDelta = TimeDelta::days(1);

/// How many days are worked out, from [`BEFORE`] on. What is a day old still reaches [`OPENINGS_AHEAD`].
const DAYS: u32 = 17;

/// How many days are looked at for those who want to know when a calendar opens at last.
const FAR_AHEAD: u32 = 400;

/// How far on it still is as good as new.
#[cfg(feature = "calendars")]
const FRESH_FOR: TimeDelta = TimeDelta::days(2);

/// The calendars that rollouts name, with their openings in the zones of all devices.
///
/// A zone that a device may name is one of some hundred, and most of them share their openings with others, so all are
/// worked out when the catalog is made: a poll looks its zone up and compares moments, and no poll is the unlucky first one
/// of its zone. What is asked about a moment outside of the days that were worked out is worked out for itself, which
/// is slow and right.
#[derive(Clone, Debug, Default)]
pub struct CompiledCalendars {
    /// The time for which they were worked out.
    range: Option<Opening>,
    zones: Arc<Zones>,
    calendars: HashMap<CalendarName, Arc<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    terms: CalendarTerms,
    /// Without the freezes.
    bare: PerZone,
    frozen: PerZone,
}

/// The zones that devices may name, if a calendar is told in their time.
#[derive(Debug, Default)]
struct Zones {
    #[cfg(feature = "calendars")]
    names: Vec<Box<str>>,
    /// Their places in [`PerZone::Each`].
    places: HashMap<Box<str>, usize>,
}

/// Openings by zone.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "calendars"),
    expect(dead_code, reason = "nothing is worked out without the zones")
)]
enum PerZone {
    /// Not worked out.
    Unknown,
    /// The same for all devices.
    One(Arc<Openings>),
    /// By the device's zone, and for those that tell none that is known.
    Each(Box<[Arc<Openings>]>, Arc<Openings>),
}

impl PerZone {
    fn of(&self, zone: Option<usize>) -> Option<&[Opening]> {
        match self {
            Self::Unknown => None,
            Self::One(openings) => Some(openings.as_slice()),
            Self::Each(zones, own) => {
                let openings = zone.and_then(|zone| zones.get(zone)).unwrap_or(own);
                Some(openings.as_slice())
            }
        }
    }
}

/// Which calendars are asked, for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CalendarQuestion<'a> {
    /// One or two: both must be open.
    pub(crate) names: [Option<&'a CalendarName>; 2],
    /// Whether freezes are passed over.
    pub(crate) ignore_freeze: bool,
    /// The zone that the device tells.
    pub(crate) zone: Option<&'a str>,
}

impl<'a> CalendarQuestion<'a> {
    /// What a device is asked before it is offered something: one that knows openings for installing the calendar of the
    /// download, one that doesn't both. `None` where nothing is to be asked.
    pub(crate) fn before_an_offer(
        calendars: &'a RolloutCalendars,
        ignore_freeze: bool,
        protocol: u32,
        zone: Option<&'a str>,
    ) -> Option<Self> {
        let download = calendars.download.as_ref();
        let install = calendars.install.as_ref();
        let install = install.filter(|name| protocol < crate::TERMS_SINCE_PROTOCOL && download != Some(name));
        if download.is_none() && install.is_none() {
            return None;
        }
        Some(Self {
            names: [download, install],
            ignore_freeze,
            zone,
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a CalendarName> {
        self.names.into_iter().flatten()
    }
}

impl CompiledCalendars {
    /// These calendars, none of them worked out.
    pub fn new(calendars: impl IntoIterator<Item = Calendar>) -> Self {
        let not_worked_out = |calendar: Calendar| {
            let compiled = Compiled {
                terms: calendar.terms,
                bare: PerZone::Unknown,
                frozen: PerZone::Unknown,
            };
            (calendar.name, Arc::new(compiled))
        };
        Self {
            calendars: calendars.into_iter().map(not_worked_out).collect(),
            ..Self::default()
        }
    }

    /// Only those of these names.
    #[must_use]
    pub fn only(mut self, is_used: impl Fn(&CalendarName) -> bool) -> Self {
        self.calendars.retain(|name, _| is_used(name));
        self
    }

    /// What a calendar says.
    pub fn terms(&self, name: &CalendarName) -> Option<&CalendarTerms> {
        self.calendars.get(name).map(|compiled| &compiled.terms)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calendars.is_empty()
    }

    /// The opening that holds now, or else the next one; `None` where none is near.
    pub(crate) fn next(&self, question: &CalendarQuestion<'_>, now: DateTime<Utc>) -> Option<Opening> {
        let mut openings = question.names().map(|name| self.openings_of(name, question, now));
        match (openings.next(), openings.next()) {
            (Some(one), None) => next(&one, now),
            (Some(one), Some(other)) => next_common(&one, &other, now),
            (None, _) => None,
        }
    }

    /// The same, looked for as far ahead as anybody may look.
    pub(super) fn later(&self, question: &CalendarQuestion<'_>, now: DateTime<Utc>) -> Option<Opening> {
        let openings: Vec<Vec<Opening>> = question
            .names()
            .filter_map(|name| self.terms(name))
            .map(|terms| worked_out(terms, question, now, FAR_AHEAD))
            .collect();
        match &openings[..] {
            [one] => next(one, now),
            [one, other] => next_common(one, other, now),
            _ => None,
        }
    }

    /// When a device may install, as far as it is told: the next [`MAX_TOLD_OPENINGS`] within [`OPENINGS_AHEAD`]. `None`
    /// where it may at any time.
    pub fn to_install(
        &self,
        calendars: &RolloutCalendars,
        ignore_freeze: bool,
        zone: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<Vec<Opening>> {
        let question = CalendarQuestion {
            names: [calendars.install.as_ref(), None],
            ignore_freeze,
            zone,
        };
        let horizon = now + OPENINGS_AHEAD;
        let told = |opening: &Opening| Opening {
            until: opening.until.min(horizon),
            ..*opening
        };
        let openings = self.openings_of(calendars.install.as_ref()?, &question, now);
        let ahead = openings
            .iter()
            .filter(|opening| opening.until > now && opening.from < horizon);
        Some(ahead.take(MAX_TOLD_OPENINGS).map(told).collect())
    }

    /// A calendar's openings around a moment. One that is not there has none: what is to wait for a calendar doesn't go
    /// on without.
    fn openings_of(
        &self,
        name: &CalendarName,
        question: &CalendarQuestion<'_>,
        now: DateTime<Utc>,
    ) -> Cow<'_, [Opening]> {
        let Some(compiled) = self.calendars.get(name) else {
            return Cow::Borrowed(&[]);
        };
        let per_zone = match question.ignore_freeze {
            true => &compiled.bare,
            false => &compiled.frozen,
        };
        let zone = question
            .zone
            .and_then(|zone| self.zones.places.get(zone).copied());
        let is_known = |range: &Opening| range.from <= now && now + OPENINGS_AHEAD <= range.until;
        match per_zone.of(zone) {
            Some(openings) if self.range.as_ref().is_some_and(is_known) => Cow::Borrowed(openings),
            _ => Cow::Owned(worked_out(&compiled.terms, question, now, DAYS)),
        }
    }

    /// Whether it is time to work them out anew.
    #[cfg(feature = "calendars")]
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        !self.calendars.is_empty() && !self.range.is_some_and(|range| is_fresh(range, now))
    }

    /// The same, worked out for the days around this moment. What the earlier ones have worked out already is taken over
    /// while it is fresh.
    ///
    /// For calendars in the device's own time that is some 600 zones by 17 days, a few milliseconds each.
    #[cfg(feature = "calendars")]
    #[must_use]
    pub fn worked_out(&self, now: DateTime<Utc>, earlier: &Self) -> Self {
        let kept = earlier.range.filter(|range| is_fresh(*range, now));
        let range = kept.unwrap_or_else(|| Opening {
            from: now - BEFORE,
            until: now - BEFORE + TimeDelta::days(DAYS.into()),
        });
        let zones = match kept {
            Some(_) if !earlier.zones.names.is_empty() => Arc::clone(&earlier.zones),
            _ if self.needs_zones() => Arc::new(Zones::all()),
            _ => Arc::default(),
        };
        let rules = zones.rules();
        let compile = |(name, calendar): (&CalendarName, &Arc<Compiled>)| {
            let before = earlier.calendars.get(name).filter(|before| {
                kept.is_some() && before.terms == calendar.terms && !matches!(before.frozen, PerZone::Unknown)
            });
            let compiled = match before {
                Some(before) => Arc::clone(before),
                None => Arc::new(compile(&calendar.terms, &rules, range.from)),
            };
            (name.clone(), compiled)
        };
        Self {
            calendars: self.calendars.iter().map(compile).collect(),
            range: Some(range),
            zones: Arc::clone(&zones),
        }
    }

    #[cfg(feature = "calendars")]
    fn needs_zones(&self) -> bool {
        let mut terms = self.calendars.values().map(|compiled| &compiled.terms);
        terms.any(|terms| terms.zone.is_device_local())
    }

    /// Whether a device's own time is known by the zone that it tells.
    pub(crate) fn knows_zone(&self, zone: &str) -> bool {
        #[cfg(feature = "calendars")]
        if self.zones.names.is_empty() {
            return super::Zone::named(zone).is_some();
        }
        self.zones.places.contains_key(zone)
    }
}

/// The zone in which a calendar is told to this device.
pub(crate) fn zone_for<'a>(terms: &'a CalendarTerms, said: Option<&'a str>, is_known: bool) -> &'a str {
    match (&terms.zone, said) {
        (CalendarZone::Device { .. }, Some(zone)) if is_known => zone,
        (zone, _) => zone.own().as_str(),
    }
}

#[cfg(feature = "calendars")]
fn is_fresh(range: Opening, now: DateTime<Utc>) -> bool {
    range.from <= now && now < range.from + FRESH_FOR
}

#[cfg(feature = "calendars")]
impl Zones {
    fn all() -> Self {
        let names: Vec<Box<str>> = super::Zone::names().into_iter().map(Into::into).collect();
        let places = names.iter().enumerate();
        Self {
            places: places.map(|(place, name)| (name.clone(), place)).collect(),
            names,
        }
    }

    /// The rules of each, read when they are needed first.
    fn rules(
        &self,
    ) -> std::cell::LazyCell<Vec<Option<super::Zone>>, impl FnOnce() -> Vec<Option<super::Zone>>> {
        std::cell::LazyCell::new(|| self.names.iter().map(|name| super::Zone::named(name)).collect())
    }
}

/// Works a calendar out in all zones that it may be asked for.
#[cfg(feature = "calendars")]
fn compile(
    terms: &CalendarTerms,
    zones: &std::cell::LazyCell<Vec<Option<super::Zone>>, impl FnOnce() -> Vec<Option<super::Zone>>>,
    from: DateTime<Utc>,
) -> Compiled {
    use std::collections::HashSet;

    let mut known: HashSet<Arc<Openings>> = HashSet::new();
    let mut share = |openings: Openings| match known.get(&openings) {
        Some(there) => Arc::clone(there),
        None => {
            let new = Arc::new(openings);
            known.insert(Arc::clone(&new));
            new
        }
    };
    let mut both = |zone: Option<&super::Zone>| {
        let (bare, frozen) = zone.map_or_else(Default::default, |zone| {
            super::working_out::bare_and_frozen(terms, zone, from, DAYS)
        });
        (share(bare), share(frozen))
    };
    let own = super::Zone::find(terms.zone.own().as_str());
    let (own_bare, own_frozen) = both(own.as_ref());
    let (bare, frozen) = match terms.zone.is_device_local() {
        false => (PerZone::One(own_bare), PerZone::One(own_frozen)),
        true => {
            let each = zones.iter().map(|zone| both(zone.as_ref()));
            let (bare, frozen): (Vec<_>, Vec<_>) = each.unzip();
            (
                PerZone::Each(bare.into(), own_bare),
                PerZone::Each(frozen.into(), own_frozen),
            )
        }
    };
    Compiled {
        terms: terms.clone(),
        bare,
        frozen,
    }
}

/// A calendar's openings around one moment, for one device.
#[cfg(feature = "calendars")]
fn worked_out(
    terms: &CalendarTerms,
    question: &CalendarQuestion<'_>,
    now: DateTime<Utc>,
    days: u32,
) -> Vec<Opening> {
    let of_device = question.zone.filter(|_| terms.zone.is_device_local());
    let zone = of_device
        .and_then(super::Zone::named)
        .or_else(|| super::Zone::find(terms.zone.own().as_str()));
    let Some(zone) = zone else { return vec![] };
    let (bare, frozen) = super::working_out::bare_and_frozen(terms, &zone, now - BEFORE, days);
    let openings = if question.ignore_freeze { bare } else { frozen };
    openings.as_slice().to_vec()
}

/// Without the zones nothing can be worked out.
#[cfg(not(feature = "calendars"))]
fn worked_out(_: &CalendarTerms, _: &CalendarQuestion<'_>, _: DateTime<Utc>, _: u32) -> Vec<Opening> {
    vec![]
}
