//! Holds the parts of the fleet's overview to their promise: they add up, and each lists as many devices as it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use super::balance::ASK_EVERY;
use crate::Error;
use crate::operator::{FleetParts, Operator};

/// How long the server is given to count what was done: it pauses for nineteen times as long as its last count took.
const COUNTING: Duration = Duration::from_secs(120);

impl Run<'_> {
    /// Whether the parts add up while the fleet lives on, and the server counts what it will. A server that is away is asked at
    /// the end.
    pub(super) async fn parts_so_far(&self) -> Option<String> {
        let parts = self.fleet.operator().fleet_parts(&self.plan.package).await;
        sums_up(&parts.ok()?)
    }

    /// What is wrong with the parts at the end.
    pub(super) async fn unequal_parts(&self) -> Result<Option<String>, Error> {
        let (operator, package) = (self.fleet.operator(), &self.plan.package);
        let begun = Instant::now();
        loop {
            let parts = operator.fleet_parts(package).await?;
            let listed = listed(operator, package, &parts).await?;
            let fault = fault(&parts, &listed, self.fleet.devices().count());
            if fault.is_none() || begun.elapsed() > COUNTING {
                return Ok(fault);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn listed(
    operator: &Operator,
    package: &str,
    parts: &FleetParts,
) -> Result<BTreeMap<String, usize>, Error> {
    let mut listed = BTreeMap::new();
    for (condition, _) in &parts.conditions {
        let devices = operator.devices_in(package, condition).await?;
        listed.insert(condition.clone(), devices);
    }
    Ok(listed)
}

fn sums_up(parts: &FleetParts) -> Option<String> {
    let sum: usize = parts.conditions.iter().map(|(_, devices)| devices).sum();
    (sum != parts.devices).then(|| {
        format!(
            "the parts of the fleet add up to {sum} of {} devices",
            parts.devices
        )
    })
}

/// The first thing that does not agree. Other devices than the run's may have the package as well.
fn fault(parts: &FleetParts, listed: &BTreeMap<String, usize>, at_least: usize) -> Option<String> {
    if let Some(fault) = sums_up(parts) {
        return Some(fault);
    }
    if parts.devices < at_least {
        return Some(format!(
            "the parts of the fleet add up to {} devices, fewer than the {at_least} of this run",
            parts.devices
        ));
    }
    let unequal = parts
        .conditions
        .iter()
        .find(|(condition, devices)| listed.get(condition) != Some(devices));
    unequal.map(|(condition, devices)| {
        let found = listed.get(condition).copied().unwrap_or(0);
        format!("{devices} devices count as {condition}, and {found} are listed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_add_up_are_told() {
        let parts = |devices, current, silent| FleetParts {
            devices,
            conditions: vec![("current".to_owned(), current), ("silent".to_owned(), silent)],
        };
        let listed = |current, silent| {
            BTreeMap::from([("current".to_owned(), current), ("silent".to_owned(), silent)])
        };
        assert_eq!(fault(&parts(5, 3, 2), &listed(3, 2), 5), None);
        let told = |parts, listed| fault(&parts, &listed, 5).unwrap();
        assert!(told(parts(6, 3, 2), listed(3, 2)).contains("5 of 6"));
        assert!(told(parts(4, 2, 2), listed(2, 2)).contains("fewer than the 5"));
        assert!(told(parts(5, 3, 2), listed(3, 1)).contains("2 devices count as silent, and 1"));
    }
}
