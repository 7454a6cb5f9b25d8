//! How the audit log names devices: by a random pseudonym that stands in the device's row and nowhere else. While there
//! is the row, readers are told the id; without it, the entries name nobody.

use std::collections::HashMap;

use diesel::prelude::*;

use super::Conn;
use crate::error::Fault;
use crate::rows::clean;
use crate::schema::devices;

/// What a target that names a device begins with, as callers and readers know it.
const DEVICE: &str = "device/";

/// What it begins with in the log.
const PSEUDONYM: &str = "pseudonym/";

/// A target as the log keeps it. One that is no device, or none that there is, stays as it is.
pub(crate) fn kept(conn: &mut Conn, target: &str) -> Result<String, Fault> {
    Ok(match of_device(conn, target)? {
        Some(pseudonym) => format!("{PSEUDONYM}{pseudonym}"),
        None => clean(target),
    })
}

/// The targets that entries about this one may have. Earlier entries name devices by their ids.
pub(crate) fn all_of(conn: &mut Conn, target: &str) -> Result<Vec<String>, Fault> {
    let pseudonym = of_device(conn, target)?;
    let kept = pseudonym.map(|pseudonym| format!("{PSEUDONYM}{pseudonym}"));
    Ok(std::iter::once(clean(target)).chain(kept).collect())
}

fn of_device(conn: &mut Conn, target: &str) -> Result<Option<String>, Fault> {
    let Some(id) = target.strip_prefix(DEVICE) else {
        return Ok(None);
    };
    let found: Option<Option<String>> = devices::table
        .filter(devices::name.eq(clean(id)))
        .select(devices::pseudonym)
        .first(conn)
        .optional()?;
    Ok(found.flatten())
}

/// The pseudonym in a target of the log, if there is one.
pub(crate) fn in_target(target: &str) -> Option<&str> {
    target.strip_prefix(PSEUDONYM)
}

/// What readers are told for these pseudonyms; those of erased devices are left out.
pub(crate) fn resolved(conn: &mut Conn, pseudonyms: &[&str]) -> Result<HashMap<String, String>, Fault> {
    if pseudonyms.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Option<String>, String)> = devices::table
        .filter(devices::pseudonym.eq_any(pseudonyms))
        .select((devices::pseudonym, devices::name))
        .load(conn)?;
    let told = rows
        .into_iter()
        .filter_map(|(pseudonym, name)| Some((pseudonym?, format!("{DEVICE}{name}"))));
    Ok(told.collect())
}
