//! Rollouts' statements.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::gate::GateReading;
use tidegate_domain::{
    self as domain, Approval, BuildId, Change, PackageName, Position, Release, Rollout, RolloutId,
    RolloutSpec, Track,
};

use super::epochs::Epoch;
use super::{BATCH, Conn, Db, audit, builds, calendars, epochs, gates, lock, rollout_events};
use crate::error::Fault;
use crate::rows::{NewRollout, RolloutRow, RolloutShape, package_name, parsed, position, small};
use crate::schema::{packages, rollouts};
use crate::{
    Actor, Attempts, AuditNote, BuildRollout, Error, GateFailures, Page, Paged, RolloutFilter, TrackChange,
};

pub(crate) fn change_track<F>(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
    rule: &F,
) -> Result<TrackChange, Fault>
where
    F: Fn(&Track, &Attempts) -> Result<Change, domain::Error>,
{
    change(conn, package, actor, |conn, id, track| {
        let attempts = id.map(|id| attempts(conn, id)).transpose()?;
        Ok(rule(track, &attempts.unwrap_or_default()).map_err(Error::Rule)?)
    })
}

pub(crate) fn resume<F>(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
    rule: &F,
) -> Result<TrackChange, Fault>
where
    F: Fn(&Track, &GateFailures) -> Result<Change, domain::Error>,
{
    change(conn, package, actor, |conn, _, track| {
        let failures = gates::failures(conn, track, actor.now)?;
        Ok(rule(track, &failures).map_err(Error::Rule)?)
    })
}

/// Changes a track as it is decided while the package is held.
fn change(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
    decide: impl Fn(&mut Conn, Option<i64>, &Track) -> Result<Change, Fault>,
) -> Result<TrackChange, Fault> {
    let id = lock::package(conn, package.as_str())?;
    let before = match id {
        Some(id) => load_track(conn, id, package)?,
        None => Track::empty(package.clone()),
    };
    let change = decide(conn, id, &before)?;
    let mut inserted = vec![];
    if !change.is_empty() {
        let id = id.ok_or_else(|| Error::not_found(format!("package {package}")))?;
        inserted = write(conn, id, package, actor, &change)?;
    }
    Ok(TrackChange {
        change,
        inserted,
        before,
    })
}

/// Takes the step of a plan that is due first, if one is. Who asks twice takes it once.
pub(crate) fn take_step(
    conn: &mut Conn,
    package: &PackageName,
    actor: &Actor,
) -> Result<Option<Change>, Fault> {
    let Some(id) = lock::package(conn, package.as_str())? else {
        return Ok(None);
    };
    let Some(change) = load_track(conn, id, package)?.due(actor.now) else {
        return Ok(None);
    };
    write(conn, id, package, actor, &change)?;
    Ok(Some(change))
}

/// Writes a change with all that tells of it.
fn write(
    conn: &mut Conn,
    id: i64,
    package: &PackageName,
    actor: &Actor,
    change: &Change,
) -> Result<Vec<Rollout>, Fault> {
    let remark = change.after.resumed.remark.as_deref();
    write_noted(conn, id, actor, change, &note(package, actor, change)?, remark)
}

/// Writes what a gate's reading changed, with the reading in the audit entry and its sentence in the event.
pub(super) fn write_judged(
    conn: &mut Conn,
    id: i64,
    package: &PackageName,
    actor: &Actor,
    change: &Change,
    (reading, sentence): (&GateReading, &str),
) -> Result<(), Fault> {
    let mut noted = note(package, actor, change)?;
    let told = serde_json::json!({ "sentence": sentence, "reading": reading });
    if let Some(serde_json::Value::Object(after)) = &mut noted.after {
        after.insert("gate_reading".to_owned(), told);
    }
    write_noted(conn, id, actor, change, &noted, Some(sentence))?;
    Ok(())
}

fn write_noted(
    conn: &mut Conn,
    id: i64,
    actor: &Actor,
    change: &Change,
    noted: &AuditNote,
    remark: Option<&str>,
) -> Result<Vec<Rollout>, Fault> {
    let inserted = apply(conn, id, &change.updates, &change.insert, change.next_slice_start)?;
    let rollouts = change.updates.iter().chain(&inserted);
    rollout_events::append(conn, rollouts, actor, change.action, remark)?;
    epochs::raise(conn, Epoch::Catalog)?;
    let updated = change.updates.iter().map(|rollout| &rollout.spec);
    calendars::require(conn, updated.chain(&change.insert))?;
    audit::append(conn, noted)?;
    Ok(inserted)
}

