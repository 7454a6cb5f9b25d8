//! Statements of imports.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use diesel::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::device_rows::{self, DeviceRow};
use super::devices::{self, Installed};
use super::{BATCH, Conn, audit, execute_on, rows};
use crate::error::Fault;
use crate::rows::clean_if;
use crate::schema::devices as device_table;
use crate::time::micros;
use crate::{AuditNote, DeviceImport, ImportOutcome, ImportedDevice};

/// What an import may change of a device that was imported before.
const CHANGED: [&str; 10] = [
    "alias",
    "alias_key",
    "model",
    "manufacturer",
    "sdk",
    "android_version",
    "region",
    "tags_json",
    "fcm_token",
    "fcm_token_at",
];

#[derive(Serialize)]
struct ImportRow<'a> {
    device_id: i64,
    previous_token: Option<&'a str>,
    imported_at: i64,
}

pub(crate) fn devices(
    conn: &mut Conn,
    import: &DeviceImport,
    note: &AuditNote,
) -> Result<ImportOutcome, Fault> {
    let names: BTreeSet<&str> = import.devices.iter().map(|device| device.id.as_str()).collect();
    let known = devices::hold(conn, &names)?;
    let has_enrolled = enrolled(conn, &known)?;
    let mut outcome = ImportOutcome::default();
    let mut taken: Vec<&ImportedDevice> = Vec::with_capacity(import.devices.len());
    for device in &import.devices {
        match known.get(device.id.as_str()) {
            Some(id) if has_enrolled.contains(id) => {
                outcome.enrolled.push(device.id.clone());
                continue;
            }
            Some(_) => outcome.updated += 1,
            None => outcome.added += 1,
        }
        taken.push(device);
    }
    let holders = fcm_holders(conn, &taken)?;
    let packages = known_packages(conn, &taken, &mut outcome)?;
    let rows = shapes(&taken, holders, micros(import.now), &mut outcome)?;
    if import.dry_run || taken.is_empty() {
        return Ok(outcome);
    }
    write(conn, &rows)?;
    let ids = devices::hold(conn, &names)?;
    write_imports(conn, &taken, &ids, micros(import.now))?;
    install(conn, &taken, &ids, &packages, micros(import.now))?;
    audit::append(conn, &with_outcome(note, &outcome))?;
    Ok(outcome)
}

