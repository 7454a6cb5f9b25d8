//! Packages: the signer that each is pinned to, and what it allows.

use tidegate_domain::gate::GateTerms;
use tidegate_domain::{Approval, ApprovalRequest, PackageName, Plan, Signers};

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// A package, known because a build was uploaded or because somebody set something for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: PackageName,
    /// The signers that its builds must carry; `None`: the next build decides.
    pub pin: Option<Signers>,
    /// Whether debuggable builds are accepted.
    pub allow_debuggable: bool,
    /// Which of its releases wait for a second person.
    pub approval: Approval,
    /// What somebody asked approval to be lowered to, which another one has to ask for too.
    pub approval_request: Option<ApprovalRequest>,
    /// The plan that is proposed for its releases.
    pub plan: Option<Plan>,
    /// The gate that is proposed for its releases, and that promotions have which don't speak of one.
    pub gate: Option<GateTerms>,
}

/// How a package's releases are made; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageEdit {
    /// Which wait for a second person.
    pub approval: Option<Approval>,
    /// Lower approval without a second person.
    pub break_glass: bool,
    /// The plan that is proposed for them; `Some(None)`: the one that is proposed to all.
    pub plan: Option<Option<Plan>>,
    /// The gate that is proposed for them; `Some(None)`: none.
    pub gate: Option<Option<GateTerms>>,
}

impl Store {
    /// All packages, by name.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn packages(&self, page: Page) -> Result<Paged<Package>, Error> {
        run!(self, read, packages::list(&page))
    }

    /// One package.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn package(&self, name: &PackageName) -> Result<Package, Error> {
        let name = name.clone();
        run!(self, read, packages::get(&name))
    }

    /// Pins a package to signers, whether or not it has builds yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn pin_signer(
        &self,
        name: &PackageName,
        signers: Signers,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let name = name.clone();
        run!(self, write, packages::pin(&name, &signers, &audit))
    }

    /// Takes the pin away: the next build decides anew.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the package is unknown or has no pin.
    pub async fn unpin_signer(&self, name: &PackageName, audit: AuditNote) -> Result<(), Error> {
        let name = name.clone();
        run!(self, write, packages::unpin(&name, &audit))
    }

    /// Changes how a package's releases are made, whether or not it has builds yet. Lowering approval waits for another
    /// person, as [`Approval::changed`] tells.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn edit_package(
        &self,
        name: &PackageName,
        edit: PackageEdit,
        audit: AuditNote,
    ) -> Result<Package, Error> {
        let name = name.clone();
        run!(self, write, packages::edit(&name, &edit, &audit))
    }

    /// Accepts, or no longer accepts, debuggable builds of a package, whether or not it has builds yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn set_allow_debuggable(
        &self,
        name: &PackageName,
        allow: bool,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let name = name.clone();
        run!(self, write, packages::allow_debuggable(&name, allow, &audit))
    }
}