/// Writes down how far ramps have come, where that is more than was: no transition, so nothing is told of it.
pub(crate) fn keep_floors(conn: &mut Conn, package: &PackageName, now: DateTime<Utc>) -> Result<bool, Fault> {
    let Some(id) = lock::package(conn, package.as_str())? else {
        return Ok(false);
    };
    let floors = load_track(conn, id, package)?.floors(now);
    if floors.is_empty() {
        return Ok(false);
    }
    apply(conn, id, &floors, &[], None)?;
    epochs::raise(conn, Epoch::Catalog)?;
    Ok(true)
}

/// Updates before the insert: the old current rollout makes room for the new one.
pub(super) fn apply(
    conn: &mut Conn,
    package: i64,
    updates: &[Rollout],
    added: &[RolloutSpec],
    next_slice_start: Option<Position>,
) -> Result<Vec<Rollout>, Fault> {
    for rollout in updates {
        let own = rollouts::table
            .filter(rollouts::id.eq(rollout.id.0))
            .filter(rollouts::package_id.eq(package));
        let changed = diesel::update(own)
            .set(RolloutShape::of(&rollout.spec)?)
            .execute(conn)?;
        if changed != 1 {
            return Err(Error::not_found(format!("rollout {} of the package", rollout.id)).into());
        }
    }
    if let Some(start) = next_slice_start {
        diesel::update(packages::table.find(package))
            .set(packages::next_slice_start.eq(i64::from(start.get())))
            .execute(conn)?;
    }
    added.iter().map(|spec| insert(conn, package, spec)).collect()
}

fn insert(conn: &mut Conn, package: i64, spec: &RolloutSpec) -> Result<Rollout, Fault> {
    if !builds::versions(conn, &[spec.build.0])?.contains_key(&spec.build.0) {
        return Err(builds::unknown(spec.build).into());
    }
    builds::refuse_deleted(conn, spec.build)?;
    let row: RolloutRow = diesel::insert_into(rollouts::table)
        .values(NewRollout::of(package, spec)?)
        .returning(RolloutRow::as_returning())
        .get_result(conn)?;
    Ok(row.into_rollout(spec.package.as_str())?)
}

fn note(package: &PackageName, actor: &Actor, change: &Change) -> Result<AuditNote, Error> {
    let json = |facts: &domain::OfferFacts| {
        serde_json::to_value(facts).map_err(|fault| Error::corrupt("a change does not become JSON", fault))
    };
    let mut note = actor.note(change.action, format!("package/{package}"));
    note.before = change.before.as_ref().map(json).transpose()?;
    note.after = Some(json(&change.after)?);
    Ok(note)
}

pub(super) fn attempts(conn: &mut Conn, package: i64) -> Result<Attempts, Fault> {
    let highest: Vec<(i64, Option<i64>)> = rollouts::table
        .filter(rollouts::package_id.eq(package))
        .group_by(rollouts::build_id)
        .select((rollouts::build_id, diesel::dsl::max(rollouts::retry_generation)))
        .load(conn)?;
    let mut attempts = HashMap::new();
    for (build, retry_generation) in highest {
        attempts.insert(
            BuildId(build),
            small("rollouts.retry_generation", retry_generation.unwrap_or(0))?,
        );
    }
    Ok(Attempts(attempts))
}

pub(crate) fn track(conn: &mut Conn, package: &PackageName) -> Result<Track, Fault> {
    let id: Option<i64> = packages::table
        .filter(packages::name.eq(package.as_str()))
        .select(packages::id)
        .first(conn)
        .optional()?;
    match id {
        Some(id) => load_track(conn, id, package),
        None => Ok(Track::empty(package.clone())),
    }
}

pub(super) fn load_track(conn: &mut Conn, id: i64, package: &PackageName) -> Result<Track, Fault> {
    let found = tracks(conn, Some(id))?.pop();
    Ok(found.unwrap_or_else(|| Track::empty(package.clone())))
}

