//! Builds: what was uploaded.

use tidegate_domain::{Build, BuildFacts, BuildId, Installability, PackageName, Provenance, Sha256, Signers};

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// Which builds; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFilter {
    /// Of this package.
    pub package: Option<PackageName>,
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

    /// The builds that match, newest first.
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

    /// Whether some build is this file.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn blob_in_use(&self, sha256: Sha256) -> Result<bool, Error> {
        run!(self, read, builds::has_blob(sha256))
    }
}
