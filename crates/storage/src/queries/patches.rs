//! Patches' statements.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use tidegate_domain::{BuildId, PackageName, PatchState, Sha256, VersionCode, WantedPatch};

use super::epochs::{self, Epoch};
use super::{BATCH, Conn, NOW, builds};
use crate::error::Fault;
use crate::rows::{clean, package_name, parsed, small, version};
use crate::schema::{builds as build_table, packages, patches};
use crate::time::{moment, moment_if};
use crate::{Error, MAX_PATCH_ATTEMPTS, Patch, PatchEnd, PatchJob, StalePatch};

/// What is said of a patch whose makers were all lost.
const LOST: &str = "the server that made it was lost each time";

#[derive(QueryableByName)]
struct PatchRow {
    #[diesel(sql_type = Text)]
    package: String,
    #[diesel(sql_type = BigInt)]
    build_id: i64,
    #[diesel(sql_type = BigInt)]
    full_size: i64,
    #[diesel(sql_type = BigInt)]
    base_id: i64,
    #[diesel(sql_type = BigInt)]
    from_version: i64,
    #[diesel(sql_type = Binary)]
    base_sha256: Vec<u8>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    devices: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    size: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    sha256: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    wanted_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    made_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    took_ms: Option<i64>,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
}

impl PatchRow {
    fn into_patch(self) -> Result<Patch, Error> {
        Ok(Patch {
            package: package_name(&self.package)?,
            build: BuildId(self.build_id),
            full_size: count(self.full_size),
            base: BuildId(self.base_id),
            from_version: version(self.from_version)?,
            base_sha256: digest("builds.sha256", self.base_sha256)?,
            state: parsed("patches.state", self.state.parse())?,
            reason: self.reason,
            devices: count(self.devices),
            size: self.size.map(count),
            sha256: self
                .sha256
                .map(|bytes| digest("patches.sha256", bytes))
                .transpose()?,
            wanted_at: moment(self.wanted_at)?,
            made_at: moment_if(self.made_at)?,
            took: self.took_ms.map(|took| Duration::from_millis(count(took))),
            attempts: small("patches.attempts", self.attempts)?,
        })
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn micros_of(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2)
}

fn digest(column: &str, bytes: Vec<u8>) -> Result<Sha256, Error> {
    let digest = <[u8; 32]>::try_from(bytes);
    digest
        .map(Sha256)
        .map_err(|bytes| Error::corrupt(column, format!("has {} bytes", bytes.len())))
}

pub(crate) fn list(conn: &mut Conn, build: Option<BuildId>) -> Result<Vec<Patch>, Fault> {
    let of_build = build.map_or(String::new(), |build| format!("WHERE p.build_id = {build}"));
    let rows: Vec<PatchRow> = diesel::sql_query(format!(
        "SELECT k.name AS package, p.build_id, r.size AS full_size, p.base_id, b.version_code AS from_version,
                b.sha256 AS base_sha256, p.state, p.reason, p.devices, p.size, p.sha256, p.wanted_at, p.made_at, p.took_ms,
                p.attempts
         FROM patches p JOIN builds b ON b.id = p.base_id JOIN builds r ON r.id = p.build_id
         JOIN packages k ON k.id = r.package_id
         {of_build} ORDER BY p.build_id DESC, p.devices DESC, p.base_id DESC"
    ))
    .load(conn)?;
    let patches: Result<Vec<Patch>, Error> = rows.into_iter().map(PatchRow::into_patch).collect();
    Ok(patches?)
}

pub(crate) fn of_build(conn: &mut Conn, build: BuildId) -> Result<Vec<Patch>, Fault> {
    builds::get(conn, build)?;
    list(conn, Some(build))
}

pub(crate) fn kept_versions(
    conn: &mut Conn,
    package: &PackageName,
    versions: &[VersionCode],
) -> Result<Vec<VersionCode>, Fault> {
    let codes: Vec<i64> = versions.iter().map(|version| version.get()).collect();
    let mut kept = Vec::with_capacity(codes.len());
    for codes in codes.chunks(BATCH) {
        let found: Vec<i64> = build_table::table
            .inner_join(packages::table)
            .filter(packages::name.eq(package.as_str()))
            .filter(build_table::deleted_at.is_null())
            .filter(build_table::version_code.eq_any(codes))
            .select(build_table::version_code)
            .load(conn)?;
        for code in found {
            kept.push(version(code)?);
        }
    }
    Ok(kept)
}

/// The build of this version of the other one's package whose file is kept.
fn base_of(conn: &mut Conn, build: BuildId, from: VersionCode) -> Result<Option<i64>, Fault> {
    let package: Option<i64> = build_table::table
        .find(build.0)
        .filter(build_table::deleted_at.is_null())
        .select(build_table::package_id)
        .first(conn)
        .optional()?;
    let Some(package) = package else {
        return Ok(None);
    };
    Ok(build_table::table
        .filter(build_table::package_id.eq(package))
        .filter(build_table::version_code.eq(from.get()))
        .filter(build_table::deleted_at.is_null())
        .filter(build_table::id.ne(build.0))
        .select(build_table::id)
        .first(conn)
        .optional()?)
}

pub(crate) fn want(conn: &mut Conn, wanted: &[WantedPatch], budget: u64) -> Result<bool, Fault> {
    let known = list(conn, None)?;
    let by_key: BTreeMap<(BuildId, VersionCode), &Patch> = known
        .iter()
        .map(|patch| ((patch.build, patch.from_version), patch))
        .collect();
    let kept: u64 = known
        .iter()
        .filter(|patch| patch.sha256.is_some())
        .filter_map(|patch| patch.size)
        .sum();
    let (mut useful, mut added) = (HashSet::new(), false);
    for want in wanted {
        if let Some(known) = by_key.get(&(want.build, want.from)) {
            useful.insert((known.build, known.base));
            look_again(conn, known, want.devices)?;
        } else if kept < budget
            && let Some(base) = base_of(conn, want.build, want.from)?
        {
            add(conn, want, base)?;
            useful.insert((want.build, BuildId(base)));
            added = true;
        }
    }
    for patch in known
        .iter()
        .filter(|patch| !useful.contains(&(patch.build, patch.base)))
    {
        let from_now_on = format!(
            "UPDATE patches SET unwanted_at = {NOW} WHERE build_id = {} AND base_id = {} AND unwanted_at IS NULL",
            patch.build, patch.base
        );
        diesel::sql_query(from_now_on).execute(conn)?;
    }
    if added {
        epochs::raise(conn, Epoch::Patches)?;
    }
    Ok(added)
}

fn add(conn: &mut Conn, want: &WantedPatch, base: i64) -> Result<(), Fault> {
    diesel::sql_query(format!(
        "INSERT INTO patches (build_id, base_id, state, devices, wanted_at)
         VALUES ({}, {base}, 'wanted', {}, {NOW}) ON CONFLICT (build_id, base_id) DO NOTHING",
        want.build,
        number(want.devices)
    ))
    .execute(conn)?;
    Ok(())
}

/// Somebody has a use for it. How many matters only until it is made.
fn look_again(conn: &mut Conn, patch: &Patch, devices: u64) -> Result<(), Fault> {
    let row = patches::table.find((patch.build.0, patch.base.0));
    diesel::update(row.filter(patches::unwanted_at.is_not_null()))
        .set(patches::unwanted_at.eq(None::<i64>))
        .execute(conn)?;
    if patch.state != PatchState::Made && patch.devices != devices {
        diesel::update(row)
            .set(patches::devices.eq(number(devices)))
            .execute(conn)?;
    }
    Ok(())
}

pub(crate) fn stale(conn: &mut Conn, grace: Duration) -> Result<Vec<StalePatch>, Fault> {
    #[derive(QueryableByName)]
    struct StaleRow {
        #[diesel(sql_type = BigInt)]
        build_id: i64,
        #[diesel(sql_type = BigInt)]
        base_id: i64,
        #[diesel(sql_type = Nullable<Binary>)]
        sha256: Option<Vec<u8>>,
    }
    let rows: Vec<StaleRow> = diesel::sql_query(format!(
        "SELECT build_id, base_id, sha256 FROM patches
         WHERE unwanted_at <= {NOW} - {} AND (state <> 'making' OR until_at <= {NOW})
         ORDER BY build_id, base_id",
        micros_of(grace)
    ))
    .load(conn)?;
    let stale = rows.into_iter().map(|row| {
        let sha256 = row.sha256.map(|bytes| digest("patches.sha256", bytes));
        Ok::<_, Error>(StalePatch {
            build: BuildId(row.build_id),
            base: BuildId(row.base_id),
            sha256: sha256.transpose()?,
        })
    });
    Ok(stale.collect::<Result<_, Error>>()?)
}

pub(crate) fn forget(conn: &mut Conn, build: BuildId, base: BuildId) -> Result<bool, Fault> {
    let gone = diesel::sql_query(format!(
        "DELETE FROM patches WHERE build_id = {build} AND base_id = {base}
         AND unwanted_at IS NOT NULL AND (state <> 'making' OR until_at <= {NOW})"
    ))
    .execute(conn)?;
    if gone > 0 {
        epochs::raise(conn, Epoch::Patches)?;
    }
    Ok(gone > 0)
}

pub(crate) fn lose(conn: &mut Conn, build: BuildId, base: BuildId, sha256: Sha256) -> Result<bool, Fault> {
    let lost = diesel::sql_query(format!(
        "UPDATE patches SET state = 'wanted', sha256 = NULL, size = NULL, made_at = NULL, took_ms = NULL, attempts = 0
         WHERE build_id = {build} AND base_id = {base} AND sha256 = $1"
    ))
    .bind::<Binary, _>(sha256.0.to_vec())
    .execute(conn)?;
    if lost > 0 {
        epochs::raise(conn, Epoch::Patches)?;
    }
    Ok(lost > 0)
}

pub(crate) fn has_file(conn: &mut Conn, sha256: Sha256) -> Result<bool, Fault> {
    let found = patches::table.filter(patches::sha256.eq(sha256.0.to_vec()));
    Ok(diesel::select(diesel::dsl::exists(found)).get_result(conn)?)
}

/// What may be made now.
fn open() -> String {
    format!(
        "p.unwanted_at IS NULL AND p.attempts < {MAX_PATCH_ATTEMPTS}
         AND (p.state = 'wanted' OR (p.state = 'failed' AND p.retry_at <= {NOW})
              OR (p.state = 'making' AND p.until_at <= {NOW}))"
    )
}

/// Made too often by servers that were lost meanwhile.
fn given_up() -> String {
    format!("state = 'making' AND until_at <= {NOW} AND attempts >= {MAX_PATCH_ATTEMPTS}")
}

pub(crate) fn wait(conn: &mut Conn) -> Result<bool, Fault> {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = BigInt)]
        waiting: i64,
    }
    let waiting: Waiting = diesel::sql_query(format!(
        "SELECT count(*) AS waiting FROM patches p WHERE ({}) OR ({})",
        open(),
        given_up()
    ))
    .get_result(conn)?;
    Ok(waiting.waiting > 0)
}

