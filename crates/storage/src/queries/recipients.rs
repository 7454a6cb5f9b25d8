//! Who a campaign is for: one delivery for each device that is meant.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Serialize;
use tidegate_domain::{
    BuildId, BuildRejection, Catalog, CompiledCalendars, Decision, DeliveryFailure, DeviceId, NudgeAudience,
    NudgeOrder, Overlay, PackageName, PollRequest, decide_until,
};

use super::{BATCH, Conn, catalog, execute_on, gate_entries, rows, tags};
use crate::device_build;
use crate::error::Fault;
use crate::rows::{DeviceRow, version};
use crate::schema::device_builds;

/// A campaign that is being written down.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) campaign: i64,
    pub(crate) package: Option<i64>,
    pub(crate) order: &'a NudgeOrder,
    pub(crate) now: DateTime<Utc>,
    /// The same in microseconds.
    pub(crate) at: i64,
}

/// Whether a device's credential was revoked and it did not enrol again since: `d` is the device.
pub(super) const REVOKED: &str =
    "d.token_generation > CASE d.enrolled_generation WHEN 0 THEN 1 ELSE d.enrolled_generation END";

/// The same, of a device that is in hand.
pub(crate) fn is_revoked(token_generation: i64, enrolled_generation: i64) -> bool {
    token_generation > enrolled_generation.max(1)
}

/// Writes the deliveries.
pub(crate) fn write(conn: &mut Conn, spec: &Draft<'_>) -> Result<(), Fault> {
    if let Some(named) = &spec.order.devices {
        unknown_devices(conn, spec, named)?;
    }
    match (spec.order.audience, &spec.order.devices, &spec.order.package) {
        (NudgeAudience::All, None, _) => fleet(conn, spec),
        (NudgeAudience::All, Some(named), _) => {
            let named: Vec<Named<'_>> = named.iter().map(Named::of).collect();
            for named in named.chunks(BATCH) {
                let source = format!(
                    "{} CROSS JOIN devices d WHERE d.name = v.name",
                    rows(&Named::COLUMNS)
                );
                execute_on(conn, &insert(spec, &source), named)?;
            }
            Ok(())
        }
        (NudgeAudience::Behind, named, Some(package)) => behind(conn, spec, package, named.as_deref()),
        (NudgeAudience::Behind, _, None) => {
            let fault = "must be named for the audience behind";
            Err(crate::Error::Rule(tidegate_domain::Error::invalid("package_name", fault)).into())
        }
    }
}

/// Every device that counts, in one statement.
fn fleet(conn: &mut Conn, spec: &Draft<'_>) -> Result<(), Fault> {
    diesel::sql_query(insert(
        spec,
        "devices d WHERE d.retired_at IS NULL AND d.inactive_at IS NULL",
    ))
    .execute(conn)?;
    Ok(())
}

/// The statement that makes deliveries of the devices `d` of this source.
fn insert(spec: &Draft<'_>, source: &str) -> String {
    let (campaign, at) = (spec.campaign, spec.at);
    let (revoked, no_token) = (DeliveryFailure::Revoked, DeliveryFailure::NoFcmToken);
    format!(
        "INSERT INTO nudge_deliveries (campaign_id, device_id, state, reason, attempts, due_at)
         SELECT {campaign}, d.id,
                CASE WHEN d.fcm_token IS NULL THEN 'failed' ELSE 'queued' END,
                CASE WHEN d.fcm_token IS NOT NULL THEN NULL
                     WHEN {REVOKED} THEN '{revoked}' ELSE '{no_token}' END,
                0, {at}
         FROM {source}"
    )
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> Named<'a> {
    const COLUMNS: [(&'static str, &'static str); 1] = [("name", "text")];

    fn of(id: &'a DeviceId) -> Self {
        Self { name: id.as_str() }
    }
}

/// The named devices that do not exist.
fn unknown_devices(conn: &mut Conn, spec: &Draft<'_>, named: &[DeviceId]) -> Result<(), Fault> {
    let named: Vec<Named<'_>> = named.iter().map(Named::of).collect();
    let sql = format!(
        "INSERT INTO nudge_unknown_devices (campaign_id, name) SELECT {}, v.name FROM {}
         WHERE NOT EXISTS (SELECT 1 FROM devices WHERE devices.name = v.name)",
        spec.campaign,
        rows(&Named::COLUMNS)
    );
    for named in named.chunks(BATCH) {
        execute_on(conn, &sql, named)?;
    }
    Ok(())
}

/// A device with all that the decision looks at.
#[derive(QueryableByName)]
struct Candidate {
    #[diesel(embed)]
    device: DeviceRow,
    /// None: it never asked about the package.
    #[diesel(sql_type = diesel::sql_types::Nullable<BigInt>)]
    version_code: Option<i64>,
}

#[derive(Serialize)]
struct Numbered {
    id: i64,
}

