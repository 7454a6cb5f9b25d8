//! Calendars' statements.
//!
//! Every change raises the catalog's epoch before it looks, as changes of rollouts do before they ask for the calendars
//! that they name: so the two come one after the other.

use diesel::prelude::*;
use serde_json::Value;
use tidegate_domain::{Calendar, CalendarName, CalendarTerms, CompiledCalendars, MAX_CALENDARS, RolloutSpec};

use super::epochs::Epoch;
use super::rollouts_in_use::{self, InUse};
use super::{Conn, Db, audit, epochs};
use crate::error::Fault;
use crate::rows::{calendar_name, clean, from_json, small, to_json};
use crate::schema::{calendars, rollouts};
use crate::time::{micros, moment};
use crate::{Actor, CalendarChange, Error, Page, Paged, StoredCalendar};

#[derive(Queryable, Selectable)]
#[diesel(table_name = calendars)]
struct CalendarRow {
    name: String,
    terms_json: String,
    revision: i64,
    created_by: String,
    created_at: i64,
}

impl CalendarRow {
    fn into_stored(self) -> Result<StoredCalendar, Error> {
        Ok(StoredCalendar {
            calendar: Calendar {
                name: calendar_name(&self.name)?,
                terms: from_json("calendars.terms_json", &self.terms_json)?,
            },
            revision: small("calendars.revision", self.revision)?,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
        })
    }
}

/// All of them, for the catalog; none is worked out.
pub(crate) fn all(conn: &mut Conn) -> Result<CompiledCalendars, Fault> {
    let rows: Vec<CalendarRow> = calendars::table.select(CalendarRow::as_select()).load(conn)?;
    let found: Result<Vec<StoredCalendar>, Error> = rows.into_iter().map(CalendarRow::into_stored).collect();
    Ok(CompiledCalendars::new(
        found?.into_iter().map(|stored| stored.calendar),
    ))
}

fn find(conn: &mut Conn, name: &CalendarName) -> Result<Option<StoredCalendar>, Fault> {
    let row: Option<CalendarRow> = calendars::table
        .find(name.as_str())
        .select(CalendarRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.map(CalendarRow::into_stored).transpose()?)
}

