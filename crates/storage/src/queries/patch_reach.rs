//! Walking along the fleet for the versions from which devices can be led to a package's builds.

use std::collections::HashMap;

use tidegate_domain::{Audience, Overlay, PackageName, PatchReach, PolicySet, Subject, Track, patch_targets};

use super::{BATCH, Conn, audiences, devices as device_queries, fleet_parts, policies, rollouts, tags};
use crate::error::Fault;
use crate::rows::version;

/// What is asked about each device.
struct Question {
    id: i64,
    track: Track,
    policies: PolicySet,
    asks_for_tags: bool,
    /// Each device, or every second, third, … one.
    one_of: u64,
}

pub(crate) fn take(conn: &mut Conn, package: &PackageName, most: u64) -> Result<PatchReach, Fault> {
    let ids = device_queries::package_ids(conn, &[package.as_str()])?;
    let Some(id) = ids.get(package.as_str()).copied() else {
        return Ok(PatchReach::new());
    };
    let fleet = audiences::extent(conn)?.devices;
    let (track, policies) = (rollouts::load_track(conn, id, package)?, policies::all(conn)?);
    let mut addressed = track
        .serving
        .iter()
        .map(|release| &release.rollout.spec.settings.audience);
    let question = Question {
        id,
        asks_for_tags: policies.need_tags(package.as_str()) || addressed.any(Audience::asks_for_tags),
        track,
        policies,
        one_of: fleet.div_ceil(most.max(1)).max(1),
    };
    let (mut reach, mut after) = (PatchReach::new(), 0);
    while let Some(last) = question.ask(conn, after, &mut reach)? {
        after = last;
    }
    Ok(reach)
}

impl Question {
    /// Asks about one page, and returns the number of its last device.
    fn ask(&self, conn: &mut Conn, after: i64, reach: &mut PatchReach) -> Result<Option<i64>, Fault> {
        let which = fleet_parts::after(after, self.one_of);
        let candidates = fleet_parts::read(conn, &which, BATCH, self.id)?;
        let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.device.id).collect();
        let overlays = match self.asks_for_tags {
            true => tags::overlays(conn, &ids)?,
            false => HashMap::new(),
        };
        for (number, candidate) in ids.iter().zip(candidates) {
            let Some(installed) = candidate.version_code else {
                continue;
            };
            let device = candidate.device.into_device(vec![])?;
            let overlay = overlays.get(number).unwrap_or(Overlay::none());
            let subject = Subject {
                facts: device.facts(),
                installed: version(installed)?,
                tags: overlay.tags(),
            };
            let package = self.track.package.as_str();
            let ceiling = self.policies.ceiling_on(device.id.as_str(), package, overlay);
            for build in patch_targets(&self.track, &subject, ceiling.map(|(_, most)| most)) {
                *reach
                    .entry(build)
                    .or_default()
                    .entry(subject.installed)
                    .or_default() += self.one_of;
            }
        }
        Ok(ids.last().copied())
    }
}
