//! Devices' statements.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde::Serialize;
use tidegate_domain::{BuildId, Device, DeviceId, PackageName, RolloutId, VersionCode};

use super::epochs::Epoch;
use super::kept::Kept;
use super::responses::Installation;
use super::{BATCH, Conn, audit, epochs, gate_entries, lock, rows};
use crate::device_build::{DeviceBuildRow, DeviceRolloutRow};
use crate::error::Fault;
use crate::rows::{DeviceRow, clean, device_id, package_name, small, version};
use crate::schema::{
    builds, device_builds, device_packages, device_rollouts, devices, imported_devices, packages,
};
use crate::time::micros;
use crate::{AuditNote, BuildOnDevice, Error, MAX_DEVICE_BUILDS, RolloutOnDevice, Seen, Told};

/// The numbers of those that exist. Until the transaction ends, nobody else changes anything about them.
pub(crate) fn hold(conn: &mut Conn, names: &BTreeSet<&str>) -> Result<HashMap<String, i64>, Fault> {
    let names: Vec<&str> = names.iter().copied().collect();
    let mut found = HashMap::with_capacity(names.len());
    for names in names.chunks(BATCH) {
        let rows = lock::devices(conn, names)?;
        found.extend(rows.into_iter().map(|row| (row.name, row.id)));
    }
    Ok(found)
}

/// A device that the transaction holds.
#[derive(Queryable, Selectable)]
#[diesel(table_name = devices)]
pub(crate) struct HeldRow {
    id: i64,
    name: String,
    retired_at: Option<i64>,
    inactive_at: Option<i64>,
}

/// Devices of the fleet that the transaction holds.
#[derive(Default)]
pub(crate) struct Present {
    /// Their numbers by their names.
    pub(crate) ids: HashMap<String, i64>,
    /// Those that are not counted because they had not polled for long.
    pub(crate) inactive: Vec<i64>,
}

/// As [`hold`], without the retired ones: what they still had under way is not to bring them back.
pub(crate) fn hold_present(conn: &mut Conn, names: &BTreeSet<&str>) -> Result<Present, Fault> {
    let names: Vec<&str> = names.iter().copied().collect();
    let mut present = Present::default();
    for names in names.chunks(BATCH) {
        for row in lock::devices(conn, names)? {
            if row.retired_at.is_some() {
                continue;
            }
            if row.inactive_at.is_some() {
                present.inactive.push(row.id);
            }
            present.ids.insert(row.name, row.id);
        }
    }
    Ok(present)
}

/// The numbers of the packages that exist.
pub(crate) fn package_ids(conn: &mut Conn, names: &[&str]) -> Result<HashMap<String, i64>, Fault> {
    let mut found = HashMap::new();
    for names in names.chunks(BATCH) {
        let rows: Vec<(String, i64)> = packages::table
            .filter(packages::name.eq_any(names))
            .select((packages::name, packages::id))
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// What a device runs, and what its last poll was told.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Installed {
    pub(crate) device_id: i64,
    pub(crate) package_id: i64,
    pub(crate) version_code: i64,
    pub(crate) seen_at: i64,
    pub(crate) cohort: u8,
    standing: Option<&'static str>,
    crashes: Option<u32>,
}

const INSTALLED_COLUMNS: [(&str, &str); 7] = [
    ("device_id", "bigint"),
    ("package_id", "bigint"),
    ("version_code", "bigint"),
    ("seen_at", "bigint"),
    ("cohort", "integer"),
    ("standing", "text"),
    ("crashes", "bigint"),
];

impl Installed {
    /// As the device reported or said at its enrolment.
    pub(crate) fn reported(
        device_id: i64,
        package_id: i64,
        version_code: i64,
        seen_at: i64,
        name: &str,
    ) -> Self {
        Self {
            device_id,
            package_id,
            version_code,
            seen_at,
            cohort: tidegate_domain::cohort(name),
            standing: None,
            crashes: None,
        }
    }

    /// As its poll said, and was told.
    pub(crate) fn polled(device_id: i64, package_id: i64, seen: &Seen) -> Self {
        Self {
            standing: Some(seen.told.as_str()),
            crashes: seen.crashes,
            ..Self::reported(
                device_id,
                package_id,
                seen.installed.get(),
                micros(seen.at),
                seen.device.as_str(),
            )
        }
    }

    pub(crate) fn as_installation(&self) -> Installation {
        Installation {
            device_id: self.device_id,
            package_id: self.package_id,
            at: self.seen_at,
        }
    }
}

/// What devices run, by their own word between two polls. What they were told stays as it is.
pub(crate) fn set_installed(conn: &mut Conn, installed: &[Installed]) -> Result<(), Fault> {
    upsert_installed(
        conn,
        installed,
        "version_code = excluded.version_code, seen_at = excluded.seen_at",
        "device_packages.version_code <> excluded.version_code",
    )
}

/// What devices run and were told. Most polls bring no news, and write nothing here.
pub(crate) fn set_polled(conn: &mut Conn, polled: &[Installed]) -> Result<(), Fault> {
    upsert_installed(
        conn,
        polled,
        "version_code = excluded.version_code, seen_at = excluded.seen_at,
         standing = excluded.standing, crashes = excluded.crashes",
        "(device_packages.version_code <> excluded.version_code
          OR device_packages.standing IS DISTINCT FROM excluded.standing
          OR device_packages.crashes IS DISTINCT FROM excluded.crashes)",
    )
}

