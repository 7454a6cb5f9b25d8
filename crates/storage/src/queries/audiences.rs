//! Asking audiences and rollouts about the fleet.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{Audience, Device, Overlay, PackageName, Subject, Track};

use super::{Conn, devices as device_queries, fleet_parts, tags};
use crate::audiences::{FleetExtent, FleetPart, MAX_AUDIENCE_EXAMPLES};
use crate::error::Fault;
use crate::rows::version;
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

/// Which devices of the fleet are asked about, and what has to be known of them.
struct Question<'a> {
    package: Option<&'a PackageName>,
    asks_for_tags: bool,
    numbers: &'a RangeInclusive<i64>,
    limit: u32,
}

pub(crate) fn part(
    conn: &mut Conn,
    audience: &Audience,
    package: Option<&PackageName>,
    numbers: &RangeInclusive<i64>,
    limit: u32,
) -> Result<FleetPart, Fault> {
    let question = Question {
        package,
        asks_for_tags: audience.asks_for_tags(),
        numbers,
        limit,
    };
    let (mut taken, mut examples) = (0, vec![]);
    let (seen, last) = each_device(conn, &question, |device, subject| {
        if audience.includes(&subject) {
            taken += 1;
            if examples.len() < MAX_AUDIENCE_EXAMPLES {
                examples.push(device.id.clone());
            }
        }
    })?;
    Ok(FleetPart {
        seen,
        taken: vec![taken],
        examples,
        last,
    })
}

pub(crate) fn board_part(
    conn: &mut Conn,
    track: &Track,
    numbers: &RangeInclusive<i64>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<FleetPart, Fault> {
    let mut audiences = track
        .serving
        .iter()
        .map(|release| &release.rollout.spec.settings.audience);
    let question = Question {
        package: Some(&track.package),
        asks_for_tags: audiences.any(Audience::asks_for_tags),
        numbers,
        limit,
    };
    let mut taken = vec![0; track.serving.len()];
    let (seen, last) = each_device(conn, &question, |device, subject| {
        let place = track.taken_by(device.id.as_str(), &subject, now);
        if let Some(count) = place.and_then(|place| taken.get_mut(place)) {
            *count += 1;
        }
    })?;
    Ok(FleetPart {
        seen,
        taken,
        examples: vec![],
        last,
    })
}

/// Shows each device that is asked about, and returns how many there were, and the number of the last one.
fn each_device(
    conn: &mut Conn,
    question: &Question<'_>,
    mut ask: impl FnMut(&Device, Subject<'_>),
) -> Result<(u64, Option<i64>), Fault> {
    let names: Vec<&str> = question.package.iter().map(|package| package.as_str()).collect();
    let packages = device_queries::package_ids(conn, &names)?;
    let package = packages.values().next().copied().unwrap_or_default();
    let (first, last, limit) = (question.numbers.start(), question.numbers.end(), question.limit);
    let which = format!("d.id BETWEEN {first} AND {last}");
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let candidates = fleet_parts::read(conn, &which, limit, package)?;
    let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.device.id).collect();
    let overlays = match question.asks_for_tags {
        true => tags::overlays(conn, &ids)?,
        false => HashMap::new(),
    };
    for (number, candidate) in ids.iter().zip(candidates) {
        let installed = version(candidate.version_code.unwrap_or_default())?;
        let device = candidate.device.into_device(vec![])?;
        let subject = Subject {
            facts: device.facts(),
            installed,
            tags: overlays.get(number).unwrap_or(Overlay::none()).tags(),
        };
        ask(&device, subject);
    }
    Ok((ids.len() as u64, ids.last().copied()))
}
