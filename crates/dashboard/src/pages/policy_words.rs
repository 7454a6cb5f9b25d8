//! What a policy demands, in words: on the page of a device and in the list of all.

use chrono::{DateTime, Utc};
use tidegate_domain::Policy;

use crate::frame::until;

/// What it demands, a phrase each, and whether its hold is over.
pub(crate) fn demands(policy: &Policy, now: DateTime<Utc>) -> Vec<String> {
    let terms = &policy.spec.terms;
    let ceiling = terms
        .max_version
        .map(|version| format!("nothing above version code {version}"));
    let hold = terms.hold.map(|hold| {
        let over = if hold.stands(now) { "" } else { ", which is over" };
        format!("no update {}{over}", until(policy))
    });
    ceiling.into_iter().chain(hold).collect()
}

/// The package that it is about.
pub(crate) fn package(policy: &Policy) -> String {
    let package = policy.spec.package.as_ref();
    package.map_or_else(|| "all packages".to_owned(), ToString::to_string)
}
