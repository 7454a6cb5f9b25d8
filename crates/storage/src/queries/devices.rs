//! Devices' statements.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{BuildId, Device, DeviceId, PackageName, VersionCode};

use super::epochs::Epoch;
use super::responses::Installation;
use super::{BATCH, Conn, audit, epochs, execute_on, lock, rows};
use crate::device_build::{self, DeviceBuildRow};
use crate::error::Fault;
use crate::rows::{DeviceRow, clean, device_id, package_name, parsed, small, version};
use crate::schema::{builds, device_builds, device_packages, devices, packages};
use crate::time::{micros, moment_if};
use crate::{AuditNote, DeviceBuild, Error, MAX_DEVICE_BUILDS};

/// The numbers of those that exist. Until the transaction ends, nobody else changes anything about them.
pub(crate) fn hold(conn: &mut Conn, names: &BTreeSet<&str>) -> Result<HashMap<String, i64>, Fault> {
    let names: Vec<&str> = names.iter().copied().collect();
    let mut found = HashMap::with_capacity(names.len());
    for names in names.chunks(BATCH) {
        let rows = lock::devices(conn, names)?;
        found.extend(rows.into_iter().map(|(id, name)| (name, id)));
    }
    Ok(found)
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

/// What a device runs.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Installed {
    pub(crate) device_id: i64,
    pub(crate) package_id: i64,
    pub(crate) version_code: i64,
    pub(crate) seen_at: i64,
    pub(crate) cohort: u8,
}

impl Installed {
    pub(crate) fn as_installation(&self) -> Installation {
        Installation {
            device_id: self.device_id,
            package_id: self.package_id,
            at: self.seen_at,
        }
    }
}