/// Those of the devices that have enrolled here.
fn enrolled(conn: &mut Conn, known: &HashMap<String, i64>) -> Result<HashSet<i64>, Fault> {
    let ids: Vec<i64> = known.values().copied().collect();
    let mut found = HashSet::new();
    for ids in ids.chunks(BATCH) {
        let rows: Vec<i64> = device_table::table
            .filter(device_table::id.eq_any(ids))
            .filter(device_table::enrolled_generation.gt(0))
            .select(device_table::id)
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Who has each of the devices' FCM tokens.
fn fcm_holders(conn: &mut Conn, taken: &[&ImportedDevice]) -> Result<HashMap<String, String>, Fault> {
    let tokens: Vec<String> = taken
        .iter()
        .filter_map(|device| clean_if(device.fcm_token.as_deref()))
        .collect();
    let mut holders = HashMap::new();
    for tokens in tokens.chunks(BATCH) {
        let rows: Vec<(Option<String>, String)> = device_table::table
            .filter(device_table::fcm_token.eq_any(tokens))
            .select((device_table::fcm_token, device_table::name))
            .load(conn)?;
        holders.extend(
            rows.into_iter()
                .filter_map(|(token, name)| token.map(|token| (token, name))),
        );
    }
    Ok(holders)
}

/// The numbers of the packages that the devices run, and a count of those that are not known.
fn known_packages(
    conn: &mut Conn,
    taken: &[&ImportedDevice],
    outcome: &mut ImportOutcome,
) -> Result<HashMap<String, i64>, Fault> {
    let installed = || taken.iter().flat_map(|device| &device.installed);
    let names: BTreeSet<&str> = installed().map(|(package, _)| package.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let known = devices::package_ids(conn, &names)?;
    for (package, _) in installed() {
        if !known.contains_key(package.as_str()) {
            *outcome.unknown_packages.entry(package.clone()).or_default() += 1;
        }
    }
    Ok(known)
}

/// The devices' rows. An FCM token stays with the device that has it: an import is nobody's word but the old server's.
fn shapes<'a>(
    taken: &[&'a ImportedDevice],
    mut holders: HashMap<String, String>,
    now: i64,
    outcome: &mut ImportOutcome,
) -> Result<Vec<DeviceRow<'a>>, Fault> {
    let mut rows = Vec::with_capacity(taken.len());
    for device in taken {
        let (name, facts) = (device.id.as_str(), &device.facts);
        let fcm_token = clean_if(device.fcm_token.as_deref()).filter(|token| {
            let holder = holders.entry(token.clone()).or_insert_with(|| name.to_owned());
            holder == name
        });
        if device.fcm_token.is_some() && fcm_token.is_none() {
            outcome.fcm_token_taken.push(device.id.clone());
        }
        rows.push(DeviceRow::of(
            name,
            device.alias.as_deref(),
            facts,
            fcm_token.as_deref(),
            now,
        )?);
    }
    Ok(rows)
}

fn write(conn: &mut Conn, devices: &[DeviceRow<'_>]) -> Result<(), Fault> {
    let set: Vec<String> = CHANGED
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "{} ON CONFLICT (name) DO UPDATE SET {} WHERE devices.enrolled_generation = 0",
        device_rows::insert(),
        set.join(", ")
    );
    for devices in devices.chunks(BATCH) {
        execute_on(conn, &sql, devices)?;
    }
    Ok(())
}

fn write_imports(
    conn: &mut Conn,
    taken: &[&ImportedDevice],
    ids: &HashMap<String, i64>,
    now: i64,
) -> Result<(), Fault> {
    let imports: Vec<ImportRow<'_>> = taken
        .iter()
        .filter_map(|device| {
            Some(ImportRow {
                device_id: *ids.get(device.id.as_str())?,
                previous_token: device.previous_token.as_deref(),
                imported_at: now,
            })
        })
        .collect();
    // A device that was revoked since it was imported has no row left, and gets none again by an import.
    let sql = format!(
        "INSERT INTO imported_devices (device_id, previous_token, imported_at)
         SELECT v.device_id, v.previous_token, v.imported_at FROM {} JOIN devices d ON d.id = v.device_id
         WHERE d.enrolled_generation = 0 AND d.token_generation = 1
         ON CONFLICT (device_id) DO UPDATE SET previous_token = excluded.previous_token",
        rows(&[
            ("device_id", "bigint"),
            ("previous_token", "text"),
            ("imported_at", "bigint")
        ])
    );
    for imports in imports.chunks(BATCH) {
        execute_on(conn, &sql, imports)?;
    }
    Ok(())
}

fn install(
    conn: &mut Conn,
    taken: &[&ImportedDevice],
    ids: &HashMap<String, i64>,
    packages: &HashMap<String, i64>,
    now: i64,
) -> Result<(), Fault> {
    // A statement takes each device and package once; the last word counts.
    let mut installed: BTreeMap<(i64, i64), Installed> = BTreeMap::new();
    for device in taken {
        let name = device.id.as_str();
        let Some(&id) = ids.get(name) else { continue };
        for (package, version) in &device.installed {
            if let Some(&package) = packages.get(package.as_str()) {
                let reported = Installed::reported(id, package, version.get(), now, name);
                installed.insert((id, package), reported);
            }
        }
    }
    let installed: Vec<Installed> = installed.into_values().collect();
    devices::set_installed(conn, &installed)
}

fn with_outcome(note: &AuditNote, outcome: &ImportOutcome) -> AuditNote {
    AuditNote {
        after: Some(json!({
            "added": outcome.added,
            "updated": outcome.updated,
            "enrolled": outcome.enrolled.len(),
            "fcm_token_taken": outcome.fcm_token_taken.len(),
            "unknown_packages": outcome.unknown_packages.len(),
        })),
        ..note.clone()
    }
}