/// The tracks of all packages that release something, or of this one if it does.
pub(crate) fn tracks(conn: &mut Conn, package: Option<i64>) -> Result<Vec<Track>, Fault> {
    let mut serving = rollouts::table
        .inner_join(packages::table)
        .filter(rollouts::serving)
        .order((
            rollouts::package_id,
            rollouts::priority.desc(),
            rollouts::is_current.desc(),
            rollouts::id.desc(),
        ))
        .select((packages::name, RolloutRow::as_select()))
        .into_boxed::<Db>();
    if let Some(package) = package {
        serving = serving.filter(rollouts::package_id.eq(package));
    }
    let serving = into_rollouts(serving.load(conn)?)?;
    let previous: Vec<i64> = serving
        .iter()
        .filter(|rollout| rollout.spec.is_current)
        .filter_map(|rollout| Some(rollout.spec.previous?.0))
        .collect();
    let predecessors = by_ids(conn, &previous)?;
    let ids: BTreeSet<i64> = serving
        .iter()
        .chain(predecessors.values())
        .map(|rollout| rollout.spec.build.0)
        .collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let deleted = builds::deleted_of(conn, &ids)?;
    let mut found = HashMap::new();
    for ids in ids.chunks(BATCH) {
        found.extend(builds::by_ids(conn, ids)?);
    }
    let release = |rollout: Rollout| match found.get(&rollout.spec.build.0) {
        Some(build) => Ok(Release {
            rollout,
            build: Arc::clone(build),
        }),
        None => Err(Error::corrupt("rollouts.build_id", rollout.spec.build)),
    };
    let mut tracks: Vec<Track> = Vec::new();
    for rollout in serving {
        let package = &rollout.spec.package;
        if tracks.last().is_none_or(|track| track.package != *package) {
            tracks.push(Track::empty(package.clone()));
        }
        let Some(track) = tracks.last_mut() else { continue };
        if let Some(earlier) = rollout.spec.previous.filter(|_| rollout.spec.is_current) {
            let earlier = predecessors.get(&earlier.0).cloned();
            // Further back there may be builds that were deleted: to those nothing returns.
            let earlier = earlier.filter(|earlier| !deleted.contains(&earlier.spec.build.0));
            track.predecessor = earlier.map(release).transpose()?;
        }
        track.serving.push(release(rollout)?);
    }
    // Packages that release nothing have terms of their next release all the same.
    for terms in release_terms(conn, package)? {
        match tracks.iter_mut().find(|track| track.package == terms.package) {
            Some(track) => terms.apply(track),
            None if package.is_some() => {
                let mut track = Track::empty(terms.package.clone());
                terms.apply(&mut track);
                tracks.push(track);
            }
            None => {}
        }
    }
    let mut by_name: HashMap<String, &mut Track> = tracks
        .iter_mut()
        .map(|track| (track.package.to_string(), track))
        .collect();
    for (name, version, signers) in builds::known_signers(conn, package)? {
        if let Some(track) = by_name.get_mut(&name) {
            track.known_signers.push((version, signers));
        }
    }
    for build in builds::barriers(conn, package)? {
        if let Some(track) = by_name.get_mut(build.facts.package.as_str()) {
            track.barriers.push(Arc::new(build));
        }
    }
    Ok(tracks)
}

/// All rollouts that serve.
pub(crate) fn serving(conn: &mut Conn) -> Result<Vec<Rollout>, Fault> {
    let rows: Vec<(String, RolloutRow)> = rollouts::table
        .inner_join(packages::table)
        .filter(rollouts::serving)
        .select((packages::name, RolloutRow::as_select()))
        .load(conn)?;
    Ok(into_rollouts(rows)?)
}

/// What the next release of a package is judged by.
struct ReleaseTerms {
    package: PackageName,
    next_slice_start: Position,
    approval: Approval,
}

impl ReleaseTerms {
    fn apply(&self, track: &mut Track) {
        track.next_slice_start = self.next_slice_start;
        track.approval = self.approval;
    }
}

