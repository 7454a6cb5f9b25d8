//! What happened to rollouts.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{BuildId, PackageName, Percent, Rollout, RolloutId};

use super::Conn;
use crate::error::Fault;
use crate::rows::{clean, clean_if, parsed, small};
use crate::schema::{packages, rollout_events, rollouts};
use crate::time::{micros, moment};
use crate::{Actor, Error, MAX_PACKAGE_EVENTS, PackageEvent, Page, Paged, RolloutEvent};

#[derive(Insertable)]
#[diesel(table_name = rollout_events)]
struct NewEvent<'a> {
    rollout_id: i64,
    at: i64,
    actor: String,
    action: &'a str,
    state: &'static str,
    phase: Option<&'static str>,
    step: Option<i64>,
    percent_hundredths: i32,
    remark: Option<String>,
}

/// Writes down what a change made of each of these rollouts, and why where somebody said it.
pub(super) fn append<'a>(
    conn: &mut Conn,
    rollouts: impl Iterator<Item = &'a Rollout>,
    actor: &Actor,
    action: &str,
    remark: Option<&str>,
) -> Result<(), Fault> {
    let events: Vec<NewEvent<'_>> = rollouts
        .map(|rollout| {
            let (spec, run) = (&rollout.spec, rollout.spec.plan.as_ref());
            NewEvent {
                rollout_id: rollout.id.0,
                at: micros(actor.now),
                actor: clean(&actor.subject),
                action,
                state: spec.state.as_str(),
                phase: spec.phase().map(|phase| phase.as_str()),
                step: run.and_then(|run| i64::try_from(run.progress.step + 1).ok()),
                percent_hundredths: spec.percent(actor.now).hundredths().into(),
                remark: clean_if(remark),
            }
        })
        .collect();
    diesel::insert_into(rollout_events::table)
        .values(&events)
        .execute(conn)?;
    Ok(())
}

/// The share of a rollout's first event at which it had begun.
pub(crate) fn first_percent(conn: &mut Conn, id: RolloutId) -> Result<Option<Percent>, Fault> {
    let first: Option<i32> = rollout_events::table
        .filter(rollout_events::rollout_id.eq(id.0))
        .filter(rollout_events::percent_hundredths.gt(0))
        .order(rollout_events::id)
        .select(rollout_events::percent_hundredths)
        .first(conn)
        .optional()?;
    let percent = first.map(|hundredths| Percent::of_hundredths(hundredths.into()));
    Ok(percent
        .map(|percent| parsed("rollout_events.percent_hundredths", percent))
        .transpose()?)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = rollout_events)]
struct EventRow {
    id: i64,
    at: i64,
    actor: String,
    action: String,
    state: String,
    phase: Option<String>,
    step: Option<i64>,
    percent_hundredths: i32,
    remark: Option<String>,
}

impl EventRow {
    fn into_event(self) -> Result<RolloutEvent, Error> {
        Ok(RolloutEvent {
            at: moment(self.at)?,
            actor: self.actor,
            action: self.action,
            state: parsed("rollout_events.state", self.state.parse())?,
            phase: self.phase,
            step: self
                .step
                .map(|step| small("rollout_events.step", step))
                .transpose()?,
            percent: parsed(
                "rollout_events.percent_hundredths",
                Percent::of_hundredths(self.percent_hundredths.into()),
            )?,
            remark: self.remark,
        })
    }
}

/// What happened to a package's rollouts since then, or to one build's, newest first.
pub(crate) fn of_package(
    conn: &mut Conn,
    package: &PackageName,
    build: Option<BuildId>,
    from: DateTime<Utc>,
) -> Result<Vec<PackageEvent>, Fault> {
    let mut query = rollout_events::table
        .inner_join(rollouts::table.inner_join(packages::table))
        .filter(packages::name.eq(package.as_str()))
        .filter(rollout_events::at.ge(micros(from)))
        .order(rollout_events::id.desc())
        .limit(MAX_PACKAGE_EVENTS)
        .select((rollouts::id, rollouts::build_id, EventRow::as_select()))
        .into_boxed::<super::Db>();
    if let Some(build) = build {
        query = query.filter(rollouts::build_id.eq(build.0));
    }
    let rows: Vec<(i64, i64, EventRow)> = query.load(conn)?;
    let first = first_events(conn, rows.iter().map(|(rollout, ..)| *rollout))?;
    let events = rows.into_iter().map(|(rollout, build, row)| {
        Ok::<_, Error>(PackageEvent {
            rollout: RolloutId(rollout),
            build: BuildId(build),
            begins: first.contains(&row.id),
            event: row.into_event()?,
        })
    });
    Ok(events.collect::<Result<_, Error>>()?)
}

/// The first event of each of these rollouts.
fn first_events(conn: &mut Conn, rollouts: impl Iterator<Item = i64>) -> Result<HashSet<i64>, Fault> {
    let rollouts: HashSet<i64> = rollouts.collect();
    let first: Vec<Option<i64>> = rollout_events::table
        .filter(rollout_events::rollout_id.eq_any(rollouts))
        .group_by(rollout_events::rollout_id)
        .select(diesel::dsl::min(rollout_events::id))
        .load(conn)?;
    Ok(first.into_iter().flatten().collect())
}

/// Newest first.
pub(crate) fn list(conn: &mut Conn, rollout: RolloutId, page: &Page) -> Result<Paged<RolloutEvent>, Fault> {
    let mut query = rollout_events::table
        .filter(rollout_events::rollout_id.eq(rollout.0))
        .select(EventRow::as_select())
        .order(rollout_events::id.desc())
        .limit(page.limit())
        .into_boxed::<super::Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(rollout_events::id.lt(after));
    }
    let paged = page.paged(query.load::<EventRow>(conn)?, |row| row.id);
    Ok(paged.try_map(EventRow::into_event)?)
}
