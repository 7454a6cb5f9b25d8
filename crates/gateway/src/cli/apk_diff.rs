//! How two builds differ, in words: what is the same takes one line or none.

use std::fmt::{Display, Write as _};

use tidegate_apk::{Change, Diff, Lists};

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
    add_list(&mut words, "ABI", &diff.abis);
    add_list(&mut words, "permission", &diff.permissions);
    add_list(&mut words, "declared permission", &diff.declared_permissions);
    add_list(&mut words, "feature", &diff.features);
    add_list(&mut words, "library", &diff.libraries);
    add_list(&mut words, "exported", &diff.exported);
    add_list(&mut words, "native library", &diff.native_libraries);
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
    for ((part, from), (_, to)) in from.parts().into_iter().zip(to.parts()) {
        let change = i128::from(to) - i128::from(from);
        let _ = writeln!(words, "size, {part:<10}{from:>12} -> {to:>12} bytes ({change:+})");
    }
}

fn add_list<T: Display>(words: &mut String, kind: &str, lists: &Lists<T>) {
    for added in &lists.added {
        let _ = writeln!(words, "+ {kind} {added}");
    }
    for removed in &lists.removed {
        let _ = writeln!(words, "- {kind} {removed}");
    }
}
