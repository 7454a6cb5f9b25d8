//! Builds' statements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use tidegate_domain::{
    Build, BuildFacts, BuildId, BuildSteps, Installability, PackageName, Provenance, Sha256, SignerRange,
    Signers, VersionCode,
};

use super::epochs::Epoch;
use super::{Conn, Db, audit, epochs, lock, packages};
use crate::error::Fault;
use crate::rows::{BuildRow, NewBuild, SignerRow, clean, parsed, to_json, version};
use crate::schema::{
    build_minutes, build_signers, builds, deployment_stat_hours, deployment_stats, device_builds,
    packages as package_table, patches, rollout_reasons, rollouts,
};
use crate::time::{micros, moment_if};
use crate::{AuditNote, BuildEdit, BuildFilter, Deleted, Error, Page, Paged};

pub(crate) fn insert(
    conn: &mut Conn,
    facts: &BuildFacts,
    provenance: &Provenance,
    profile: Option<&str>,
    rotation: Option<(&Signers, &Signers)>,
    note: &AuditNote,
) -> Result<Build, Fault> {
    let package = packages::ensure(conn, &facts.package, provenance.uploaded_at)?;
    refuse_known_version(conn, package, facts)?;
    check_pin(conn, package, facts, rotation)?;
    let id: i64 = diesel::insert_into(builds::table)
        .values(NewBuild::of(package, facts, provenance, profile)?)
        .returning(builds::id)
        .get_result(conn)?;
    let signers: Vec<SignerRow> = facts
        .signers
        .ranges()
        .iter()
        .map(|range| SignerRow::of(id, range))
        .collect();
    for signer in &signers {
        diesel::insert_into(build_signers::table)
            .values(signer)
            .execute(conn)?;
    }
    diesel::insert_into(deployment_stats::table)
        .values(deployment_stats::build_id.eq(id))
        .execute(conn)?;
    epochs::raise(conn, Epoch::Catalog)?;
    audit::append(conn, &with_build_id(note, id))?;
    get(conn, BuildId(id))
}

fn refuse_known_version(conn: &mut Conn, package: i64, facts: &BuildFacts) -> Result<(), Fault> {
    let existing: Option<i64> = builds::table
        .filter(builds::package_id.eq(package))
        .filter(builds::version_code.eq(facts.version_code.get()))
        .select(builds::id)
        .first(conn)
        .optional()?;
    match existing {
        None => Ok(()),
        Some(existing) => Err(Error::VersionExists {
            package: facts.package.clone(),
            version_code: facts.version_code,
            existing: BuildId(existing),
        }
        .into()),
    }
}

fn check_pin(
    conn: &mut Conn,
    package: i64,
    facts: &BuildFacts,
    rotation: Option<(&Signers, &Signers)>,
) -> Result<(), Fault> {
    match packages::pinned(conn, package)? {
        Some(pinned) if pinned == facts.signers => Ok(()),
        Some(pinned) => match rotation {
            Some((from, then)) if *from == pinned => packages::set_pin(conn, package, Some(then)),
            _ => Err(Error::SignerConflict {
                package: facts.package.clone(),
                pinned,
                got: facts.signers.clone(),
            }
            .into()),
        },
        None => packages::set_pin(conn, package, Some(&facts.signers)),
    }
}

fn with_build_id(note: &AuditNote, id: i64) -> AuditNote {
    let mut note = note.clone();
    if let Value::Object(after) = note.after.get_or_insert_with(|| json!({})) {
        after.insert("build_id".into(), id.into());
    }
    note
}

pub(crate) fn get(conn: &mut Conn, id: BuildId) -> Result<Build, Fault> {
    let row: Option<(String, BuildRow)> = builds::table
        .inner_join(package_table::table)
        .filter(builds::id.eq(id.0))
        .select((package_table::name, BuildRow::as_select()))
        .first(conn)
        .optional()?;
    let row = row.ok_or_else(|| unknown(id))?;
    let mut found = with_signers(conn, vec![row])?;
    Ok(found.pop().ok_or_else(|| unknown(id))?)
}

pub(crate) fn unexamined(conn: &mut Conn, before: Option<BuildId>) -> Result<Option<Build>, Fault> {
    let before = before.map_or(i64::MAX, |before| before.0);
    let row: Option<(String, BuildRow)> = builds::table
        .inner_join(package_table::table)
        .filter(builds::profile_json.is_null())
        .filter(builds::deleted_at.is_null())
        .filter(builds::id.lt(before))
        .order(builds::id.desc())
        .select((package_table::name, BuildRow::as_select()))
        .first(conn)
        .optional()?;
    let mut found = with_signers(conn, row.into_iter().collect())?;
    Ok(found.pop())
}

