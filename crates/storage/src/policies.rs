//! Policies: what operators demand of devices, whatever a rollout says.

use tidegate_domain::{self as domain, DeviceId, Hold, PackageName, Policy, PolicyId, PolicySpec, Tag};

use crate::store::run;
use crate::{Actor, Error, Page, Paged, Store};

/// Which policies; everything left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFilter {
    /// That hang on this tag.
    pub tag: Option<Tag>,
    /// That hang on this device.
    pub device: Option<DeviceId>,
    /// That name this package.
    pub package: Option<PackageName>,
}

/// What changing a policy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// The policy as it stands.
    pub policy: Policy,
    /// Whether anything was written.
    pub changed: bool,
}

impl Store {
    /// The policies that match, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn policies(&self, filter: PolicyFilter, page: Page) -> Result<Paged<Policy>, Error> {
        run!(self, read, policies::list(&filter, &page))
    }

    /// One policy.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn policy(&self, id: PolicyId) -> Result<Policy, Error> {
        run!(self, read, policies::get(id))
    }

    /// Adds a policy. A tag that it hangs on need not be there yet; a device and a package must. One that says the very
    /// same stays, and nothing is written. The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the device or the package; [`Error::TooMany`] beyond [`domain::MAX_POLICIES`],
    /// [`domain::MAX_POLICIES_PER_SUBJECT`] or [`domain::MAX_TAG_NAMES`].
    pub async fn create_policy(&self, spec: PolicySpec, actor: Actor) -> Result<PolicyChange, Error> {
        run!(self, urgent, policies::create(&spec, &actor))
    }

    /// Changes what a policy demands by a rule, which is asked within the transaction. Subject and package stay. The
    /// catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] when the rule refuses; nothing was written then.
    pub async fn change_policy<F>(&self, id: PolicyId, actor: Actor, rule: F) -> Result<PolicyChange, Error>
    where
        F: Fn(&Policy) -> Result<PolicySpec, domain::Error> + Send + 'static,
    {
        run!(self, urgent, policies::change(id, &actor, &rule))
    }

    /// Removes a policy, and returns it. The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_policy(&self, id: PolicyId, actor: Actor) -> Result<Policy, Error> {
        run!(self, urgent, policies::delete(id, &actor))
    }

    /// Holds everybody back, for one package or for all. There is one such hold for each: a later one takes the place of
    /// the earlier. The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the package, [`Error::TooMany`].
    pub async fn set_hold(
        &self,
        package: Option<PackageName>,
        hold: Hold,
        remark: String,
        actor: Actor,
    ) -> Result<PolicyChange, Error> {
        run!(
            self,
            urgent,
            policies::set_hold(package.as_ref(), hold, &remark, &actor)
        )
    }

    /// Lifts every hold on everybody for this very package, or for all packages; one that also names a ceiling keeps that.
    /// Returns those that were lifted, as they stood. The catalog's epoch rises.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn lift_hold(&self, package: Option<PackageName>, actor: Actor) -> Result<Vec<Policy>, Error> {
        run!(self, urgent, policies::lift_hold(package.as_ref(), &actor))
    }
}
