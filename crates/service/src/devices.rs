//! Devices: looking at them, explaining what they are offered, shutting them out. How they enrol is `enrolment.rs`.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    BuildId, Decision, Device, DeviceId, Overlay, PackageName, Policy, PollRequest, Reason, Role, Step,
    VersionCode, explain,
};
use tidegate_signing::KeyRing;
use tidegate_storage::{
    AuditNote, BuildOnDevice, Condition, DeviceFilter, Page, Paged, RolloutOnDevice, Store, Told,
};

use crate::enrolment::{SlowChecks, check_fcm_token};
use crate::enrolment_groups::EnrolmentGroups;
use crate::{Actor, Clock, Error, Kind, Settings, Snapshots};

/// A device that was not seen for this long is silent: four polls at the usual pace.
pub const SILENT_AFTER: TimeDelta = TimeDelta::hours(24);

/// What devices are looked for by, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// It is in this condition with a package.
    In(Condition),
    /// It was retired.
    Retired,
    /// Its last poll was told this.
    Told(Told),
}

impl FromStr for DeviceState {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        if word == "retired" {
            return Ok(Self::Retired);
        }
        if let Ok(condition) = word.parse() {
            return Ok(Self::In(condition));
        }
        word.parse().map(Self::Told).map_err(|_| {
            let conditions = Condition::ALL.iter().map(|condition| condition.as_str());
            let told = Told::ALL.iter().map(|told| told.as_str());
            let words: Vec<_> = conditions.chain(["retired"]).chain(told).collect();
            Error::invalid("state", format!("must be one of {}", words.join(", ")))
        })
    }
}

/// Manages devices.
pub struct Devices {
    pub(crate) store: Store,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) slow_checks: SlowChecks,
    pub(crate) enrolment_groups: EnrolmentGroups,
}

/// A device and its history.
pub struct DeviceView {
    /// The device.
    pub device: Device,
    /// What became of each build on it, newest build first.
    pub builds: Vec<BuildOnDevice>,
    /// What it did with the builds that rollouts offered it, newest rollout first.
    pub rollouts: Vec<RolloutOnDevice>,
    /// What its last poll for each package was told: [`crate::Standing::OFFERED`], or a reason's name.
    pub standings: Vec<(PackageName, String)>,
    /// What operators gave to it.
    pub overlay: Overlay,
    /// The policies that concern it, oldest first.
    pub policies: Vec<Policy>,
    /// The time at which all this was so.
    pub at: DateTime<Utc>,
}

/// Why a device is, or is not, offered an update.
pub struct DeviceExplanation {
    /// The version that was assumed.
    pub installed: VersionCode,
    /// The highest version that serves; none where the package releases nothing.
    pub newest: Option<VersionCode>,
    /// The build that its next poll is answered with, or why with none.
    pub outcome: Result<tidegate_domain::BuildId, Reason>,
    /// Every rule that was asked.
    pub steps: Vec<Step>,
    /// When the outcome changes by itself, as far as a rule can tell.
    pub again: Option<DateTime<Utc>>,
}

