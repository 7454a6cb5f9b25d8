//! Packages: whose signature their builds must carry.

use std::sync::Arc;

use tidegate_domain::{PackageName, Role, SignerFingerprint, Signers};
use tidegate_storage::{AuditNote, Package, PackageEdit, Page, Paged, SERVICE_PREFIX, Store};

use crate::{Actor, Clock, Error, Kind};

/// Manages packages. A package is pinned to its first build's signer by itself; these verbs are for the rest.
pub struct Packages {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Packages {
    /// Over this database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Packages by name.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, page: Page) -> Result<Paged<Package>, Error> {
        Ok(self.store.packages(page).await?)
    }

    /// One package.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, name: &PackageName) -> Result<Package, Error> {
        Ok(self.store.package(name).await?)
    }

    /// Pins a package to one signer for devices of every level.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn pin(
        &self,
        actor: &Actor,
        name: &PackageName,
        signer: SignerFingerprint,
    ) -> Result<Package, Error> {
        actor.require(Role::Admin)?;
        let after = serde_json::json!({ "signer_fingerprint": signer });
        let note = AuditNote {
            after: Some(after),
            ..self.note(actor, "signer.pin", name)
        };
        self.store.pin_signer(name, Signers::one(signer), note).await?;
        tracing::info!(event = "ota.signer.pin", actor = actor.subject, package_name = %name, signer = %signer);
        Ok(self.store.package(name).await?)
    }

    /// Takes a package's pin away.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn unpin(&self, actor: &Actor, name: &PackageName) -> Result<Package, Error> {
        actor.require(Role::Admin)?;
        self.store
            .unpin_signer(name, self.note(actor, "signer.unpin", name))
            .await?;
        tracing::warn!(event = "ota.signer.unpin", actor = actor.subject, package_name = %name);
        Ok(self.store.package(name).await?)
    }

    /// Takes debuggable builds in, or no longer.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn allow_debuggable(
        &self,
        actor: &Actor,
        name: &PackageName,
        allow: bool,
    ) -> Result<Package, Error> {
        actor.require(Role::Admin)?;
        let after = serde_json::json!({ "allow_debuggable": allow });
        let note = AuditNote {
            after: Some(after),
            ..self.note(actor, "package.allow_debuggable", name)
        };
        self.store.set_allow_debuggable(name, allow, note).await?;
        Ok(self.store.package(name).await?)
    }

    /// Changes how a package's releases are made: which of them wait for a second person, and the plan that is proposed for
    /// them. Lowering approval waits until another admin wants the same.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn edit(&self, actor: &Actor, name: &PackageName, edit: PackageEdit) -> Result<Package, Error> {
        actor.require(Role::Admin)?;
        if edit.approval.is_some() && actor.subject.starts_with(SERVICE_PREFIX) {
            let message = "a service account can't say which releases a person has to approve";
            return Err(Error::new(Kind::Forbidden, "not_a_person", message));
        }
        let breaks_glass = edit.break_glass;
        let note = self.note(actor, "package.edit", name);
        let package = self.store.edit_package(name, edit, note).await?;
        tracing::info!(
            event = "ota.package.edit",
            actor = actor.subject,
            package_name = %name,
            approval = %package.approval,
            asked = package.approval_request.as_ref().map(|request| request.approval.to_string()),
            breaks_glass,
        );
        Ok(package)
    }

    fn note(&self, actor: &Actor, action: &'static str, name: &PackageName) -> AuditNote {
        actor
            .on_record(self.clock.now())
            .note(action, format!("package/{name}"))
    }
}
