//! Loading the catalog.

use std::collections::HashMap;

use diesel::prelude::*;
use tidegate_domain::{BuildId, Catalog, PackageCatalog, Release, SignerRange, Signers, VersionCode};

use super::{Conn, builds, epochs};
use crate::error::Fault;
use crate::rows::{RolloutRow, SignerRow, package_name, parsed, version};
use crate::schema::{build_signers, builds as build_table, packages, rollouts};
use crate::{Epochs, Error};

/// The caller's transaction makes the epochs those of this very catalog.
pub(crate) fn load(conn: &mut Conn) -> Result<(Catalog, Epochs), Fault> {
    let epochs = epochs::all(conn)?;
    let rows: Vec<(String, RolloutRow)> = rollouts::table
        .inner_join(packages::table)
        .filter(rollouts::serving)
        .order((rollouts::is_current.desc(), rollouts::id.desc()))
        .select((packages::name, RolloutRow::as_select()))
        .load(conn)?;
    let mut found = HashMap::new();
    let ids: Vec<i64> = rows.iter().map(|(_, row)| row.build_id).collect();
    for ids in ids.chunks(super::BATCH) {
        found.extend(builds::by_ids(conn, ids)?);
    }
    let mut catalog: HashMap<_, PackageCatalog> = HashMap::new();
    for (name, row) in rows {
        let build = found
            .get(&row.build_id)
            .ok_or_else(|| Error::corrupt("rollouts.build_id", BuildId(row.build_id)))?;
        let release = Release {
            rollout: row.into_rollout(&name)?,
            build: build.clone(),
        };
        catalog
            .entry(package_name(&name)?)
            .or_default()
            .serving
            .push(release);
    }
    for (name, version, signers) in known_signers(conn)? {
        if let Some(package) = catalog.get_mut(name.as_str()) {
            package.known_signers.push((version, signers));
        }
    }
    Ok((Catalog::new(catalog), epochs))
}

/// Of every build of the packages that release something, by package and ascending version.
fn known_signers(conn: &mut Conn) -> Result<Vec<(String, VersionCode, Signers)>, Fault> {
    let releasing = rollouts::table
        .filter(rollouts::serving)
        .select(rollouts::package_id);
    let rows: Vec<(String, i64, SignerRow)> = build_signers::table
        .inner_join(build_table::table.inner_join(packages::table))
        .filter(build_table::package_id.eq_any(releasing))
        .order((packages::id, build_table::version_code, build_signers::from_sdk))
        .select((packages::name, build_table::version_code, SignerRow::as_select()))
        .load(conn)?;
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
