//! Calendars.

use std::mem::take;

use tidegate_domain::{
    Calendar, CalendarName, CalendarTerms, CalendarZone, Freeze, MAX_FREEZES, MAX_WINDOWS, Opening, Role,
    RolloutCalendars, Window, ZoneName,
};
use tidegate_proto::v1;
use tidegate_service::{Actor, Calendars, Error, PREVIEW_DAYS, StoredCalendar};

use super::list::List;
use super::non_empty;

/// The word for the device's own zone.
const DEVICE: &str = "device";

pub(crate) async fn list(
    calendars: &Calendars,
    actor: &Actor,
    mut request: v1::ListCalendarsRequest,
) -> Result<v1::ListCalendarsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("calendars", size, &token, &request)?;
    let (items, next_page_token) = list.tell(|page| calendars.list(page), told).await?;
    Ok(v1::ListCalendarsResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn get(
    calendars: &Calendars,
    actor: &Actor,
    request: v1::GetCalendarRequest,
) -> Result<v1::Calendar, Error> {
    actor.require(Role::Viewer)?;
    Ok(told(calendars.get(CalendarName::parse(&request.name)?).await?))
}

pub(crate) async fn create(
    calendars: &Calendars,
    actor: &Actor,
    request: v1::CreateCalendarRequest,
) -> Result<v1::Calendar, Error> {
    let calendar = Calendar {
        name: CalendarName::parse(&request.name)?,
        terms: terms(
            &request.zone,
            &request.fallback_zone,
            &request.windows,
            &request.freezes,
        )?,
    };
    Ok(told(calendars.create(actor, calendar).await?))
}

pub(crate) async fn update(
    calendars: &Calendars,
    actor: &Actor,
    request: v1::UpdateCalendarRequest,
) -> Result<v1::Calendar, Error> {
    let seen = request.revision.map(u32::try_from).transpose();
    let seen = seen.map_err(|_| Error::invalid("revision", "is not a calendar's revision"))?;
    let terms = terms(
        &request.zone,
        &request.fallback_zone,
        &request.windows,
        &request.freezes,
    )?;
    let name = CalendarName::parse(&request.name)?;
    Ok(told(calendars.change(actor, name, terms, seen).await?))
}

pub(crate) async fn delete(
    calendars: &Calendars,
    actor: &Actor,
    request: v1::DeleteCalendarRequest,
) -> Result<v1::Calendar, Error> {
    let name = CalendarName::parse(&request.name)?;
    Ok(told(calendars.delete(actor, name).await?))
}

pub(crate) async fn openings(
    calendars: &Calendars,
    actor: &Actor,
    request: v1::ListOpeningsRequest,
) -> Result<v1::ListOpeningsResponse, Error> {
    actor.require(Role::Viewer)?;
    let days = match request.days {
        0 => PREVIEW_DAYS,
        // What is no number of days is refused with those that are too many.
        days => u32::try_from(days).unwrap_or(u32::MAX),
    };
    let zone = non_empty(request.zone)
        .map(|zone| ZoneName::parse(&zone))
        .transpose()?;
    let name = CalendarName::parse(&request.name)?;
    let preview = calendars.preview(name, zone, days).await?;
    Ok(v1::ListOpeningsResponse {
        zone: preview.zone.to_string(),
        openings: preview.openings.into_iter().map(opening).collect(),
    })
}

pub(crate) fn opening(opening: Opening) -> v1::Opening {
    v1::Opening {
        from: Some(opening.from.into()),
        until: Some(opening.until.into()),
    }
}

/// The bounds come first: what is too much is not even read.
fn terms(
    zone: &str,
    fallback: &str,
    windows: &[v1::Window],
    freezes: &[v1::Freeze],
) -> Result<CalendarTerms, Error> {
    let windows = windows
        .iter()
        .take(MAX_WINDOWS + 1)
        .map(|window| Window::parse(&window.days, &window.start, &window.end));
    let freezes = freezes
        .iter()
        .take(MAX_FREEZES + 1)
        .map(|freeze| Freeze::parse(&freeze.from, &freeze.to, freeze.yearly));
    Ok(CalendarTerms {
        zone: zone_of(zone, fallback)?,
        windows: windows.collect::<Result<_, _>>()?,
        freezes: freezes.collect::<Result<_, _>>()?,
    })
}

fn zone_of(zone: &str, fallback: &str) -> Result<CalendarZone, Error> {
    match (zone, fallback) {
        (DEVICE, "") => Ok(CalendarZone::Device {
            fallback: ZoneName::utc(),
        }),
        (DEVICE, fallback) => {
            let fallback = ZoneName::parse(fallback).map_err(|_| {
                Error::invalid("fallback_zone", "must be an IANA time zone such as Europe/Berlin")
            })?;
            Ok(CalendarZone::Device { fallback })
        }
        (zone, "") => Ok(CalendarZone::Named(ZoneName::parse(zone)?)),
        _ => Err(Error::invalid(
            "fallback_zone",
            "goes with zone \"device\" only: one that is named stands for all devices",
        )),
    }
}

fn told(stored: StoredCalendar) -> v1::Calendar {
    let Calendar { name, terms } = stored.calendar;
    let (zone, fallback_zone) = match &terms.zone {
        CalendarZone::Device { fallback } => (DEVICE.to_owned(), fallback.to_string()),
        CalendarZone::Named(zone) => (zone.to_string(), String::new()),
    };
    v1::Calendar {
        name: name.to_string(),
        zone,
        fallback_zone,
        windows: terms.windows.iter().map(window).collect(),
        freezes: terms.freezes.iter().map(freeze).collect(),
        revision: stored.revision.into(),
        created_by: stored.created_by,
        created_at: Some(stored.created_at.into()),
    }
}

fn window(window: &Window) -> v1::Window {
    v1::Window {
        days: window.days().map(str::to_owned).collect(),
        start: tidegate_domain::clock_text(window.start()),
        end: tidegate_domain::clock_text(window.end()),
    }
}

fn freeze(freeze: &Freeze) -> v1::Freeze {
    let (from, to) = freeze.written();
    v1::Freeze {
        from,
        to,
        yearly: freeze.is_yearly(),
    }
}

/// The calendars of a rollout that is made.
pub(super) fn of_rollout(said: Option<v1::RolloutCalendars>) -> Result<RolloutCalendars, Error> {
    let (download, install) = edited(said)?;
    Ok(RolloutCalendars {
        download: download.flatten(),
        install: install.flatten(),
    })
}

/// What is said of a calendar: nothing, that there is none, or its name.
type Said = Option<Option<CalendarName>>;

/// The calendars of a rollout that is changed.
pub(super) fn edited(said: Option<v1::RolloutCalendars>) -> Result<(Said, Said), Error> {
    let Some(said) = said else { return Ok((None, None)) };
    let read = |field, name: Option<String>| {
        let parse = |name: String| CalendarName::parse_as(field, &name);
        name.map(|name| non_empty(name).map(parse).transpose())
            .transpose()
    };
    Ok((
        read("calendars.download", said.download)?,
        read("calendars.install", said.install)?,
    ))
}
