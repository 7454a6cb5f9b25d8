//! Statements for what a list of devices shows beside them.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use tidegate_domain::{BuildId, DeviceId, PackageName, VersionCode};

use super::statement::Statement;
use super::{BATCH, Conn};
use crate::device_columns::{LastOutcome, VersionNames};
use crate::error::Fault;
use crate::rows::{device_id, package_name, version};
use crate::schema::{builds, packages};
use crate::time::moment;

#[derive(QueryableByName)]
struct OutcomeRow {
    #[diesel(sql_type = Text)]
    device: String,
    #[diesel(sql_type = BigInt)]
    build_id: i64,
    #[diesel(sql_type = Text)]
    package: String,
    #[diesel(sql_type = Text)]
    version_name: String,
    #[diesel(sql_type = Text)]
    last_status: String,
    #[diesel(sql_type = Nullable<Text>)]
    last_reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    last_at: i64,
}

pub(crate) fn last_outcomes(
    conn: &mut Conn,
    ids: &[DeviceId],
) -> Result<HashMap<DeviceId, LastOutcome>, Fault> {
    let mut outcomes = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let begin =
            "SELECT d.name AS device, b.id AS build_id, p.name AS package, b.version_name, x.last_status,
              x.last_reason, x.last_at
            FROM devices d JOIN device_builds x ON x.device_id = d.id JOIN builds b ON b.id = x.build_id
            JOIN packages p ON p.id = b.package_id
            WHERE x.last_status IS NOT NULL
              AND x.last_at = (SELECT max(y.last_at) FROM device_builds y WHERE y.device_id = d.id)
              AND d.name IN (";
        let named = ids
            .iter()
            .enumerate()
            .fold(Statement::of(begin), |all, (at, id)| {
                let comma = if at == 0 { "" } else { ", " };
                all.and_then(comma).text(id.as_str())
            });
        let statement = named.and_then(") ORDER BY x.build_id");
        for row in statement.load::<OutcomeRow>(conn)? {
            let outcome = LastOutcome {
                build: BuildId(row.build_id),
                package: package_name(&row.package)?,
                version_name: row.version_name,
                status: row.last_status,
                reason: row.last_reason,
                at: moment(row.last_at)?,
            };
            outcomes.insert(device_id(&row.device)?, outcome);
        }
    }
    Ok(outcomes)
}

pub(crate) fn version_names(
    conn: &mut Conn,
    versions: &[(PackageName, VersionCode)],
) -> Result<VersionNames, Fault> {
    let names: BTreeSet<&str> = versions.iter().map(|(package, _)| package.as_str()).collect();
    let codes: BTreeSet<i64> = versions.iter().map(|(_, code)| code.get()).collect();
    let mut found = VersionNames::new();
    for codes in codes.into_iter().collect::<Vec<_>>().chunks(BATCH) {
        let rows: Vec<(String, i64, String)> = builds::table
            .inner_join(packages::table)
            .filter(packages::name.eq_any(&names))
            .filter(builds::version_code.eq_any(codes))
            .select((packages::name, builds::version_code, builds::version_name))
            .load(conn)?;
        for (package, code, name) in rows {
            found.insert((package_name(&package)?, version(code)?), name);
        }
    }
    Ok(found)
}
