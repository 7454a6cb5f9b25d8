//! Calendars: at which times rollouts reach devices.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;
use tidegate_domain::{
    Calendar, CalendarName, CalendarTerms, CalendarZone, Freeze, Role, Window, ZoneName, clock_text,
};
use tidegate_service::{Error, StoredCalendar};

use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, page_of};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// The word for the device's own zone.
const DEVICE: &str = "device";

#[derive(Template)]
#[template(path = "settings_calendars.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    stored: StoredCalendar,
    path: String,
    zone: String,
    windows: Vec<String>,
    freezes: Vec<String>,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let calendars = app.calendars.list(page_of(&query)?).await?;
    Ok(html(&Page {
        rows: calendars.items.into_iter().map(row).collect(),
        next: next_of(calendars.next_page_token),
        tab: Tab::Calendars,
        frame: Frame::new(&visitor, Section::Settings, "Calendars").after(&query),
    }))
}

fn row(stored: StoredCalendar) -> Row {
    let terms = &stored.calendar.terms;
    let zone = match &terms.zone {
        CalendarZone::Device { fallback } => format!("the device’s own time, else {fallback}"),
        CalendarZone::Named(zone) => zone.to_string(),
    };
    Row {
        path: path_of(&stored.calendar.name),
        zone,
        windows: terms.windows.iter().map(window_words).collect(),
        freezes: terms.freezes.iter().map(freeze_words).collect(),
        stored,
    }
}

fn window_words(window: &Window) -> String {
    let days: Vec<&str> = window.days().collect();
    let (start, end) = (clock_text(window.start()), clock_text(window.end()));
    format!("{} {start}–{end}", days.join(", "))
}

fn freeze_words(freeze: &Freeze) -> String {
    let (from, to) = freeze.written();
    let yearly = if freeze.is_yearly() { ", every year" } else { "" };
    format!("{from} to {to}{yearly}")
}

fn path_of(name: &CalendarName) -> String {
    format!("{}/{}", Tab::Calendars.path(), show::segment(&name.to_string()))
}

/// What a calendar's terms are asked with.
fn term_fields(terms: Option<&CalendarTerms>) -> Vec<Field> {
    let (zone, fallback) = match terms.map(|terms| &terms.zone) {
        None => (DEVICE.to_owned(), "UTC".to_owned()),
        Some(CalendarZone::Device { fallback }) => (DEVICE.to_owned(), fallback.to_string()),
        Some(CalendarZone::Named(zone)) => (zone.to_string(), String::new()),
    };
    let windows = terms.map_or_else(
        || "[{\"days\": [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"], \"start\": \"22:00\", \"end\": \"04:00\"}]".to_owned(),
        |terms| lines(&json!(terms.windows)),
    );
    let freezes = terms.map_or_else(|| "[]".to_owned(), |terms| lines(&json!(terms.freezes)));
    vec![
        Field::new("zone", "Zone", FieldKind::Line(64))
            .hint("device: each device’s own time; or such as Europe/Berlin")
            .value(zone)
            .required(),
        Field::new("fallback_zone", "Zone of devices that tell none", FieldKind::Line(64))
            .hint("with device only")
            .value(fallback),
        Field::new("windows", "Windows as JSON", FieldKind::Area(6))
            .hint("when it is open; [] is always")
            .value(windows),
        Field::new("freezes", "Freezes as JSON", FieldKind::Area(4))
            .hint("when it is closed all the same, such as [{\"from\": \"12-20\", \"to\": \"01-03\", \"yearly\": true}]")
            .value(freezes),
    ]
}

/// A list as JSON, an item a line.
fn lines(listed: &serde_json::Value) -> String {
    let items: Vec<String> = listed
        .as_array()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    match items.is_empty() {
        true => "[]".to_owned(),
        false => format!("[\n  {}\n]", items.join(",\n  ")),
    }
}

fn terms(fields: &Fields) -> Result<CalendarTerms, Error> {
    let unread = |field: &'static str| {
        move |fault: serde_json::Error| Error::invalid(field, format!("do not read: {fault}"))
    };
    let text = |field| match fields.text(field) {
        "" => "[]",
        text => text,
    };
    Ok(CalendarTerms {
        zone: zone(fields)?,
        windows: serde_json::from_str(text("windows")).map_err(unread("windows"))?,
        freezes: serde_json::from_str(text("freezes")).map_err(unread("freezes"))?,
    })
}