fn upsert_installed(conn: &mut Conn, installed: &[Installed], set: &str, news: &str) -> Result<(), Fault> {
    let names: Vec<&str> = INSTALLED_COLUMNS.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let sql = format!(
        "INSERT INTO device_packages ({names}, counted)
         SELECT {names}, (SELECT d.retired_at IS NULL AND d.inactive_at IS NULL FROM devices d WHERE d.id = v.device_id)
         FROM {} WHERE true
         ON CONFLICT (device_id, package_id) DO UPDATE SET {set}
         WHERE {news} AND device_packages.seen_at <= excluded.seen_at",
        rows(&INSTALLED_COLUMNS)
    );
    for installed in installed.chunks(BATCH) {
        Kept::on(&sql, installed)?.run(conn)?;
    }
    Ok(())
}

pub(crate) fn get(conn: &mut Conn, id: &DeviceId) -> Result<Device, Fault> {
    let row: Option<DeviceRow> = devices::table
        .filter(devices::name.eq(id.as_str()))
        .select(DeviceRow::as_select())
        .first(conn)
        .optional()?;
    let mut found = with_installed(conn, row.into_iter().collect())?;
    Ok(found.pop().ok_or_else(|| unknown(id))?)
}

pub(crate) fn with_installed(conn: &mut Conn, rows: Vec<DeviceRow>) -> Result<Vec<Device>, Fault> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let installed: Vec<(i64, String, i64)> = device_packages::table
        .inner_join(packages::table)
        .filter(device_packages::device_id.eq_any(ids))
        .filter(device_packages::version_code.gt(0))
        .order(packages::name)
        .select((
            device_packages::device_id,
            packages::name,
            device_packages::version_code,
        ))
        .load(conn)?;
    let mut by_device: HashMap<i64, Vec<(PackageName, VersionCode)>> = HashMap::new();
    for (device, name, code) in installed {
        let entry = (package_name(&name)?, version(code)?);
        by_device.entry(device).or_default().push(entry);
    }
    let devices: Result<Vec<Device>, Error> = rows
        .into_iter()
        .map(|row| {
            let installed = by_device.remove(&row.id).unwrap_or_default();
            row.into_device(installed)
        })
        .collect();
    Ok(devices?)
}

pub(crate) fn set_fcm_token(
    conn: &mut Conn,
    id: &DeviceId,
    token: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let device = number(conn, id)?;
    store_fcm_token(conn, device, token, micros(now))?;
    // Only the device's own credential leads here.
    diesel::update(
        devices::table
            .find(device)
            .filter(devices::token_used_at.is_null()),
    )
    .set(devices::token_used_at.eq(micros(now)))
    .execute(conn)?;
    Ok(())
}