impl Devices {
    /// Over this database and these snapshots.
    pub fn new(
        store: Store,
        snapshots: Arc<Snapshots>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            enrolment_groups: EnrolmentGroups::new(store.clone()),
            store,
            snapshots,
            keys,
            clock,
            settings,
            slow_checks: SlowChecks::default(),
        }
    }

    /// Remembers where to nudge a device, or forgets it when the token is empty.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`], [`crate::Kind::NotFound`].
    pub async fn set_fcm_token(&self, id: &DeviceId, token: String) -> Result<(), Error> {
        check_fcm_token(Some(&token))?;
        let token = Some(token).filter(|token| !token.is_empty());
        Ok(self.store.set_fcm_token(id, token, self.clock.now()).await?)
    }

    /// Devices of a filter that [`Devices::resolve`] gave, in the order of [`Store::devices`].
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, filter: DeviceFilter, page: Page) -> Result<Paged<Device>, Error> {
        Ok(self.store.devices(filter, page).await?)
    }

    /// The time by which devices are overdue or silent.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// What the last polls of these devices were told, by package.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn standings_of(
        &self,
        devices: &[Device],
    ) -> Result<HashMap<DeviceId, Vec<(PackageName, Told)>>, Error> {
        let ids = devices.iter().map(|device| device.id.clone()).collect();
        Ok(self.store.standings_of(ids).await?)
    }

    /// The current build of this package, or of the only one there is.
    pub(crate) fn current(
        &self,
        package: Option<&PackageName>,
    ) -> Result<Option<(PackageName, VersionCode, BuildId)>, Error> {
        let catalog = self.snapshots.catalog();
        let mut candidates = catalog
            .tracks()
            .filter(|track| package.is_none_or(|package| track.package == *package))
            .filter_map(|track| {
                let build = &track.current()?.build;
                Some((track.package.clone(), build.facts.version_code, build.id))
            });
        let first = candidates.next();
        if candidates.next().is_some() {
            return Err(Error::invalid(
                "package_name",
                "is needed: several packages release something",
            ));
        }
        Ok(first.filter(|(_, version, _)| version.get() > 0))
    }

    /// A condition as a filter asks for it now.
    pub fn in_condition(&self, condition: Condition) -> (Condition, DateTime<Utc>) {
        (condition, self.silent_before())
    }

    pub(crate) fn silent_before(&self) -> DateTime<Utc> {
        self.clock.now() - SILENT_AFTER
    }

    /// The only package that releases something, if any does.
    pub(crate) fn only_released(&self) -> Result<Option<PackageName>, Error> {
        match self.snapshots.only_package() {
            Ok(package) => Ok(Some(package)),
            Err(error) if error.kind == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One device, what it did with each build and each rollout, and what its last polls were told.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn get(&self, id: &DeviceId) -> Result<DeviceView, Error> {
        // What is derived from a poll is read before the device, which is then at least as new.
        let standings = self.store.standings(id).await?;
        let overlay = self.store.overlay(id).await?;
        Ok(DeviceView {
            builds: self.store.device_builds(id).await?,
            rollouts: self.store.device_rollouts(id).await?,
            device: self.store.device(id).await?,
            standings,
            policies: self.policies_of(id, &overlay),
            overlay,
            at: self.clock.now(),
        })
    }

    fn policies_of(&self, id: &DeviceId, overlay: &Overlay) -> Vec<Policy> {
        let catalog = self.snapshots.catalog();
        let concerning = catalog.policies().of(id.as_str(), overlay);
        let mut policies: Vec<Policy> = concerning.cloned().collect();
        policies.sort_by_key(|policy| policy.id);
        policies
    }

    /// Runs the very decision that the device's next poll gets, and tells each rule that it asks. The device is judged
    /// by what its last poll said of it, before the first by its enrolment.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn explain(
        &self,
        id: &DeviceId,
        package: &PackageName,
        installed: Option<VersionCode>,
    ) -> Result<DeviceExplanation, Error> {
        let device = self.store.device(id).await?;
        let known = device
            .installed
            .iter()
            .find(|(name, _)| name == package)
            .map(|(_, version)| *version);
        let installed = match installed.or(known) {
            Some(version) => version,
            None => VersionCode::new(0)?,
        };
        // As the database has it: what a poll looks at follows within a second, and is not there right after the start.
        let overlay = self.store.overlay(id).await?;
        let catalog = self.snapshots.catalog();
        let rejections = self.snapshots.rejections();
        let gave_up = rejections.of(id.as_str());
        let facts = device.facts();
        let request = PollRequest::new(id.as_str(), package.as_str(), installed, facts, gave_up, &overlay);
        let explanation = explain(&catalog, &request, self.clock.now());
        let outcome = match explanation.decision {
            Decision::Offer(offer) => Ok(offer.build.id),
            Decision::NoUpdate(reason) => Err(reason),
        };
        Ok(DeviceExplanation {
            installed,
            newest: catalog.track(package.as_str()).and_then(|track| {
                let serving = track.serving.iter();
                serving.map(|release| release.build.facts.version_code).max()
            }),
            outcome,
            again: explanation.again.map(|again| again.at),
            steps: explanation.steps,
        })
    }

    /// Refuses the device's token from now on.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn revoke(&self, actor: &Actor, id: &DeviceId) -> Result<(), Error> {
        actor.require(Role::Admin)?;
        let note = actor
            .on_record(self.clock.now())
            .note("device.revoke", format!("device/{id}"));
        self.store.revoke(id, note).await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(event = "ota.device.revoke", actor = actor.subject, device_id = %id);
        Ok(())
    }

    /// Takes a device out of the fleet: it leaves lists, counts, shares and campaigns, and its token is refused. With a new
    /// enrolment token it may come back. Returns whether it was in the fleet.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn retire(&self, actor: &Actor, id: &DeviceId) -> Result<bool, Error> {
        actor.require(Role::Admin)?;
        let note = actor
            .on_record(self.clock.now())
            .note("device.retire", format!("device/{id}"));
        let retired = self.store.retire_device(id, note).await?;
        if retired {
            self.snapshots.follow_own_change().await;
            tracing::info!(event = "ota.device.retire", actor = actor.subject, device_id = %id);
        }
        Ok(retired)
    }

    /// Removes all that is known of a device; what was counted stays as numbers. `confirm` must be the id once more, as
    /// nothing brings back what is erased.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`] for another confirmation, [`crate::Kind::NotFound`],
    /// [`crate::Kind::Unavailable`].
    pub async fn erase(&self, actor: &Actor, id: &DeviceId, confirm: &str) -> Result<(), Error> {
        actor.require(Role::Admin)?;
        if confirm != id.as_str() {
            return Err(Error::invalid(
                "confirm",
                "must be the id of the device, which is erased for good",
            ));
        }
        let note = actor
            .on_record(self.clock.now())
            .note("device.erase", format!("device/{id}"));
        let tags = self.keys.erased_tags(id.as_str());
        self.store.erase_device(id, tags, note).await?;
        self.snapshots.follow_own_change().await;
        self.snapshots.forget_overlay(id).await;
        // Not by its id, which the log would keep.
        tracing::info!(event = "ota.device.erase", actor = actor.subject);
        Ok(())
    }

    /// Lets a device try again what it gave up: one build, or all. Returns of how many builds.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Unavailable`].
    pub async fn retry(&self, actor: &Actor, id: &DeviceId, build: Option<BuildId>) -> Result<usize, Error> {
        actor.require(Role::Operator)?;
        let note = AuditNote {
            after: Some(serde_json::json!({ "build_id": build })),
            ..actor
                .on_record(self.clock.now())
                .note("device.retry", format!("device/{id}"))
        };
        let forgotten = self.store.forget_rejections(id, build, note).await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(
            event = "ota.device.retry",
            actor = actor.subject,
            device_id = %id,
            build_id = build.map(|build| build.0),
            builds = forgotten,
        );
        Ok(forgotten)
    }
}
