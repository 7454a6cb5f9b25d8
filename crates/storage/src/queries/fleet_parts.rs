//! Reading the fleet part by part, with what each device runs of a package.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::Conn;
use crate::error::Fault;
use crate::rows::DeviceRow;

/// A device, and what it runs of the package.
#[derive(QueryableByName)]
pub(super) struct FleetRow {
    #[diesel(embed)]
    pub(super) device: DeviceRow,
    /// None: it never asked about the package.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) version_code: Option<i64>,
}

/// Which devices `d` a part is of: those after this one, of which each, or every second, third, … one is read.
pub(super) fn after(device: i64, one_of: u64) -> String {
    match one_of {
        0 | 1 => format!("d.id > {device}"),
        one_of => format!("d.id > {device} AND d.id % {one_of} = 0"),
    }
}

/// The first devices, by their numbers, of those that are active and of which `which` is true.
///
/// The part is cut before it is joined: otherwise PostgreSQL may join the whole fleet for each part of it.
pub(super) fn read(conn: &mut Conn, which: &str, limit: usize, package: i64) -> Result<Vec<FleetRow>, Fault> {
    let sql = format!(
        "SELECT d.*, p.version_code
         FROM (SELECT * FROM devices d
               WHERE {which} AND d.retired_at IS NULL AND d.inactive_at IS NULL
               ORDER BY d.id LIMIT {limit}) d
         LEFT JOIN device_packages p ON p.device_id = d.id AND p.package_id = {package}
         ORDER BY d.id"
    );
    Ok(diesel::sql_query(sql).load(conn)?)
}