/// The devices that the poll's own decision offers something, and the control of a gate that watches them: read, judged and written in bounded batches. What their
/// last polls were told is no help: a nudge after a promotion is for those that have not polled since.
fn behind(
    conn: &mut Conn,
    spec: &Draft<'_>,
    package: &PackageName,
    named: Option<&[DeviceId]>,
) -> Result<(), Fault> {
    let (catalog, _) = catalog::load(conn)?;
    let catalog = catalog.with_openings(spec.now, &CompiledCalendars::default());
    let watched: Vec<PackageName> = catalog
        .gated_packages()
        .filter(|gated| *gated == package)
        .cloned()
        .collect();
    let catalog = catalog.with_fleets(&gate_entries::fleets(conn, &watched)?);
    let sql = insert(
        spec,
        &format!(
            "{} CROSS JOIN devices d WHERE d.id = v.id",
            rows(&[("id", "bigint")])
        ),
    );
    let write = |conn: &mut Conn, candidates: Vec<Candidate>| {
        let chosen = judge(conn, &catalog, package, spec, candidates)?;
        execute_on(conn, &sql, &chosen)?;
        Ok::<_, Fault>(())
    };
    let package_id = spec.package.unwrap_or_default();
    match named {
        Some(named) => {
            for named in named.chunks(BATCH) {
                let candidates = by_name(conn, package_id, named)?;
                write(conn, candidates)?;
            }
        }
        None => {
            let mut after = 0;
            loop {
                let candidates = page(conn, package_id, after)?;
                let Some(last) = candidates.last() else { break };
                after = last.device.id;
                write(conn, candidates)?;
            }
        }
    }
    Ok(())
}

const CANDIDATE: &str = "SELECT d.*, p.version_code";

/// The page is cut before it is joined: otherwise PostgreSQL may join the whole fleet for each page of it.
fn page(conn: &mut Conn, package: i64, after: i64) -> Result<Vec<Candidate>, Fault> {
    let sql = format!(
        "{CANDIDATE} FROM (SELECT * FROM devices WHERE id > {after} AND retired_at IS NULL AND inactive_at IS NULL ORDER BY id LIMIT {BATCH}) d
         LEFT JOIN device_packages p ON p.device_id = d.id AND p.package_id = {package}
         ORDER BY d.id"
    );
    Ok(diesel::sql_query(sql).load(conn)?)
}

fn by_name(conn: &mut Conn, package: i64, named: &[DeviceId]) -> Result<Vec<Candidate>, Fault> {
    let named: Vec<Named<'_>> = named.iter().map(Named::of).collect();
    let sql = format!(
        "{CANDIDATE} FROM {} CROSS JOIN devices d CROSS JOIN device_packages p
         WHERE d.name = v.name AND d.retired_at IS NULL AND p.device_id = d.id AND p.package_id = {package}",
        rows(&Named::COLUMNS)
    );
    let query = diesel::sql_query(sql).bind::<Text, _>(crate::rows::to_json(&named)?);
    Ok(query.load(conn)?)
}

/// Those that would be offered something if they polled now, by the rollout that the order names, if it names one; and
/// those that would be control of its gate.
fn judge(
    conn: &mut Conn,
    catalog: &Catalog,
    package: &PackageName,
    spec: &Draft<'_>,
    candidates: Vec<Candidate>,
) -> Result<Vec<Numbered>, Fault> {
    let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.device.id).collect();
    let overlays = tags::overlays(conn, &ids)?;
    let rejections = rejections_of(conn, ids)?;
    let mut chosen = Vec::new();
    for candidate in candidates {
        let (id, Some(installed)) = (candidate.device.id, candidate.version_code) else {
            continue;
        };
        let device = candidate.device.into_device(vec![])?;
        let rejections = rejections.get(&id).map_or(&[][..], Vec::as_slice);
        let (name, installed) = (device.id.as_str(), version(installed)?);
        let overlay = overlays.get(&id).unwrap_or(Overlay::none());
        let facts = device.facts();
        let request = PollRequest::new(name, package.as_str(), installed, facts, rejections, overlay);
        let found = decide_until(catalog, &request, spec.now);
        let rollout = match (found.decision, found.watch) {
            (Decision::Offer(offer), _) => offer.rollout.id,
            // Control is told nothing, and must be called as the treated are: whoever is woken polls sooner.
            (Decision::NoUpdate(_), Some(watch)) => watch.rollout,
            (Decision::NoUpdate(_), None) => continue,
        };
        if spec.order.rollout.is_none_or(|only| only == rollout) {
            chosen.push(Numbered { id });
        }
    }
    Ok(chosen)
}

/// The builds that each of these devices gave up.
pub(super) fn rejections_of(
    conn: &mut Conn,
    ids: Vec<i64>,
) -> Result<HashMap<i64, Vec<BuildRejection>>, Fault> {
    let rows: Vec<(i64, i64, Option<i64>, Option<i64>)> = device_builds::table
        .filter(device_builds::device_id.eq_any(ids))
        .filter(device_builds::rejected_generation.is_not_null())
        .select((
            device_builds::device_id,
            device_builds::build_id,
            device_builds::rejected_generation,
            device_builds::rejected_until_at,
        ))
        .load(conn)?;
    let mut found: HashMap<i64, Vec<BuildRejection>> = HashMap::new();
    for (device, build, retry_generation, until) in rows {
        let rejection = device_build::rejection(retry_generation, until)?;
        found
            .entry(device)
            .or_default()
            .extend(rejection.map(|rejection| (BuildId(build), rejection)));
    }
    Ok(found)
}
