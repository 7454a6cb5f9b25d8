//! Policies: ceilings and holds that stand above every rollout, and the hold on everybody.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{
    Hold, PackageName, Policy, PolicyId, PolicySpec, PolicySubject, PolicyTerms, Role, Verb, VersionCode,
};
use tidegate_storage::{Page, Paged, PolicyFilter, Store};

use crate::{Actor, Clock, Error, Snapshots};

/// Makes and changes policies.
pub struct Policies {
    store: Store,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

/// What is to be changed about a policy; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyEdit {
    /// Another ceiling; `Some(None)`: none.
    pub max_version: Option<Option<VersionCode>>,
    /// Another hold; `Some(None)`: none.
    pub hold: Option<Option<Hold>>,
    /// Another remark.
    pub remark: Option<String>,
}

impl PolicyEdit {
    fn apply(&self, policy: &Policy, now: DateTime<Utc>) -> Result<PolicySpec, tidegate_domain::Error> {
        let mut spec = policy.spec.clone();
        if let Some(max_version) = self.max_version {
            spec.terms.max_version = max_version;
        }
        if let Some(hold) = self.hold {
            spec.terms.hold = hold;
        }
        if let Some(remark) = &self.remark {
            spec.remark.clone_from(remark);
        }
        // A hold that has ended meanwhile may stay as it is.
        let asked = if self.hold.is_some() {
            now
        } else {
            DateTime::<Utc>::MIN_UTC
        };
        spec.check(asked)?;
        Ok(spec)
    }
}

/// A hold on everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldSpec {
    /// For this package; `None`: for all.
    pub package: Option<PackageName>,
    /// Until when.
    pub hold: Hold,
    /// Why.
    pub remark: String,
}

impl Policies {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            snapshots,
            clock,
        }
    }

    /// The policies that match, newest first.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: PolicyFilter, page: Page) -> Result<Paged<Policy>, Error> {
        Ok(self.store.policies(filter, page).await?)
    }

    /// One policy.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, id: PolicyId) -> Result<Policy, Error> {
        Ok(self.store.policy(id).await?)
    }

    /// Adds a policy. One that says the very same stays alone.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`]; [`crate::Kind::NotFound`] for the device or the package;
    /// [`crate::Kind::Conflict`] when there are too many; [`crate::Kind::Unavailable`].
    pub async fn create(&self, actor: &Actor, spec: PolicySpec) -> Result<Policy, Error> {
        actor.require(Role::Operator)?;
        let now = self.clock.now();
        spec.check(now)?;
        let made = self.store.create_policy(spec, actor.on_record(now)).await?;
        self.snapshots.follow_own_change().await;
        tell("policy.create", actor, &made.policy);
        Ok(made.policy)
    }

    /// Changes what a policy demands.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn change(&self, actor: &Actor, id: PolicyId, edit: PolicyEdit) -> Result<Policy, Error> {
        actor.require(Role::Operator)?;
        let now = self.clock.now();
        let rule = move |policy: &Policy| edit.apply(policy, now);
        let changed = self.store.change_policy(id, actor.on_record(now), rule).await?;
        self.snapshots.follow_own_change().await;
        tell("policy.change", actor, &changed.policy);
        Ok(changed.policy)
    }

    /// Removes a policy, and returns it as it was.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn delete(&self, actor: &Actor, id: PolicyId) -> Result<Policy, Error> {
        actor.require(Role::Operator)?;
        let policy = self
            .store
            .delete_policy(id, actor.on_record(self.clock.now()))
            .await?;
        self.snapshots.follow_own_change().await;
        tell("policy.delete", actor, &policy);
        Ok(policy)
    }

    /// Holds everybody back, for one package or for all: the next poll is offered nothing, on every server within a
    /// second. A later hold for the same takes the place of the earlier. An account with limits needs the verb pause.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`], [`crate::Kind::NotFound`] for the package,
    /// [`crate::Kind::Unavailable`].
    pub async fn hold(&self, actor: &Actor, spec: HoldSpec) -> Result<Policy, Error> {
        actor.require_verb(Role::Operator, Verb::Pause, spec.package.as_ref())?;
        let now = self.clock.now();
        let HoldSpec {
            package,
            hold,
            remark,
        } = spec;
        let terms = PolicyTerms {
            max_version: None,
            hold: Some(hold),
        };
        let policy = PolicySpec {
            subject: PolicySubject::Everybody,
            package,
            terms,
            remark,
        };
        policy.check(now)?;
        let set = self
            .store
            .set_hold(policy.package, hold, policy.remark, actor.on_record(now))
            .await?;
        self.snapshots.follow_own_change().await;
        tell("hold.set", actor, &set.policy);
        Ok(set.policy)
    }

    /// Lifts the holds on everybody for one package, or those for all packages, and returns them as they stood; none stood
    /// when there are none. An account with limits needs the verb resume.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Unavailable`].
    pub async fn lift(&self, actor: &Actor, package: Option<PackageName>) -> Result<Vec<Policy>, Error> {
        actor.require_verb(Role::Operator, Verb::Resume, package.as_ref())?;
        let lifted = self
            .store
            .lift_hold(package, actor.on_record(self.clock.now()))
            .await?;
        self.snapshots.follow_own_change().await;
        for policy in &lifted {
            tell("hold.lift", actor, policy);
        }
        Ok(lifted)
    }

    /// The holds on everybody that stand now, as this server's polls know them; asks no database.
    pub fn holds(&self) -> Vec<Policy> {
        let catalog = self.snapshots.catalog();
        let mut holds: Vec<Policy> = catalog
            .policies()
            .holds_on_everybody(self.clock.now())
            .cloned()
            .collect();
        holds.sort_by_key(|policy| policy.id);
        holds
    }

    /// How many policies hold devices back now, by those on whom they hang.
    pub fn holding(&self) -> [(&'static str, u64); 3] {
        let (catalog, now) = (self.snapshots.catalog(), self.clock.now());
        let (mut everybody, mut tag, mut device) = (0, 0, 0);
        for policy in catalog.policies().all().filter(|policy| policy.holds(now)) {
            match policy.spec.subject {
                PolicySubject::Everybody => everybody += 1,
                PolicySubject::Tag(_) => tag += 1,
                PolicySubject::Device(_) => device += 1,
            }
        }
        [("everybody", everybody), ("tag", tag), ("device", device)]
    }

    /// The time by which holds stand.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// A device's id does not stand in the log, which would keep it after the device is erased.
fn tell(action: &'static str, actor: &Actor, policy: &Policy) {
    let subject = match &policy.spec.subject {
        PolicySubject::Device(_) => "device".to_owned(),
        subject => subject.to_string(),
    };
    tracing::info!(
        event = "ota.policy",
        action,
        actor = actor.subject,
        policy_id = policy.id.0,
        subject,
        package_name = policy.spec.package.as_ref().map(PackageName::as_str),
        max_version = policy.spec.terms.max_version.map(VersionCode::get),
        hold = policy.spec.terms.hold.map(|hold| hold.to_string()),
        remark = policy.spec.remark,
    );
}