#[derive(QueryableByName)]
struct Claimed {
    #[diesel(sql_type = BigInt)]
    build_id: i64,
    #[diesel(sql_type = BigInt)]
    base_id: i64,
}

pub(crate) fn claim(conn: &mut Conn, holder: &str, lasts: Duration) -> Result<Option<PatchJob>, Fault> {
    let lost = diesel::sql_query(format!(
        "UPDATE patches SET state = 'failed', reason = '{LOST}', holder = NULL, until_at = NULL, retry_at = NULL
         WHERE {}",
        given_up()
    ))
    .execute(conn)?;
    let next: Option<Claimed> = diesel::sql_query(format!(
        "SELECT p.build_id, p.base_id FROM patches p
         JOIN builds b ON b.id = p.base_id JOIN builds r ON r.id = p.build_id
         WHERE {} AND b.deleted_at IS NULL AND r.deleted_at IS NULL
         ORDER BY CASE p.state WHEN 'failed' THEN 1 ELSE 0 END, p.devices DESC, p.build_id, p.base_id LIMIT 1",
        open()
    ))
    .get_result(conn)
    .optional()?;
    // Whoever was quicker has changed the row, and the condition holds no longer.
    let taken = match &next {
        None => 0,
        Some(next) => diesel::sql_query(format!(
            "UPDATE patches AS p SET state = 'making', reason = NULL, holder = $1, until_at = {NOW} + $2,
                    retry_at = NULL, attempts = attempts + 1
             WHERE p.build_id = $3 AND p.base_id = $4 AND {}",
            open()
        ))
        .bind::<Text, _>(clean(holder))
        .bind::<BigInt, _>(micros_of(lasts))
        .bind::<BigInt, _>(next.build_id)
        .bind::<BigInt, _>(next.base_id)
        .execute(conn)?,
    };
    if lost + taken > 0 {
        epochs::raise(conn, Epoch::Patches)?;
    }
    match next {
        Some(next) if taken > 0 => job(conn, &next).map(Some),
        _ => Ok(None),
    }
}

