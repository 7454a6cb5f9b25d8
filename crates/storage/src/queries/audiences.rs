//! Asking an audience about the fleet.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use tidegate_domain::{Audience, Overlay, PackageName, Subject};

use super::{Conn, devices as device_queries, tags};
use crate::audiences::{AudiencePart, FleetExtent, MAX_AUDIENCE_EXAMPLES};
use crate::error::Fault;
use crate::rows::{DeviceRow, version};
use crate::schema::devices;

pub(crate) fn extent(conn: &mut Conn) -> Result<FleetExtent, Fault> {
    let devices: i64 = devices::table
        .filter(devices::retired_at.is_null())
        .filter(devices::inactive_at.is_null())
        .count()
        .get_result(conn)?;
    let ends = devices::table.select((diesel::dsl::min(devices::id), diesel::dsl::max(devices::id)));
    let (first, last): (Option<i64>, Option<i64>) = ends.get_result(conn)?;
    Ok(FleetExtent {
        devices: u64::try_from(devices).unwrap_or(0),
        numbers: first.unwrap_or(1)..=last.unwrap_or(0),
    })
}

/// A device, and what it runs of the package.
#[derive(QueryableByName)]
struct Candidate {
    #[diesel(embed)]
    device: DeviceRow,
    #[diesel(sql_type = Nullable<BigInt>)]
    version_code: Option<i64>,
}

/// The part is cut before it is joined: otherwise PostgreSQL may join the whole fleet for each part of it.
pub(crate) fn part(
    conn: &mut Conn,
    audience: &Audience,
    package: Option<&PackageName>,
    numbers: &RangeInclusive<i64>,
    limit: u32,
) -> Result<AudiencePart, Fault> {
    let names: Vec<&str> = package.iter().map(|package| package.as_str()).collect();
    let packages = device_queries::package_ids(conn, &names)?;
    let package = packages.values().next().copied().unwrap_or_default();
    let (first, last) = (numbers.start(), numbers.end());
    let sql = format!(
        "SELECT d.*, p.version_code
         FROM (SELECT * FROM devices
               WHERE id BETWEEN {first} AND {last} AND retired_at IS NULL AND inactive_at IS NULL
               ORDER BY id LIMIT {limit}) d
         LEFT JOIN device_packages p ON p.device_id = d.id AND p.package_id = {package}
         ORDER BY d.id"
    );
    let candidates: Vec<Candidate> = diesel::sql_query(sql).load(conn)?;
    let overlays = match audience.asks_for_tags() {
        true => {
            let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.device.id).collect();
            tags::overlays(conn, &ids)?
        }
        false => HashMap::new(),
    };
    let mut part = AudiencePart::default();
    for candidate in candidates {
        let number = candidate.device.id;
        let installed = version(candidate.version_code.unwrap_or_default())?;
        let device = candidate.device.into_device(vec![])?;
        part.seen += 1;
        part.last = Some(number);
        let subject = Subject {
            facts: device.facts(),
            installed,
            tags: overlays.get(&number).unwrap_or(Overlay::none()).tags(),
        };
        if audience.includes(&subject) {
            part.taken += 1;
            if part.examples.len() < MAX_AUDIENCE_EXAMPLES {
                part.examples.push(device.id);
            }
        }
    }
    Ok(part)
}