/// A token leads to one phone: it is that of the device that told it last, and of no other.
pub(crate) fn store_fcm_token(
    conn: &mut Conn,
    device: i64,
    token: Option<&str>,
    now: i64,
) -> Result<(), Fault> {
    if let Some(token) = token {
        let others = devices::table
            .filter(devices::fcm_token.eq(clean(token)))
            .filter(devices::id.ne(device));
        diesel::update(others)
            .set((
                devices::fcm_token.eq(None::<String>),
                devices::fcm_token_at.eq(None::<i64>),
            ))
            .execute(conn)?;
    }
    diesel::update(devices::table.find(device))
        .set((
            devices::fcm_token.eq(token.map(clean)),
            devices::fcm_token_at.eq(token.map(|_| now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Forgets what a device said of itself in its polls, and what they were told.
pub(crate) fn forget_polled(conn: &mut Conn, device: i64) -> Result<(), Fault> {
    diesel::update(devices::table.find(device))
        .set(devices::polled_json.eq(None::<String>))
        .execute(conn)?;
    diesel::update(device_packages::table.filter(device_packages::device_id.eq(device)))
        .set((
            device_packages::standing.eq(None::<String>),
            device_packages::crashes.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn revoke(conn: &mut Conn, id: &DeviceId, note: &AuditNote) -> Result<u32, Fault> {
    let device: Option<i64> = diesel::update(devices::table.filter(devices::name.eq(id.as_str())))
        .set((
            devices::fcm_token.eq(None::<String>),
            devices::fcm_token_at.eq(None::<i64>),
        ))
        .returning(devices::id)
        .get_result(conn)
        .optional()?;
    let device = device.ok_or_else(|| unknown(id))?;
    let generation = raise_generation(conn, device)?;
    gate_entries::leave(conn, &[device])?;
    // What it could have moved with ends as well.
    diesel::delete(imported_devices::table.find(device)).execute(conn)?;
    audit::append(conn, note)?;
    Ok(generation)
}

/// Refuses the tokens that a device was given so far, and returns the generation that is accepted from now on. The
/// device is held by the transaction.
pub(crate) fn raise_generation(conn: &mut Conn, device: i64) -> Result<u32, Fault> {
    let epoch = epochs::raise(conn, Epoch::Tokens)?;
    let generation: i64 = diesel::update(devices::table.find(device))
        .set((
            devices::token_generation.eq(devices::token_generation + 1),
            devices::token_epoch.eq(epoch),
        ))
        .returning(devices::token_generation)
        .get_result(conn)?;
    Ok(small("devices.token_generation", generation)?)
}

/// The devices whose generation was raised after this value of the tokens' epoch.
pub(crate) fn revoked_since(conn: &mut Conn, epoch: i64) -> Result<Vec<(DeviceId, u32)>, Fault> {
    let rows: Vec<(String, i64)> = devices::table
        .filter(devices::token_epoch.gt(epoch))
        // In the words of the index, which a bound 0 is not.
        .filter(sql::<Bool>("devices.token_epoch > 0"))
        .select((devices::name, devices::token_generation))
        .load(conn)?;
    into_generations(rows)
}

/// All devices whose generation was ever raised.
pub(crate) fn revoked(conn: &mut Conn) -> Result<Vec<(DeviceId, u32)>, Fault> {
    let rows: Vec<(String, i64)> = devices::table
        .filter(devices::token_generation.gt(1))
        .select((devices::name, devices::token_generation))
        .load(conn)?;
    into_generations(rows)
}

fn into_generations(rows: Vec<(String, i64)>) -> Result<Vec<(DeviceId, u32)>, Fault> {
    let generations: Result<Vec<_>, Error> = rows
        .into_iter()
        .map(|(name, generation)| Ok((device_id(&name)?, small("devices.token_generation", generation)?)))
        .collect();
    Ok(generations?)
}

pub(crate) fn builds(conn: &mut Conn, id: &DeviceId) -> Result<Vec<BuildOnDevice>, Fault> {
    let device = number(conn, id)?;
    let rows: Vec<(DeviceBuildRow, String, i64)> = device_builds::table
        .inner_join(builds::table.inner_join(packages::table))
        .filter(device_builds::device_id.eq(device))
        .order(device_builds::build_id.desc())
        .limit(MAX_DEVICE_BUILDS)
        .select((DeviceBuildRow::as_select(), packages::name, builds::version_code))
        .load(conn)?;
    let found: Result<Vec<BuildOnDevice>, Error> = rows
        .into_iter()
        .map(|(row, package, code)| {
            Ok(BuildOnDevice {
                build: BuildId(row.build_id),
                package: package_name(&package)?,
                version_code: version(code)?,
                history: row.into_history()?,
            })
        })
        .collect();
    Ok(found?)
}

/// What a device did with the builds that rollouts offered it, newest rollout first.
pub(crate) fn rollouts(conn: &mut Conn, id: &DeviceId) -> Result<Vec<RolloutOnDevice>, Fault> {
    let device = number(conn, id)?;
    let rows: Vec<DeviceRolloutRow> = device_rollouts::table
        .filter(device_rollouts::device_id.eq(device))
        .order((
            device_rollouts::rollout_id.desc(),
            device_rollouts::build_id.desc(),
        ))
        .limit(MAX_DEVICE_BUILDS)
        .select(DeviceRolloutRow::as_select())
        .load(conn)?;
    let found: Result<Vec<RolloutOnDevice>, Error> = rows
        .into_iter()
        .map(|row| {
            let (rollout, build) = (RolloutId(row.rollout_id), BuildId(row.build_id));
            let history = row.into_history()?;
            Ok(RolloutOnDevice {
                rollout,
                build,
                milestones: history.milestones,
                last: history.last,
            })
        })
        .collect();
    Ok(found?)
}

/// What a device's last poll for each package was told.
pub(crate) fn standings(conn: &mut Conn, id: &DeviceId) -> Result<Vec<(PackageName, String)>, Fault> {
    let device = number(conn, id)?;
    let rows: Vec<(String, Option<String>)> = device_packages::table
        .inner_join(packages::table)
        .filter(device_packages::device_id.eq(device))
        .filter(device_packages::standing.is_not_null())
        .order(packages::name)
        .select((packages::name, device_packages::standing))
        .load(conn)?;
    let found: Result<Vec<_>, Error> = rows
        .into_iter()
        .map(|(package, standing)| Ok((package_name(&package)?, standing.unwrap_or_default())))
        .collect();
    Ok(found?)
}

/// What the last polls of several devices were told, by package.
pub(crate) fn standings_of(
    conn: &mut Conn,
    ids: &[DeviceId],
) -> Result<HashMap<DeviceId, Vec<(PackageName, Told)>>, Fault> {
    let mut found: HashMap<DeviceId, Vec<(PackageName, Told)>> = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let names: Vec<&str> = ids.iter().map(DeviceId::as_str).collect();
        let rows: Vec<(String, String, Option<String>)> = device_packages::table
            .inner_join(packages::table)
            .inner_join(devices::table)
            .filter(devices::name.eq_any(names))
            .order(packages::name)
            .select((devices::name, packages::name, device_packages::standing))
            .load(conn)?;
        for (device, package, standing) in rows {
            let told = Told::of_stored(standing.as_deref());
            found
                .entry(device_id(&device)?)
                .or_default()
                .push((package_name(&package)?, told));
        }
    }
    Ok(found)
}

pub(super) fn number(conn: &mut Conn, id: &DeviceId) -> Result<i64, Fault> {
    let number = devices::table
        .filter(devices::name.eq(id.as_str()))
        .select(devices::id)
        .first(conn)
        .optional()?;
    Ok(number.ok_or_else(|| unknown(id))?)
}

pub(crate) fn unknown(id: &DeviceId) -> Error {
    Error::not_found(format!("device {id}"))
}
