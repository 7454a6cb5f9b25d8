//! What an operator wants to know before one build takes another's place.

use std::fmt::Display;

use tidegate_apk::{self as apk, Change, Diff, Lists, Profile};
use tidegate_domain::{Build, BuildId, Finding};

use crate::examination::finding;
use crate::{Builds, Error, Kind};

/// How much of each list is told.
pub const MAX_COMPARED: usize = 200;

/// How two builds of a package differ.
#[derive(Debug)]
pub struct Comparison {
    /// The build that is out.
    pub from: Build,
    /// The build that is to take its place.
    pub to: Build,
    /// What is one thing in each and not the same.
    pub changed: Vec<Changed>,
    /// What only one of them has.
    pub lists: Vec<ChangedList>,
    /// What both weigh, the whole file first.
    pub sizes: Vec<PartSizes>,
    /// What devices that run the first build hold against the second.
    pub update_findings: Vec<Finding>,
}

/// What devices that run a package's current build hold against another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFindings {
    /// The build that is current.
    pub base: BuildId,
    /// Empty when they hold nothing against it.
    pub findings: Vec<Finding>,
}

/// A fact that changed, in words.
#[derive(Debug)]
pub struct Changed {
    /// `target_sdk`.
    pub name: &'static str,
    /// In the first build.
    pub from: String,
    /// In the second.
    pub to: String,
}

/// A list that changed.
#[derive(Debug)]
pub struct ChangedList {
    /// `permissions`.
    pub name: &'static str,
    /// What only the second build has, at most [`MAX_COMPARED`].
    pub added: Vec<String>,
    /// What only the first build has, at most [`MAX_COMPARED`].
    pub removed: Vec<String>,
    /// How much more there is of both.
    pub left_out: usize,
}

/// The size of a part in both builds, in bytes.
#[derive(Debug)]
pub struct PartSizes {
    /// `dex`; `file` for the whole.
    pub part: &'static str,
    /// In the first build.
    pub from: u64,
    /// In the second.
    pub to: u64,
}

impl Comparison {
    /// Whether devices that run the first build refuse the second, on some API levels at least.
    pub fn is_refused(&self) -> bool {
        self.update_findings.iter().any(|finding| finding.blocks)
    }

    fn new(from: Build, to: Build, diff: &Diff) -> Self {
        let sizes = diff.sizes.from.parts().into_iter().zip(diff.sizes.to.parts());
        Self {
            from,
            to,
            changed: changed(diff),
            lists: lists(diff),
            sizes: sizes
                .map(|((part, from), (_, to))| PartSizes { part, from, to })
                .collect(),
            update_findings: diff.update.iter().map(finding).collect(),
        }
    }
}

impl Builds {
    /// Compares a build with the one whose place it would take: the package's current one, or `from`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for builds that do not exist, and when nothing else of the package is current; [`Kind::Invalid`]
    /// for builds of two packages; [`Kind::Conflict`] while the file of one was not examined.
    pub async fn compare(&self, to: BuildId, from: Option<BuildId>) -> Result<Comparison, Error> {
        let to = self.build(to).await?;
        let from = match from {
            Some(from) => self.build(from).await?,
            None => self.current_beside(&to).ok_or_else(nothing_current)?,
        };
        if from.facts.package != to.facts.package {
            let fault = format!(
                "is a build of {}, the other one of {}",
                from.facts.package, to.facts.package
            );
            return Err(Error::invalid("from_build_id", fault));
        }
        let diff = apk::diff(&self.profile(&from).await?, &self.profile(&to).await?);
        Ok(Comparison::new(from, to, &diff))
    }

    /// The same for a page, which shows nothing where there is nothing to compare.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], [`Kind::Internal`].
    pub async fn compare_with_current(&self, to: BuildId) -> Result<Option<Comparison>, Error> {
        match self.compare(to, None).await {
            Ok(comparison) => Ok(Some(comparison)),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What devices that run the package's current build hold against this one; `None` where there is nothing to compare.
    pub(crate) async fn against_current(&self, build: BuildId) -> Result<Option<UpdateFindings>, Error> {
        let comparison = self.compare_with_current(build).await?;
        Ok(comparison.map(|comparison| UpdateFindings {
            base: comparison.from.id,
            findings: comparison.update_findings,
        }))
    }

    async fn profile(&self, build: &Build) -> Result<Profile, Error> {
        let stored = self.stored_profile(build.id).await?.ok_or_else(|| {
            let message = format!(
                "the file of build {} was not examined yet; that happens in the background",
                build.id
            );
            Error::new(Kind::Conflict, "not_examined", message)
        })?;
        serde_json::from_str(&stored)
            .map_err(|fault| Error::internal("reading what a build is compared by", &fault))
    }
}

fn nothing_current() -> Error {
    let message = "no other build of the package is current; say with from_build_id what to compare with";
    Error::not_found("nothing_current", message)
}

fn changed(diff: &Diff) -> Vec<Changed> {
    fn fact<T: PartialEq>(
        name: &'static str,
        change: &Change<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<Changed> {
        change.is_change().then(|| Changed {
            name,
            from: show(&change.from),
            to: show(&change.to),
        })
    }
    let levels = |ranges: &Vec<apk::Levels>| join(ranges);
    [
        fact("version_code", &diff.version_code, ToString::to_string),
        fact("version_name", &diff.version_name, Clone::clone),
        fact("min_sdk", &diff.min_sdk, ToString::to_string),
        fact("target_sdk", &diff.target_sdk, ToString::to_string),
        fact("installs_on", &diff.installs_on, levels),
        fact("debuggable", &diff.debuggable, ToString::to_string),
        fact("signers", &diff.signers, |signers| join(signers)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn join<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn lists(diff: &Diff) -> Vec<ChangedList> {
    fn list<T: Display>(name: &'static str, lists: &Lists<T>) -> Option<ChangedList> {
        let texts = |items: &[T]| items.iter().take(MAX_COMPARED).map(ToString::to_string).collect();
        let beyond = |items: &[T]| items.len().saturating_sub(MAX_COMPARED);
        (!lists.is_empty()).then(|| ChangedList {
            name,
            added: texts(&lists.added),
            removed: texts(&lists.removed),
            left_out: beyond(&lists.added) + beyond(&lists.removed),
        })
    }
    [
        list("permissions", &diff.permissions),
        list("declared_permissions", &diff.declared_permissions),
        list("features", &diff.features),
        list("libraries", &diff.libraries),
        list("exported_components", &diff.exported),
        list("native_libraries", &diff.native_libraries),
        list("abis", &diff.abis),
    ]
    .into_iter()
    .flatten()
    .collect()
}