pub(crate) fn keep_examination(
    conn: &mut Conn,
    id: BuildId,
    installability: &Installability,
    profile: &str,
) -> Result<(), Fault> {
    let unexamined = builds::table
        .filter(builds::id.eq(id.0))
        .filter(builds::profile_json.is_null());
    let changed = diesel::update(unexamined)
        .set((
            builds::installability_json.eq(to_json(installability)?),
            builds::profile_json.eq(clean(profile)),
        ))
        .execute(conn)?;
    if changed > 0 {
        epochs::raise(conn, Epoch::Catalog)?;
    }
    Ok(())
}

pub(crate) fn profile(conn: &mut Conn, id: BuildId) -> Result<Option<String>, Fault> {
    let found: Option<Option<String>> = builds::table
        .filter(builds::id.eq(id.0))
        .select(builds::profile_json)
        .first(conn)
        .optional()?;
    Ok(found.ok_or_else(|| unknown(id))?)
}

pub(crate) fn list(conn: &mut Conn, filter: &BuildFilter, page: &Page) -> Result<Paged<Build>, Fault> {
    let mut query = builds::table
        .inner_join(package_table::table)
        .filter(builds::deleted_at.is_null())
        .select((package_table::name, BuildRow::as_select()))
        .order(builds::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(builds::id.lt(after));
    }
    if let Some(package) = &filter.package {
        query = query.filter(package_table::name.eq(package.as_str()));
    }
    let paged = page.paged(query.load::<(String, BuildRow)>(conn)?, |(_, row)| row.id);
    Ok(Paged {
        items: with_signers(conn, paged.items)?,
        next_page_token: paged.next_page_token,
    })
}

/// The builds of these numbers, at most a few dozen.
pub(crate) fn by_ids(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, Arc<Build>>, Fault> {
    let rows: Vec<(String, BuildRow)> = builds::table
        .inner_join(package_table::table)
        .filter(builds::id.eq_any(ids))
        .select((package_table::name, BuildRow::as_select()))
        .load(conn)?;
    let builds = with_signers(conn, rows)?;
    Ok(builds
        .into_iter()
        .map(|build| (build.id.0, Arc::new(build)))
        .collect())
}

/// The barriers of the packages that release something, or of this one, by ascending version.
pub(crate) fn barriers(conn: &mut Conn, package: Option<i64>) -> Result<Vec<Build>, Fault> {
    let mut query = builds::table
        .inner_join(package_table::table)
        .filter(builds::barrier)
        .filter(builds::deleted_at.is_null())
        .order((builds::package_id, builds::version_code))
        .select((package_table::name, BuildRow::as_select()))
        .into_boxed::<Db>();
    query = match package {
        Some(package) => query.filter(builds::package_id.eq(package)),
        None => query.filter(
            builds::package_id.eq_any(
                rollouts::table
                    .filter(rollouts::serving)
                    .select(rollouts::package_id),
            ),
        ),
    };
    let rows = query.load(conn)?;
    with_signers(conn, rows)
}

fn with_signers(conn: &mut Conn, rows: Vec<(String, BuildRow)>) -> Result<Vec<Build>, Fault> {
    let mut signers: HashMap<i64, Vec<SignerRow>> = HashMap::new();
    let ids: Vec<i64> = rows.iter().map(|(_, row)| row.id).collect();
    for ids in ids.chunks(super::BATCH) {
        let found: Vec<SignerRow> = build_signers::table
            .filter(build_signers::build_id.eq_any(ids))
            .select(SignerRow::as_select())
            .load(conn)?;
        for signer in found {
            signers.entry(signer.build_id).or_default().push(signer);
        }
    }
    let builds: Result<Vec<Build>, Error> = rows
        .into_iter()
        .map(|(package, row)| {
            let signers = signers.remove(&row.id).unwrap_or_default();
            row.into_build(&package, signers)
        })
        .collect();
    Ok(builds?)
}

pub(crate) fn has_blob(conn: &mut Conn, sha256: Sha256) -> Result<bool, Fault> {
    let found = builds::table
        .filter(builds::sha256.eq(sha256.0.to_vec()))
        .filter(builds::deleted_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(found)).get_result(conn)?)
}

/// Package and version of each build that exists.
pub(crate) fn versions(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, (i64, i64)>, Fault> {
    let mut found = HashMap::new();
    for ids in ids.chunks(super::BATCH) {
        let rows: Vec<(i64, i64, i64)> = builds::table
            .filter(builds::id.eq_any(ids))
            .select((builds::id, builds::package_id, builds::version_code))
            .load(conn)?;
        found.extend(
            rows.into_iter()
                .map(|(id, package, version)| (id, (package, version))),
        );
    }
    Ok(found)
}

pub(crate) fn version_codes(
    conn: &mut Conn,
    ids: &[BuildId],
) -> Result<HashMap<BuildId, VersionCode>, Fault> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let found = versions(conn, &ids)?.into_iter();
    let codes = found.map(|(id, (_, code))| Ok((BuildId(id), version(code)?)));
    Ok(codes.collect::<Result<_, Error>>()?)
}

