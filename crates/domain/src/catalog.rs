//! The catalog: everything that a poll's answer depends on besides the poll itself.

use std::collections::HashMap;

use crate::{PackageName, Release, track::KnownSigners};

/// A snapshot of all packages that release something. Built anew on every change, never edited, so that any
/// number of polls read it without a lock.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    packages: HashMap<PackageName, PackageCatalog>,
}

/// One package in the catalog.
#[derive(Clone, Debug, Default)]
pub struct PackageCatalog {
    /// The releases that serve, the current one first, then those kept beside it, newest first.
    pub serving: Vec<Release>,
    /// The signers of every build of the package, by ascending version code.
    pub known_signers: KnownSigners,
}

impl Catalog {
    /// Takes the packages. Their lists must be in the order that [`PackageCatalog`] describes.
    pub fn new(packages: HashMap<PackageName, PackageCatalog>) -> Self {
        debug_assert!(
            packages
                .values()
                .all(|p| p.known_signers.is_sorted_by_key(|(version, _)| *version))
        );
        Self { packages }
    }

    /// A package by its name.
    pub fn package(&self, name: &str) -> Option<&PackageCatalog> {
        self.packages.get(name)
    }

    /// All packages, in no order.
    pub fn packages(&self) -> impl Iterator<Item = (&PackageName, &PackageCatalog)> {
        self.packages.iter()
    }
}
