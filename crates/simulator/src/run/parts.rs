//! Holds the parts of the fleet's overview to their promise: they add up, and each lists as many devices as it counts.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Run;
use super::balance::{ASK_EVERY, WRITING};
use crate::Error;
use crate::operator::{FleetParts, Operator};

impl Run<'_> {
    /// What is wrong with the parts, which the server counts every second or so.
    pub(super) async fn unequal_parts(&self) -> Result<Option<String>, Error> {
        let (operator, package) = (self.fleet.operator(), &self.plan.package);
        let begun = Instant::now();
        loop {
            let parts = operator.fleet_parts(package).await?;
            let listed = listed(operator, package, &parts).await?;
            let fault = fault(&parts, &listed, self.fleet.devices().count());
            if fault.is_none() || begun.elapsed() > WRITING {
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

/// The first thing that does not agree. Other devices than the run's may have the package as well.
fn fault(parts: &FleetParts, listed: &BTreeMap<String, usize>, at_least: usize) -> Option<String> {
    let sum: usize = parts.conditions.iter().map(|(_, devices)| devices).sum();
    if sum != parts.devices {
        return Some(format!(
            "the parts of the fleet add up to {sum} of {} devices",
            parts.devices
        ));
    }
    if sum < at_least {
        return Some(format!(
            "the parts of the fleet add up to {sum} devices, fewer than the {at_least} of this run"
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