fn job(conn: &mut Conn, claimed: &Claimed) -> Result<PatchJob, Fault> {
    let attempts: i64 = patches::table
        .find((claimed.build_id, claimed.base_id))
        .select(patches::attempts)
        .first(conn)?;
    Ok(PatchJob {
        build: builds::get(conn, BuildId(claimed.build_id))?,
        base: builds::get(conn, BuildId(claimed.base_id))?,
        attempts: small("patches.attempts", attempts)?,
    })
}

pub(crate) fn renew(
    conn: &mut Conn,
    build: BuildId,
    base: BuildId,
    holder: &str,
    lasts: Duration,
) -> Result<bool, Fault> {
    let renewed = diesel::sql_query(format!(
        "UPDATE patches SET until_at = {NOW} + $1
         WHERE build_id = {build} AND base_id = {base} AND state = 'making' AND holder = $2"
    ))
    .bind::<BigInt, _>(micros_of(lasts))
    .bind::<Text, _>(clean(holder))
    .execute(conn)?;
    Ok(renewed > 0)
}

pub(crate) fn end(
    conn: &mut Conn,
    build: BuildId,
    base: BuildId,
    holder: &str,
    end: &PatchEnd,
) -> Result<bool, Fault> {
    // SQLite numbers parameters as they come.
    let own = |holder: &str| {
        format!("build_id = {build} AND base_id = {base} AND state = 'making' AND holder = {holder}")
    };
    let free = "holder = NULL, until_at = NULL";
    let millis = |took: &Duration| i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let holder = clean(holder);
    let noted = match end {
        PatchEnd::Made { size, sha256, took } => diesel::sql_query(format!(
            "UPDATE patches SET state = 'made', {free}, size = {}, sha256 = $1, took_ms = {}, made_at = {NOW}
             WHERE {}",
            number(*size),
            millis(took),
            own("$2")
        ))
        .bind::<Binary, _>(sha256.0.to_vec())
        .bind::<Text, _>(holder)
        .execute(conn)?,
        PatchEnd::TooLarge { size, took } => diesel::sql_query(format!(
            "UPDATE patches SET state = 'too_large', {free}, size = {}, took_ms = {}, made_at = {NOW}
             WHERE {}",
            number(*size),
            millis(took),
            own("$1")
        ))
        .bind::<Text, _>(holder)
        .execute(conn)?,
        PatchEnd::Failed { reason, retry_after } => {
            let retry_at =
                retry_after.map_or("NULL".to_owned(), |after| format!("{NOW} + {}", micros_of(after)));
            diesel::sql_query(format!(
                "UPDATE patches SET state = 'failed', {free}, reason = $1, retry_at = {retry_at} WHERE {}",
                own("$2")
            ))
            .bind::<Text, _>(clean(reason))
            .bind::<Text, _>(holder)
            .execute(conn)?
        }
        PatchEnd::GivenBack => diesel::sql_query(format!(
            "UPDATE patches SET state = 'wanted', {free}, attempts = attempts - 1 WHERE {}",
            own("$1")
        ))
        .bind::<Text, _>(holder)
        .execute(conn)?,
    };
    if noted > 0 {
        epochs::raise(conn, Epoch::Patches)?;
    }
    Ok(noted > 0)
}