fn zone(fields: &Fields) -> Result<CalendarZone, Error> {
    match (fields.text("zone"), fields.text("fallback_zone")) {
        (DEVICE, "") => Ok(CalendarZone::Device {
            fallback: ZoneName::utc(),
        }),
        (DEVICE, fallback) => {
            let unknown =
                |_| Error::invalid("fallback_zone", "must be an IANA time zone such as Europe/Berlin");
            Ok(CalendarZone::Device {
                fallback: ZoneName::parse(fallback).map_err(unknown)?,
            })
        }
        (zone, "") => Ok(CalendarZone::Named(ZoneName::parse(zone)?)),
        _ => Err(Error::invalid("fallback_zone", "goes with zone device only")),
    }
}

fn add_sheet() -> Sheet {
    let name = Field::new("name", "Name", FieldKind::Line(64)).hint("letters, digits and . _ -");
    let mut fields = vec![name.required()];
    fields.extend(term_fields(None));
    Sheet {
        title: "Add a calendar".to_owned(),
        says: vec!["Rollouts that name it reach devices while it is open.".to_owned()],
        fields,
        button: "Add",
        is_danger: false,
        to: format!("{}/add", Tab::Calendars.path()),
        back: Tab::Calendars.path(),
    }
}

pub(super) async fn add_page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(add_sheet().page(&visitor))
}

pub(super) async fn add(
    State(app): State<App>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let calendar = || {
        Ok(Calendar {
            name: CalendarName::parse(fields.text("name"))?,
            terms: terms(&fields)?,
        })
    };
    let added = match calendar() {
        Ok(calendar) => app.calendars.create(&visitor.actor, calendar).await,
        Err(error) => Err(error),
    };
    add_sheet().answer(&visitor, &fields, added, |_| {
        done(Tab::Calendars.path(), "calendar_added")
    })
}

fn change_sheet(stored: &StoredCalendar) -> Sheet {
    let name = &stored.calendar.name;
    let revision = Field::new("revision", "", FieldKind::Hidden).value(stored.revision.to_string());
    let mut fields = vec![revision];
    fields.extend(term_fields(Some(&stored.calendar.terms)));
    Sheet {
        title: format!("Change {name}"),
        says: vec!["Rollouts that go by it follow the new times within a second.".to_owned()],
        fields,
        button: "Save",
        is_danger: false,
        to: format!("{}/change", path_of(name)),
        back: Tab::Calendars.path(),
    }
}

pub(super) async fn change_page(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let stored = app.calendars.get(CalendarName::parse(&name)?).await?;
    Ok(change_sheet(&stored).page(&visitor))
}

pub(super) async fn change(
    State(app): State<App>,
    Path(name): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let name = CalendarName::parse(&name)?;
    let stored = app.calendars.get(name.clone()).await?;
    let asked = || {
        let seen = u32::try_from(fields.number("revision")?);
        let seen = seen.map_err(|_| Error::invalid("revision", "is not a calendar's revision"))?;
        Ok((terms(&fields)?, seen))
    };
    let changed = match asked() {
        Ok((terms, seen)) => {
            app.calendars
                .change(&visitor.actor, name, terms, Some(seen))
                .await
        }
        Err(error) => Err(error),
    };
    change_sheet(&stored).answer(&visitor, &fields, changed, |_| {
        done(Tab::Calendars.path(), "calendar_changed")
    })
}

fn delete_sheet(name: &CalendarName) -> Sheet {
    Sheet {
        title: format!("Delete {name}"),
        says: vec!["No rollout that serves may go by it.".to_owned()],
        fields: Vec::new(),
        button: "Delete",
        is_danger: true,
        to: format!("{}/delete", path_of(name)),
        back: Tab::Calendars.path(),
    }
}

pub(super) async fn delete_page(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(delete_sheet(&CalendarName::parse(&name)?).page(&visitor))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let name = CalendarName::parse(&name)?;
    let deleted = app.calendars.delete(&visitor.actor, name.clone()).await;
    delete_sheet(&name).answer(&visitor, &fields, deleted, |_| {
        done(Tab::Calendars.path(), "calendar_deleted")
    })
}
