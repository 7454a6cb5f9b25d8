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