/// The terms of packages that have any of their own.
fn release_terms(conn: &mut Conn, package: Option<i64>) -> Result<Vec<ReleaseTerms>, Fault> {
    let own = packages::next_slice_start
        .gt(0)
        .or(packages::approval.ne(Approval::Never.to_string()));
    let mut query = packages::table
        .filter(own)
        .select((packages::name, packages::next_slice_start, packages::approval))
        .into_boxed::<Db>();
    if let Some(package) = package {
        query = query.filter(packages::id.eq(package));
    }
    let rows: Vec<(String, i64, String)> = query.load(conn)?;
    let terms = rows.into_iter().map(|(name, start, approval)| {
        Ok(ReleaseTerms {
            package: package_name(&name)?,
            next_slice_start: position("packages.next_slice_start", start)?,
            approval: parsed("packages.approval", approval.parse())?,
        })
    });
    Ok(terms.collect::<Result<_, Error>>()?)
}

pub(crate) fn get(conn: &mut Conn, id: RolloutId) -> Result<Rollout, Fault> {
    let found = by_ids(conn, &[id.0])?.remove(&id.0);
    Ok(found.ok_or_else(|| Error::not_found(format!("rollout {id}")))?)
}

pub(super) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, Rollout>, Fault> {
    let mut found = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let rows: Vec<(String, RolloutRow)> = rollouts::table
            .inner_join(packages::table)
            .filter(rollouts::id.eq_any(ids))
            .select((packages::name, RolloutRow::as_select()))
            .load(conn)?;
        let rollouts = into_rollouts(rows)?;
        found.extend(rollouts.into_iter().map(|rollout| (rollout.id.0, rollout)));
    }
    Ok(found)
}

/// The arms of these experiments, in the order in which they were made.
pub(super) fn arms(conn: &mut Conn, experiments: &[i64]) -> Result<Vec<Rollout>, Fault> {
    let mut found = Vec::new();
    for ids in experiments.chunks(BATCH) {
        let rows: Vec<(String, RolloutRow)> = rollouts::table
            .inner_join(packages::table)
            .filter(rollouts::experiment_id.eq_any(ids.iter().copied().map(Some)))
            .order((rollouts::experiment_id, rollouts::id))
            .select((packages::name, RolloutRow::as_select()))
            .load(conn)?;
        found.extend(into_rollouts(rows)?);
    }
    Ok(found)
}

pub(crate) fn last_of(conn: &mut Conn, ids: &[BuildId]) -> Result<HashMap<BuildId, BuildRollout>, Fault> {
    let mut found: HashMap<BuildId, BuildRollout> = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<(String, RolloutRow)> = rollouts::table
            .inner_join(packages::table)
            .filter(rollouts::build_id.eq_any(ids))
            .order((
                rollouts::serving.desc(),
                rollouts::is_current.desc(),
                rollouts::id.desc(),
            ))
            .select((packages::name, RolloutRow::as_select()))
            .load(conn)?;
        for rollout in into_rollouts(rows)? {
            found.entry(rollout.spec.build).or_insert(BuildRollout {
                rollout,
                previous_build: None,
            });
        }
    }
    let previous = found.values().filter_map(|last| last.rollout.spec.previous);
    let previous = by_ids(conn, &previous.map(|id| id.0).collect::<Vec<_>>())?;
    for last in found.values_mut() {
        let earlier = last.rollout.spec.previous.and_then(|id| previous.get(&id.0));
        last.previous_build = earlier.map(|rollout| rollout.spec.build);
    }
    Ok(found)
}

fn into_rollouts(rows: Vec<(String, RolloutRow)>) -> Result<Vec<Rollout>, Error> {
    rows.into_iter()
        .map(|(package, row)| row.into_rollout(&package))
        .collect()
}

pub(crate) fn list(conn: &mut Conn, filter: &RolloutFilter, page: &Page) -> Result<Paged<Rollout>, Fault> {
    let mut query = rollouts::table
        .inner_join(packages::table)
        .select((packages::name, RolloutRow::as_select()))
        .order(rollouts::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(rollouts::id.lt(after));
    }
    if let Some(package) = &filter.package {
        query = query.filter(packages::name.eq(package.as_str()));
    }
    if let Some(build) = filter.build {
        query = query.filter(rollouts::build_id.eq(build.0));
    }
    if let Some(state) = filter.state {
        query = query.filter(rollouts::state.eq(state.as_str()));
    }
    let paged = page.paged(query.load::<(String, RolloutRow)>(conn)?, |(_, row)| row.id);
    Ok(paged.try_map(|(package, row)| row.into_rollout(&package))?)
}