/// The names of those of these versions that are builds.
pub(crate) fn version_names(
    conn: &mut Conn,
    package: &PackageName,
    versions: &[VersionCode],
) -> Result<Vec<(VersionCode, String)>, Fault> {
    let codes: Vec<i64> = versions.iter().map(|version| version.get()).collect();
    let mut found = Vec::with_capacity(codes.len());
    for codes in codes.chunks(super::BATCH) {
        let rows: Vec<(i64, String)> = builds::table
            .inner_join(package_table::table)
            .filter(package_table::name.eq(package.as_str()))
            .filter(builds::version_code.eq_any(codes))
            .select((builds::version_code, builds::version_name))
            .load(conn)?;
        for (code, name) in rows {
            found.push((version(code)?, name));
        }
    }
    Ok(found)
}

pub(crate) fn deleted_at(conn: &mut Conn, id: BuildId) -> Result<Option<DateTime<Utc>>, Fault> {
    let found: Option<Option<i64>> = builds::table
        .find(id.0)
        .select(builds::deleted_at)
        .first(conn)
        .optional()?;
    Ok(moment_if(found.ok_or_else(|| unknown(id))?)?)
}

/// Those of these builds that were deleted.
pub(crate) fn deleted_of(conn: &mut Conn, ids: &[i64]) -> Result<HashSet<i64>, Fault> {
    let mut found = HashSet::new();
    for ids in ids.chunks(super::BATCH) {
        let rows: Vec<i64> = builds::table
            .filter(builds::id.eq_any(ids))
            .filter(builds::deleted_at.is_not_null())
            .select(builds::id)
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// To be called while the package is held, so that nothing is released and deleted at the same time.
pub(crate) fn refuse_deleted(conn: &mut Conn, id: BuildId) -> Result<(), Fault> {
    match deleted_at(conn, id)? {
        Some(_) => Err(Error::BuildDeleted { build: id }.into()),
        None => Ok(()),
    }
}

pub(crate) fn delete(conn: &mut Conn, id: BuildId, note: &AuditNote) -> Result<Deleted, Fault> {
    let build = get(conn, id)?;
    lock::package(conn, build.facts.package.as_str())?;
    refuse_deleted(conn, id)?;
    refuse_used(conn, id)?;
    let was_released = rollouts::table.filter(
        rollouts::build_id
            .eq(id.0)
            .or(rollouts::rolled_back_from.eq(id.0).assume_not_null()),
    );
    let was_met = device_builds::table.filter(device_builds::build_id.eq(id.0));
    let was_released: bool = diesel::select(diesel::dsl::exists(was_released)).get_result(conn)?;
    let was_met: bool = diesel::select(diesel::dsl::exists(was_met)).get_result(conn)?;
    let is_patched = patches::table.filter(patches::base_id.eq(id.0).or(patches::build_id.eq(id.0)));
    let is_patched: bool = diesel::select(diesel::dsl::exists(is_patched)).get_result(conn)?;
    let version_free = !was_released && !was_met && !is_patched;
    if version_free {
        remove(conn, id.0)?;
    } else {
        diesel::update(builds::table.find(id.0))
            .set(builds::deleted_at.eq(micros(note.at)))
            .execute(conn)?;
    }
    epochs::raise(conn, Epoch::Catalog)?;
    let note = AuditNote {
        before: Some(json!({
            "build_id": id,
            "version_code": build.facts.version_code,
            "sha256": build.facts.sha256,
        })),
        after: Some(json!({ "version_code_is_free": version_free })),
        ..note.clone()
    };
    audit::append(conn, &note)?;
    Ok(Deleted { build, version_free })
}

/// Refuses while the build is offered, or is what a roll-back returns to.
fn refuse_used(conn: &mut Conn, id: BuildId) -> Result<(), Fault> {
    let serving: Vec<(i64, i64, Option<i64>)> = rollouts::table
        .filter(rollouts::serving)
        .filter(rollouts::package_id.eq_any(builds::table.find(id.0).select(builds::package_id)))
        .select((rollouts::id, rollouts::build_id, rollouts::previous_id))
        .load(conn)?;
    if let Some((rollout, ..)) = serving.iter().find(|(_, build, _)| *build == id.0) {
        let fault = format!("is served by rollout {rollout}: promote another build, or roll it back, first");
        return Err(Error::BuildInUse { build: id, fault }.into());
    }
    let is_barrier: bool = builds::table.find(id.0).select(builds::barrier).first(conn)?;
    if is_barrier {
        let fault =
            "is a barrier, which devices must take before anything newer: let it be one no more first"
                .to_owned();
        return Err(Error::BuildInUse { build: id, fault }.into());
    }
    let previous: Vec<i64> = serving.iter().filter_map(|(_, _, previous)| *previous).collect();
    let way_back: Option<i64> = rollouts::table
        .filter(rollouts::id.eq_any(previous))
        .filter(rollouts::build_id.eq(id.0))
        .select(rollouts::id)
        .first(conn)
        .optional()?;
    if way_back.is_some() {
        let fault =
            "is what a roll-back of the current build returns to: promote one more build first".to_owned();
        return Err(Error::BuildInUse { build: id, fault }.into());
    }
    Ok(())
}

/// Removes a build that nobody was offered.
fn remove(conn: &mut Conn, id: i64) -> Result<(), Fault> {
    diesel::delete(rollout_reasons::table.filter(rollout_reasons::build_id.eq(id))).execute(conn)?;
    diesel::delete(deployment_stat_hours::table.filter(deployment_stat_hours::build_id.eq(id)))
        .execute(conn)?;
    diesel::delete(build_minutes::table.filter(build_minutes::build_id.eq(id))).execute(conn)?;
    diesel::delete(deployment_stats::table.filter(deployment_stats::build_id.eq(id))).execute(conn)?;
    diesel::delete(build_signers::table.filter(build_signers::build_id.eq(id))).execute(conn)?;
    diesel::delete(builds::table.find(id)).execute(conn)?;
    Ok(())
}

/// How much of a text the audit log is told.
const TOLD_CHARS: usize = 500;

pub(crate) fn edit(conn: &mut Conn, id: BuildId, edit: &BuildEdit, note: &AuditNote) -> Result<Build, Fault> {
    let before = get(conn, id)?;
    // Rollouts of the package are judged by its builds.
    lock::package(conn, before.facts.package.as_str())?;
    refuse_deleted(conn, id)?;
    let before = get(conn, id)?;
    let (notes, steps) = (&before.provenance.notes, before.steps);
    let wanted_notes = edit.notes.as_deref().map_or_else(|| notes.clone(), clean);
    let wanted = BuildSteps {
        barrier: edit.barrier.unwrap_or(steps.barrier),
        min_from_version: edit.min_from_version.unwrap_or(steps.min_from_version),
    };
    wanted.check(before.facts.version_code).map_err(Error::Rule)?;
    if *notes == wanted_notes && steps == wanted {
        return Ok(before);
    }
    diesel::update(builds::table.find(id.0))
        .set((
            builds::notes.eq(&wanted_notes),
            builds::barrier.eq(wanted.barrier),
            builds::min_from_version.eq(wanted.min_from_version.map(VersionCode::get)),
        ))
        .execute(conn)?;
    epochs::raise(conn, Epoch::Catalog)?;
    let told = |notes: &str, steps: BuildSteps| {
        let notes: String = notes.chars().take(TOLD_CHARS).collect();
        json!({
            "build_id": id,
            "release_notes": notes,
            "barrier": steps.barrier,
            "min_from_version": steps.min_from_version,
        })
    };
    let note = AuditNote {
        before: Some(told(notes, steps)),
        after: Some(told(&wanted_notes, wanted)),
        ..note.clone()
    };
    audit::append(conn, &note)?;
    Ok(before)
}

pub(crate) fn unknown(id: BuildId) -> Error {
    Error::not_found(format!("build {id}"))
}

/// The signers of every build of the packages that release something, or of this one, by package and ascending
/// version.
pub(crate) fn known_signers(
    conn: &mut Conn,
    package: Option<i64>,
) -> Result<Vec<(String, VersionCode, Signers)>, Fault> {
    let releasing = rollouts::table
        .filter(rollouts::serving)
        .select(rollouts::package_id);
    let mut signers = build_signers::table
        .inner_join(builds::table.inner_join(package_table::table))
        .filter(builds::package_id.eq_any(releasing))
        .order((package_table::id, builds::version_code, build_signers::from_sdk))
        .select((package_table::name, builds::version_code, SignerRow::as_select()))
        .into_boxed::<Db>();
    if let Some(package) = package {
        signers = signers.filter(builds::package_id.eq(package));
    }
    let rows: Vec<(String, i64, SignerRow)> = signers.load(conn)?;
    let mut grouped: Vec<(String, i64, i64, Vec<SignerRange>)> = Vec::new();
    for (name, version, row) in rows {
        let build = row.build_id;
        let range = row.into_range()?;
        match grouped.last_mut() {
            Some((_, _, last, ranges)) if *last == build => ranges.push(range),
            _ => grouped.push((name, version, build, vec![range])),
        }
    }
    let mut known = Vec::with_capacity(grouped.len());
    for (name, code, _, ranges) in grouped {
        known.push((
            name,
            version(code)?,
            parsed("build_signers", Signers::new(ranges))?,
        ));
    }
    Ok(known)
}
