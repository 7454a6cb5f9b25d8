//! Builds: what was uploaded.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Build, BuildFacts, BuildId, Installability, PackageName, Provenance, Sha256, Signers, VersionCode,
};

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// Which builds; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFilter {
    /// Of this package.
    pub package: Option<PackageName>,
}

/// What people may change of a build; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildEdit {
    /// The release notes.
    pub notes: Option<String>,
    /// Whether devices below it must take it before any newer one.
    pub barrier: Option<bool>,
    /// The version that devices must have to take it; `Some(None)`: any.
    pub min_from_version: Option<Option<VersionCode>>,
}

/// A build that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The build.
    pub build: Build,
    /// Whether its version code is free again: it never had a rollout, so that no device was offered it.
    pub version_free: bool,
}

impl Store {
    /// Adds a build, with its statistics at zero and its audit entry, in one transaction. The first build of a
    /// package pins the package to its signer. When the note's `after` is an object (or left out), the new
    /// build's number is added to it as `build_id`. `profile` is what the build is compared with others by, as
    /// JSON. The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::VersionExists`]; [`Error::SignerConflict`] when the package is pinned to other signers.
    pub async fn insert_build(
        &self,
        facts: BuildFacts,
        provenance: Provenance,
        profile: Option<String>,
        audit: AuditNote,
    ) -> Result<Build, Error> {
        run!(
            self,
            write,
            builds::insert(&facts, &provenance, profile.as_deref(), None, &audit)
        )
    }

    /// Adds a build whose signers are not, to the letter, those of the pin: the caller has judged that they may
    /// follow `pinned`. The pin moves to `then`. Otherwise as [`Store::insert_build`].
    ///
    /// # Errors
    /// [`Error::VersionExists`]; [`Error::SignerConflict`] when the package is, by now, not pinned to `pinned`.
    pub async fn insert_rotated_build(
        &self,
        facts: BuildFacts,
        provenance: Provenance,
        profile: Option<String>,
        pinned: Signers,
        then: Signers,
        audit: AuditNote,
    ) -> Result<Build, Error> {
        run!(
            self,
            write,
            builds::insert(
                &facts,
                &provenance,
                profile.as_deref(),
                Some((&pinned, &then)),
                &audit
            )
        )
    }

    /// One build.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn build(&self, id: BuildId) -> Result<Build, Error> {
        run!(self, snapshot, builds::get(id))
    }

    /// The version codes of those of these builds that exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn versions_of(&self, builds: Vec<BuildId>) -> Result<HashMap<BuildId, VersionCode>, Error> {
        run!(self, read, builds::version_codes(&builds))
    }

    /// The builds that match, newest first, without those that were deleted.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn builds(&self, filter: BuildFilter, page: Page) -> Result<Paged<Build>, Error> {
        run!(self, snapshot, builds::list(&filter, &page))
    }

    /// The newest build, of those before `before` if that is given, whose file was not examined.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn unexamined_build(&self, before: Option<BuildId>) -> Result<Option<Build>, Error> {
        run!(self, snapshot, builds::unexamined(before))
    }

    /// Keeps what was found in the file of a build that was not examined before; otherwise it changes nothing.
    /// The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn keep_examination(
        &self,
        id: BuildId,
        installability: Installability,
        profile: String,
    ) -> Result<(), Error> {
        run!(
            self,
            write,
            builds::keep_examination(id, &installability, &profile)
        )
    }

    /// What a build is compared with others by, as JSON; none while its file was not examined.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn build_profile(&self, id: BuildId) -> Result<Option<String>, Error> {
        run!(self, read, builds::profile(id))
    }

    /// When a build was deleted, if it was.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn build_deleted_at(&self, id: BuildId) -> Result<Option<DateTime<Utc>>, Error> {
        run!(self, read, builds::deleted_at(id))
    }

    /// Deletes a build that serves nothing. One that never had a rollout, and no patch, leaves no row, and its version code
    /// is free.
    /// Of any other one the row stays, and with it what devices did and were counted for. The catalog's epoch rises. The
    /// file is the caller's to remove, unless [`Store::blob_in_use`] says that another build is made of it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BuildDeleted`] when it was before; [`Error::BuildInUse`] while a rollout serves it,
    /// or would return to it when it is rolled back.
    pub async fn delete_build(&self, id: BuildId, audit: AuditNote) -> Result<Deleted, Error> {
        run!(self, write, builds::delete(id, &audit))
    }

    /// Changes what people may change of a build, and returns it as it was. The audit entry is given both, long notes cut
    /// short. The catalog's epoch rises. The same again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BuildDeleted`]; [`Error::Rule`] for a version to come from that is not below the
    /// build's own.
    pub async fn edit_build(&self, id: BuildId, edit: BuildEdit, audit: AuditNote) -> Result<Build, Error> {
        run!(self, write, builds::edit(id, &edit, &audit))
    }

    /// Whether some build, and no deleted one, is this file.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn blob_in_use(&self, sha256: Sha256) -> Result<bool, Error> {
        run!(self, read, builds::has_blob(sha256))
    }
}
