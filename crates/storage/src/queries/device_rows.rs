//! Devices written many at a time.

use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::DeviceFacts;

use super::kept::Kept;
use super::{Conn, from_hex, rows};
use crate::Error;
use crate::error::Fault;
use crate::rows::{DeviceShape, clean_if};

/// A row of `devices`.
#[derive(Serialize)]
pub(super) struct DeviceRow<'a> {
    pub(super) name: &'a str,
    #[serde(flatten)]
    shape: DeviceShape,
    pub(super) fcm_token: Option<String>,
    fcm_token_at: Option<i64>,
    enrolled_generation: i64,
    command_generation: i64,
    key_hash: Option<String>,
}

/// The columns as they stand in the JSON; the key's hash is written as bytes.
const COLUMNS: [(&str, &str); 15] = [
    ("name", "text"),
    ("alias", "text"),
    ("alias_key", "text"),
    ("model", "text"),
    ("manufacturer", "text"),
    ("sdk", "bigint"),
    ("android_version", "text"),
    ("region", "text"),
    ("tags_json", "text"),
    ("enrolled_at", "bigint"),
    ("fcm_token", "text"),
    ("fcm_token_at", "bigint"),
    ("enrolled_generation", "bigint"),
    ("command_generation", "bigint"),
    ("key_hash", "text"),
];

/// A device that was added.
#[derive(QueryableByName)]
pub(super) struct Added {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(super) name: String,
}

impl<'a> DeviceRow<'a> {
    /// A device that has not enrolled.
    pub(super) fn of(
        name: &'a str,
        alias: Option<&str>,
        facts: &DeviceFacts<'_>,
        fcm_token: Option<&str>,
        now: i64,
    ) -> Result<Self, Error> {
        let fcm_token = clean_if(fcm_token);
        Ok(Self {
            name,
            shape: DeviceShape::of(alias, facts, now)?,
            fcm_token_at: fcm_token.as_ref().map(|_| now),
            fcm_token,
            enrolled_generation: 0,
            command_generation: 0,
            key_hash: None,
        })
    }

    /// The same in its first generation, with the hash of its enrolment key.
    pub(super) fn enrolled(self, key_hash: Option<&[u8; 32]>) -> Self {
        let hex = |hash: &[u8; 32]| tidegate_domain::Sha256(*hash).to_string();
        Self {
            enrolled_generation: 1,
            command_generation: 1,
            key_hash: key_hash.map(hex),
            ..self
        }
    }
}

/// The statement that inserts rows, up to what it does with those whose names are there.
pub(super) fn insert() -> String {
    let names: Vec<&str> = COLUMNS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != "key_hash")
        .collect();
    let names = names.join(", ");
    format!(
        "INSERT INTO devices ({names}, enrollment_key_hash) SELECT {names}, {} FROM {} WHERE true",
        from_hex("key_hash"),
        rows(&COLUMNS)
    )
}

/// Adds those of the devices that nobody knew.
pub(super) fn add(conn: &mut Conn, devices: &[DeviceRow<'_>]) -> Result<Vec<Added>, Fault> {
    let sql = format!("{} ON CONFLICT (name) DO NOTHING RETURNING id, name", insert());
    Ok(Kept::on(&sql, devices)?.load(conn)?)
}