/// Most polls bring no news, and write nothing here.
pub(crate) fn set_installed(conn: &mut Conn, installed: &[Installed]) -> Result<(), Fault> {
    let source = rows(&[
        ("device_id", "bigint"),
        ("package_id", "bigint"),
        ("version_code", "bigint"),
        ("seen_at", "bigint"),
        ("cohort", "integer"),
    ]);
    let sql = format!(
        "INSERT INTO device_packages (device_id, package_id, version_code, seen_at, cohort)
         SELECT device_id, package_id, version_code, seen_at, cohort FROM {source} WHERE true
         ON CONFLICT (device_id, package_id) DO UPDATE
         SET version_code = excluded.version_code, seen_at = excluded.seen_at
         WHERE device_packages.version_code <> excluded.version_code
           AND device_packages.seen_at <= excluded.seen_at"
    );
    for installed in installed.chunks(BATCH) {
        execute_on(conn, &sql, installed)?;
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
    store_fcm_token(conn, device, token, micros(now))
}

pub(crate) fn store_fcm_token(
    conn: &mut Conn,
    device: i64,
    token: Option<&str>,
    now: i64,
) -> Result<(), Fault> {
    diesel::update(devices::table.find(device))
        .set((
            devices::fcm_token.eq(token.map(clean)),
            devices::fcm_token_at.eq(token.map(|_| now)),
        ))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn revoke(conn: &mut Conn, id: &DeviceId, note: &AuditNote) -> Result<u32, Fault> {
    let generation: Option<i64> = diesel::update(devices::table.filter(devices::name.eq(id.as_str())))
        .set((
            devices::token_generation.eq(devices::token_generation + 1),
            devices::fcm_token.eq(None::<String>),
            devices::fcm_token_at.eq(None::<i64>),
        ))
        .returning(devices::token_generation)
        .get_result(conn)
        .optional()?;
    let generation = generation.ok_or_else(|| unknown(id))?;
    epochs::raise(conn, Epoch::Tokens)?;
    audit::append(conn, note)?;
    Ok(small("devices.token_generation", generation)?)
}

/// Refuses the tokens that a device was given so far, and returns the generation that is accepted from now on.
pub(crate) fn raise_generation(conn: &mut Conn, device: i64) -> Result<u32, Fault> {
    let generation: i64 = diesel::update(devices::table.find(device))
        .set(devices::token_generation.eq(devices::token_generation + 1))
        .returning(devices::token_generation)
        .get_result(conn)?;
    epochs::raise(conn, Epoch::Tokens)?;
    Ok(small("devices.token_generation", generation)?)
}

pub(crate) fn revoked(conn: &mut Conn) -> Result<Vec<(DeviceId, u32)>, Fault> {
    let rows: Vec<(String, i64)> = devices::table
        .filter(devices::token_generation.gt(1))
        .select((devices::name, devices::token_generation))
        .load(conn)?;
    let revoked: Result<Vec<_>, Error> = rows
        .into_iter()
        .map(|(name, generation)| Ok((device_id(&name)?, small("devices.token_generation", generation)?)))
        .collect();
    Ok(revoked?)
}

pub(crate) fn builds(conn: &mut Conn, id: &DeviceId) -> Result<Vec<DeviceBuild>, Fault> {
    let device = number(conn, id)?;
    let rows: Vec<(DeviceBuildRow, String, i64)> = device_builds::table
        .inner_join(builds::table.inner_join(packages::table))
        .filter(device_builds::device_id.eq(device))
        .order(device_builds::build_id.desc())
        .limit(MAX_DEVICE_BUILDS)
        .select((DeviceBuildRow::as_select(), packages::name, builds::version_code))
        .load(conn)?;
    let history: Result<Vec<DeviceBuild>, Error> = rows
        .into_iter()
        .map(|(account, package, code)| into_device_build(account, &package, code))
        .collect();
    Ok(history?)
}

fn into_device_build(account: DeviceBuildRow, package: &str, code: i64) -> Result<DeviceBuild, Error> {
    let last_status = account.last_status.as_deref().map(str::parse).transpose();
    Ok(DeviceBuild {
        build: BuildId(account.build_id),
        package: package_name(package)?,
        version_code: version(code)?,
        offered_at: moment_if(account.offered_at)?,
        downloaded_at: moment_if(account.downloaded_at)?,
        verify_failed_at: moment_if(account.verify_failed_at)?,
        install_failed_at: moment_if(account.install_failed_at)?,
        installed_at: moment_if(account.installed_at)?,
        last_status: parsed("device_builds.last_status", last_status)?,
        rejection: account.rejection()?,
        last_reason: account.last_reason,
        last_at: moment_if(account.last_at)?,
    })
}

/// The accounts of these pairs of device and build that exist.
pub(crate) fn accounts(conn: &mut Conn, pairs: &BTreeSet<(i64, i64)>) -> Result<Vec<DeviceBuildRow>, Fault> {
    #[derive(Serialize)]
    struct Pair {
        device_id: i64,
        build_id: i64,
    }
    // Crossed, not joined: SQLite keeps the order and looks each pair up by the primary key.
    let sql = format!(
        "SELECT b.* FROM {} CROSS JOIN device_builds b
         WHERE b.device_id = v.device_id AND b.build_id = v.build_id",
        rows(&device_build::COLUMNS[..2])
    );
    let pairs: Vec<Pair> = pairs
        .iter()
        .map(|&(device_id, build_id)| Pair { device_id, build_id })
        .collect();
    let mut found = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(BATCH) {
        let query = diesel::sql_query(&sql).bind::<diesel::sql_types::Text, _>(crate::rows::to_json(&pairs)?);
        found.extend(query.load::<DeviceBuildRow>(conn)?);
    }
    Ok(found)
}

/// Writes accounts whole; their devices are held by this transaction.
pub(crate) fn store_accounts(conn: &mut Conn, accounts: &[&DeviceBuildRow]) -> Result<(), Fault> {
    let names: Vec<&str> = device_build::COLUMNS.iter().map(|(name, _)| *name).collect();
    let updates: Vec<String> = names[2..]
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "INSERT INTO device_builds ({columns}) SELECT {columns} FROM {source} WHERE true
         ON CONFLICT (device_id, build_id) DO UPDATE SET {updates}",
        columns = names.join(", "),
        source = rows(&device_build::COLUMNS),
        updates = updates.join(", "),
    );
    for accounts in accounts.chunks(BATCH) {
        execute_on(conn, &sql, accounts)?;
    }
    Ok(())
}

fn number(conn: &mut Conn, id: &DeviceId) -> Result<i64, Fault> {
    let number = devices::table
        .filter(devices::name.eq(id.as_str()))
        .select(devices::id)
        .first(conn)
        .optional()?;
    Ok(number.ok_or_else(|| unknown(id))?)
}

fn unknown(id: &DeviceId) -> Error {
    Error::not_found(format!("device {id}"))
}