pub(crate) fn get(conn: &mut Conn, name: &CalendarName) -> Result<StoredCalendar, Fault> {
    Ok(find(conn, name)?.ok_or_else(|| unknown(name))?)
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<StoredCalendar>, Fault> {
    let mut query = calendars::table
        .select(CalendarRow::as_select())
        .order(calendars::name)
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<String>()? {
        query = query.filter(calendars::name.gt(after));
    }
    let paged = page.paged(query.load::<CalendarRow>(conn)?, |row| row.name.clone());
    Ok(paged.try_map(CalendarRow::into_stored)?)
}

pub(crate) fn create(conn: &mut Conn, calendar: &Calendar, actor: &Actor) -> Result<CalendarChange, Fault> {
    // From here on nobody else adds one: so the bound holds.
    epochs::raise(conn, Epoch::Catalog)?;
    if let Some(stored) = find(conn, &calendar.name)? {
        if stored.calendar == *calendar {
            return Ok(CalendarChange {
                stored,
                changed: false,
            });
        }
        let what = format!("calendar {}", calendar.name);
        return Err(Error::Duplicate { what }.into());
    }
    let there: i64 = calendars::table.count().get_result(conn)?;
    let limit = MAX_CALENDARS as i64;
    if there >= limit {
        return Err(Error::TooMany {
            what: "calendars",
            limit,
        }
        .into());
    }
    diesel::insert_into(calendars::table)
        .values((
            calendars::name.eq(calendar.name.as_str()),
            calendars::terms_json.eq(to_json(&calendar.terms)?),
            calendars::revision.eq(1),
            calendars::created_by.eq(clean(&actor.subject)),
            calendars::created_at.eq(micros(actor.now)),
        ))
        .execute(conn)?;
    let stored = get(conn, &calendar.name)?;
    note(
        conn,
        actor,
        "calendar.create",
        &calendar.name,
        (None, Some(&stored)),
    )?;
    Ok(CalendarChange {
        stored,
        changed: true,
    })
}

pub(crate) fn change(
    conn: &mut Conn,
    name: &CalendarName,
    terms: &CalendarTerms,
    seen: Option<u32>,
    actor: &Actor,
) -> Result<CalendarChange, Fault> {
    epochs::raise(conn, Epoch::Catalog)?;
    let before = get(conn, name)?;
    // What is as it should be already may be asked for again.
    if before.calendar.terms == *terms {
        return Ok(CalendarChange {
            stored: before,
            changed: false,
        });
    }
    if let Some(seen) = seen.filter(|seen| *seen != before.revision) {
        return Err(Error::CalendarChanged {
            calendar: name.clone(),
            seen,
            revision: before.revision,
        }
        .into());
    }
    diesel::update(calendars::table.find(name.as_str()))
        .set((
            calendars::terms_json.eq(to_json(terms)?),
            calendars::revision.eq(calendars::revision + 1),
        ))
        .execute(conn)?;
    let stored = get(conn, name)?;
    note(
        conn,
        actor,
        "calendar.change",
        name,
        (Some(&before), Some(&stored)),
    )?;
    Ok(CalendarChange {
        stored,
        changed: true,
    })
}

pub(crate) fn delete(conn: &mut Conn, name: &CalendarName, actor: &Actor) -> Result<StoredCalendar, Fault> {
    epochs::raise(conn, Epoch::Catalog)?;
    let stored = get(conn, name)?;
    let in_use = rollouts_in_use::all(conn)?;
    let using = in_use
        .iter()
        .filter(|used| used.rollout.spec.calendar_names().any(|used| used == name));
    let by: Vec<String> = using.map(InUse::told).collect();
    if !by.is_empty() {
        return Err(Error::CalendarInUse {
            calendar: name.clone(),
            by,
        }
        .into());
    }
    forget(conn, name)?;
    diesel::delete(calendars::table.find(name.as_str())).execute(conn)?;
    note(conn, actor, "calendar.delete", name, (Some(&stored), None))?;
    Ok(stored)
}

/// Takes the name out of rollouts that have ended for good, so that a calendar of that name that is made later is not theirs.
fn forget(conn: &mut Conn, name: &CalendarName) -> Result<(), Fault> {
    let none = None::<String>;
    let ended = || rollouts::table.filter(rollouts::serving.eq(false));
    diesel::update(ended().filter(rollouts::download_calendar.eq(name.as_str())))
        .set(rollouts::download_calendar.eq(&none))
        .execute(conn)?;
    diesel::update(ended().filter(rollouts::install_calendar.eq(name.as_str())))
        .set(rollouts::install_calendar.eq(&none))
        .execute(conn)?;
    Ok(())
}

/// Refuses rollouts that are to serve by a calendar that is not there, and changes that wait and name one.
pub(super) fn require<'a>(
    conn: &mut Conn,
    specs: impl Iterator<Item = &'a RolloutSpec>,
) -> Result<(), Fault> {
    for spec in specs.filter(|spec| spec.state.serves()) {
        for name in spec.calendar_names() {
            get(conn, name)?;
        }
    }
    Ok(())
}

fn note(
    conn: &mut Conn,
    actor: &Actor,
    action: &'static str,
    name: &CalendarName,
    (before, after): (Option<&StoredCalendar>, Option<&StoredCalendar>),
) -> Result<(), Fault> {
    let mut note = actor.note(action, format!("calendar/{name}"));
    note.before = before.map(facts).transpose()?;
    note.after = after.map(facts).transpose()?;
    audit::append(conn, &note)
}

fn facts(stored: &StoredCalendar) -> Result<Value, Error> {
    let fault = |fault| Error::corrupt("a calendar does not become JSON", fault);
    let mut facts = serde_json::to_value(&stored.calendar).map_err(fault)?;
    facts["revision"] = stored.revision.into();
    Ok(facts)
}

fn unknown(name: &CalendarName) -> Error {
    Error::not_found(format!("calendar {name}"))
}
