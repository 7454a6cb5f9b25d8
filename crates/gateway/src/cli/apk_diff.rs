//! How two builds differ, in words: what is the same takes one line or none.

use std::fmt::{Display, Write as _};

use tidegate_apk::{Change, Component, ComponentKind, Diff, Feature, Library, Lists, Permission};

use super::apk::levels;

/// The whole comparison.
pub(super) fn words(diff: &Diff) -> String {
    let mut words = String::new();
    let yes = |is: &bool| if *is { "yes" } else { "no" };
    let name = |name: &String| {
        if name.is_empty() {
            "none".to_owned()
        } else {
            name.clone()
        }
    };
    add(&mut words, "package", &diff.package, Clone::clone);
    add(&mut words, "version", &diff.version_code, ToString::to_string);
    add(&mut words, "name", &diff.version_name, name);
    add(&mut words, "minimum", &diff.min_sdk, |level| {
        format!("API level {level}")
    });
    add(&mut words, "written for", &diff.target_sdk, |level| {
        format!("API level {level}")
    });
    add(&mut words, "installs on", &diff.installs_on, |ranges| {
        levels(ranges)
    });
    add(&mut words, "debuggable", &diff.debuggable, yes);
    add(&mut words, "signers", &diff.signers, |signers| {
        if signers.is_empty() {
            "none".to_owned()
        } else {
            signers.join(", ")
        }
    });
    add_sizes(&mut words, diff);
    add_list(&mut words, "ABI", &diff.abis, Clone::clone);
    add_list(&mut words, "permission", &diff.permissions, permission);
    add_list(
        &mut words,
        "declared permission",
        &diff.declared_permissions,
        Clone::clone,
    );
    add_list(&mut words, "feature", &diff.features, |feature: &Feature| {
        optional(&feature.name, feature.required)
    });
    add_list(&mut words, "library", &diff.libraries, |library: &Library| {
        optional(&library.name, library.required)
    });
    add_list(&mut words, "exported", &diff.exported, component);
    add_list(&mut words, "native library", &diff.native_libraries, Clone::clone);
    for finding in &diff.update {
        let _ = writeln!(words, "update: {finding}");
    }
    words
}

/// `name: old -> new`, or the one value.
fn add<T: PartialEq, S: Display>(words: &mut String, name: &str, change: &Change<T>, show: impl Fn(&T) -> S) {
    let name = format!("{name}:");
    let _ = if change.is_change() {
        writeln!(words, "{name:<13}{} -> {}", show(&change.from), show(&change.to))
    } else {
        writeln!(words, "{name:<13}{}", show(&change.from))
    };
}

fn add_sizes(words: &mut String, diff: &Diff) {
    let (from, to) = (diff.sizes.from, diff.sizes.to);
    for (part, from, to) in [
        ("file", from.file, to.file),
        ("dex", from.dex, to.dex),
        ("native", from.native, to.native),
        ("resources", from.resources, to.resources),
        ("assets", from.assets, to.assets),
        ("other", from.other, to.other),
    ] {
        let change = i128::from(to) - i128::from(from);
        let _ = writeln!(words, "size, {part:<10}{from:>12} -> {to:>12} bytes ({change:+})");
    }
}

fn add_list<T>(words: &mut String, kind: &str, lists: &Lists<T>, show: impl Fn(&T) -> String) {
    for added in &lists.added {
        let _ = writeln!(words, "+ {kind} {}", show(added));
    }
    for removed in &lists.removed {
        let _ = writeln!(words, "- {kind} {}", show(removed));
    }
}

fn permission(permission: &Permission) -> String {
    match permission.max_sdk {
        Some(level) => format!("{} (up to API level {level})", permission.name),
        None => permission.name.clone(),
    }
}

fn optional(name: &str, required: bool) -> String {
    format!("{name}{}", if required { "" } else { " (not required)" })
}

fn component(component: &Component) -> String {
    let kind = match component.kind {
        ComponentKind::Activity => "activity",
        ComponentKind::ActivityAlias => "activity-alias",
        ComponentKind::Service => "service",
        ComponentKind::Receiver => "receiver",
        ComponentKind::Provider => "provider",
    };
    match &component.permission {
        Some(permission) => format!("{kind} {} (needs {permission})", component.name),
        None => format!("{kind} {} (for every app)", component.name),
    }
}
