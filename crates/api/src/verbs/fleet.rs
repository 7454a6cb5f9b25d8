//! The fleet as a whole.

use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, Fleet, FleetConditions, PackageConditions, TakenBack};

use super::optional_package;
use crate::messages::time;

/// Asks no database: what was counted last is in memory.
pub(crate) fn get(fleet: &Fleet, actor: &Actor, request: &v1::GetFleetRequest) -> Result<v1::Fleet, Error> {
    actor.require(Role::Viewer)?;
    let FleetConditions { packages, left_out } = match optional_package(&request.package_name)? {
        Some(package) => FleetConditions {
            packages: vec![fleet.conditions_of(&package)],
            left_out: 0,
        },
        None => fleet.conditions(),
    };
    let overview = fleet.overview();
    Ok(v1::Fleet {
        devices: count(overview.devices),
        inactive: count(overview.inactive),
        retired: count(overview.retired),
        seen_last_day: count(overview.seen_last_day),
        measured_at: overview.measured_at.and_then(time),
        packages: packages.into_iter().map(package).collect(),
        packages_left_out: i64::try_from(left_out).unwrap_or(i64::MAX),
    })
}

fn count(devices: u64) -> i64 {
    i64::try_from(devices).unwrap_or(i64::MAX)
}

fn package(of: PackageConditions) -> v1::FleetPackage {
    let part = |(condition, devices): (tidegate_service::Condition, u64)| v1::FleetPart {
        condition: condition.to_string(),
        devices: count(devices),
    };
    v1::FleetPackage {
        package_name: of.package.to_string(),
        devices: count(of.devices),
        conditions: of.conditions.into_iter().map(part).collect(),
        taken_back: of.taken_back.into_iter().map(taken_back).collect(),
    }
}

fn taken_back(of: TakenBack) -> v1::TakenBackVersion {
    let (at, by) = of.rolled_back.unzip();
    v1::TakenBackVersion {
        version_code: of.version.get(),
        version_name: of.name,
        build_id: of.build.0,
        rollout_id: of.rollout.0,
        devices: count(of.devices),
        rolled_back_at: at.and_then(time),
        rolled_back_by: by.unwrap_or_default(),
        forced: of.is_forced,
    }
}
