//! What an operator wants to know before one build takes another's place.

use serde::Serialize;

use crate::install::{Finding, Levels, update_findings};
use crate::manifest::{Component, Feature, Library, Permission};
use crate::{Profile, Sizes};

/// A value in both builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// In the first build.
    pub from: T,
    /// In the second.
    pub to: T,
}

impl<T: PartialEq> Change<T> {
    /// Whether it is another.
    pub fn is_change(&self) -> bool {
        self.from != self.to
    }
}

/// What only one of the builds has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lists<T> {
    /// What the second build has and the first has not.
    pub added: Vec<T>,
    /// What the first build has and the second has not.
    pub removed: Vec<T>,
}

impl<T> Lists<T> {
    /// Whether both have the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// How two builds differ. Values are told for both builds also where they are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The application id; two packages are no builds of one app.
    pub package: Change<String>,
    /// The version code.
    pub version_code: Change<i64>,
    /// The version's name.
    pub version_name: Change<String>,
    /// The lowest SDK level.
    pub min_sdk: Change<u32>,
    /// The SDK level it is written for.
    pub target_sdk: Change<u32>,
    /// Whether a debugger may attach.
    pub debuggable: Change<bool>,
    /// The levels on which it installs.
    pub installs_on: Change<Vec<Levels>>,
    /// Claimed signers by SHA-256 of the certificate, newest scheme first.
    pub signers: Change<Vec<String>>,
    /// ABIs with native libraries.
    pub abis: Lists<String>,
    /// Permissions that are asked for.
    pub permissions: Lists<Permission>,
    /// Permissions that are declared.
    pub declared_permissions: Lists<String>,
    /// Features of devices.
    pub features: Lists<Feature>,
    /// Libraries of devices or other apps.
    pub libraries: Lists<Library>,
    /// Components that other apps may use.
    pub exported: Lists<Component>,
    /// Native libraries as `<abi>/<name>`.
    pub native_libraries: Lists<String>,
    /// What both weigh, by part, in bytes.
    pub sizes: Change<Sizes>,
    /// What devices that have the first build hold against the second.
    pub update: Vec<Finding>,
}

/// Compares two builds, `from` the one that is out and `to` the one that is to take its place.
#[must_use]
pub fn diff(from: &Profile, to: &Profile) -> Diff {
    Diff {
        package: both(&from.package, &to.package),
        version_code: both(&from.version_code, &to.version_code),
        version_name: both(&from.version_name, &to.version_name),
        min_sdk: both(&from.min_sdk, &to.min_sdk),
        target_sdk: both(&from.target_sdk, &to.target_sdk),
        debuggable: both(&from.debuggable, &to.debuggable),
        installs_on: both(&from.installability.installs_on, &to.installability.installs_on),
        signers: both(&from.signers, &to.signers),
        abis: lists(&from.abis, &to.abis),
        permissions: lists(&from.details.permissions, &to.details.permissions),
        declared_permissions: lists(
            &from.details.declared_permissions,
            &to.details.declared_permissions,
        ),
        features: lists(&from.details.features, &to.details.features),
        libraries: lists(&from.details.libraries, &to.details.libraries),
        exported: lists(&from.details.exported, &to.details.exported),
        native_libraries: lists(&from.native_libraries, &to.native_libraries),
        sizes: both(&from.sizes, &to.sizes),
        update: update_findings(from, to),
    }
}

fn both<T: Clone>(from: &T, to: &T) -> Change<T> {
    Change {
        from: from.clone(),
        to: to.clone(),
    }
}

fn lists<T: Clone + Ord>(from: &[T], to: &[T]) -> Lists<T> {
    // Stored records are sorted, but whoever made one by hand need not have known.
    let sorted = |list: &[T]| list.iter().cloned().collect::<std::collections::BTreeSet<T>>();
    let (from, to) = (sorted(from), sorted(to));
    Lists {
        added: to.difference(&from).cloned().collect(),
        removed: from.difference(&to).cloned().collect(),
    }
}
