//! What stands against a build where another build of the package is installed.

use super::{Finding, FindingCode, Levels};
use crate::Profile;
use crate::manifest::MANIFEST;

/// The first level, and the first target, with permissions that are asked for while the app runs.
const RUNTIME_PERMISSIONS: u32 = 23;

/// What devices that have `current` installed, and their operators, should know of `next`. The signer and the
/// version code are judged elsewhere.
///
/// A new permission can be refused because an app that is not known here owns it, so it is told without blocking.
#[must_use]
pub fn update_findings(current: &Profile, next: &Profile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if current.shared_user != next.shared_user {
        let name = |user: &Option<String>| user.clone().unwrap_or_else(|| "none".to_owned());
        let detail = format!(
            "sharedUserId is {}, and the current build's is {}: devices refuse the update (-8, -24)",
            name(&next.shared_user),
            name(&current.shared_user)
        );
        findings.push(Finding::blocking(
            FindingCode::SharedUserChanged,
            Levels::ALL,
            MANIFEST,
            detail,
        ));
    }
    findings.extend(lower_target(current.target_sdk, next.target_sdk));
    findings.extend(fewer_abis(&current.abis, &next.abis));
    let (old, new) = (
        &current.details.declared_permissions,
        &next.details.declared_permissions,
    );
    for name in new.iter().filter(|name| !old.contains(name)) {
        let detail = format!("declares the permission {name}: refused where another app owns it (-112)");
        findings.push(Finding::note(
            FindingCode::PermissionAdded,
            Levels::ALL,
            MANIFEST,
            detail,
        ));
    }
    for name in old.iter().filter(|name| !new.contains(name)) {
        let detail = format!("no longer declares the permission {name}: apps that use it lose it");
        findings.push(Finding::note(
            FindingCode::PermissionRemoved,
            Levels::ALL,
            MANIFEST,
            detail,
        ));
    }
    findings
}

/// That devices of some ABIs, which run the current build, can't run the next one. One without native code runs on all.
fn fewer_abis(current: &[String], next: &[String]) -> Option<Finding> {
    let lost: Vec<_> = current
        .iter()
        .filter(|abi| !next.contains(abi))
        .cloned()
        .collect();
    let detail = match (current.is_empty(), next.is_empty()) {
        (_, true) => return None,
        (true, false) => format!(
            "has native libraries for {} alone, and the current build needs none: other devices can't run it",
            next.join(", ")
        ),
        (false, false) if lost.is_empty() => return None,
        (false, false) => format!(
            "has none for {}, for which the current build has: devices that run nothing else can't run it",
            lost.join(", ")
        ),
    };
    Some(Finding::note(FindingCode::AbiRemoved, Levels::ALL, "lib", detail))
}

fn lower_target(current: u32, next: u32) -> Option<Finding> {
    if next >= current {
        return None;
    }
    let detail = format!("targetSdkVersion is {next}, and the current build's is {current}");
    Some(if next < RUNTIME_PERMISSIONS && current >= RUNTIME_PERMISSIONS {
        let detail = format!("{detail}: devices refuse to go back to permissions at installation (-26)");
        let levels = Levels::from(RUNTIME_PERMISSIONS);
        Finding::blocking(FindingCode::PermissionModelLowered, levels, MANIFEST, detail)
    } else {
        let detail = format!("{detail}: it loses behaviour that it was tested with");
        Finding::note(FindingCode::TargetLowered, Levels::ALL, MANIFEST, detail)
    })
}
