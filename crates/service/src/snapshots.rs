//! What every replica keeps in memory, so that a poll asks no database: the catalog, the revoked tokens, the accounts
//! whose tokens ended, the builds that devices gave up, and the tags that operators gave to devices.
//!
//! The catalog is an immutable snapshot behind an atomic pointer: it is small and changes as a whole. The others grow
//! with the fleet, and one bad release adds half a million rejections; they are maps that readers and writers use at the
//! same time, and a change costs what changed, not what is there. A change made here is seen at once, one made by
//! another replica when [`Snapshots::catch_up`] next finds that the database has moved on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use papaya::{HashMap, HashMapRef, LocalGuard};
use tidegate_domain::gate::Watch;
use tidegate_domain::{
    BuildId, BuildRejection, Catalog, DeviceId, Overlay, PackageName, Rejection, RolloutId,
};
use tidegate_signing::KeyRing;
use tidegate_storage::{Epochs, RejectionChange, Store};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::accounts::Accounts;
use crate::gate_arms::{GateArms, Watched};
use crate::overlays::Overlays;
use crate::patches::PatchSet;
use crate::record::tell_tampered;
use crate::{Clock, Error, Kind};

/// The snapshots.
pub struct Snapshots {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Whether calendars are worked out ahead; otherwise they are worked out for each question.
    works_ahead: bool,
    catalog: ArcSwap<Catalog>,
    revoked: HashMap<DeviceId, u32>,
    /// The lowest generation that is accepted of devices that were erased, by [`KeyRing::erased_tags`].
    erased: HashMap<[u8; 32], u32>,
    accounts: Accounts,
    rejections: HashMap<DeviceId, Vec<BuildRejection>>,
    overlays: Overlays,
    patches: ArcSwap<PatchSet>,
    /// How many devices have the packages that a gate watches, as they were counted last.
    fleets: ArcSwap<Fleets>,
    gate_arms: GateArms,
    /// The tags' epoch as it was last seen. They are read apart from the rest: a large fleet's take some seconds.
    tags_epoch: AtomicI64,
    /// What the snapshots were read at. Held while reading, so that an older read never replaces a newer one.
    read_at: Mutex<Option<ReadAt>>,
    /// Which catalog this is, and when the database last said that there is no newer one.
    standing: ArcSwap<Standing>,
}

/// Devices by package.
type Fleets = std::collections::HashMap<PackageName, u64>;

/// What the snapshots hold.
struct ReadAt {
    epochs: Epochs,
    /// The builds that serve: rejections of others are not kept.
    serving: HashSet<BuildId>,
}

/// How far a server's snapshots can be trusted.
#[derive(Clone, Copy, Debug)]
struct Standing {
    catalog: i64,
    confirmed: Instant,
}

/// What devices gave up, as it is while a poll is answered.
pub(crate) struct Rejections<'a>(
    HashMapRef<'a, DeviceId, Vec<BuildRejection>, std::hash::RandomState, LocalGuard<'a>>,
);

impl Rejections<'_> {
    /// The builds that this device gave up.
    pub(crate) fn of(&self, device: &str) -> &[BuildRejection] {
        self.0.get(device).map_or(&[], Vec::as_slice)
    }
}

impl Snapshots {
    /// Reads everything for the first time but the tags of devices, for which [`Snapshots::catch_up_tags`] is to be called.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    pub async fn load(store: Store, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::load_as(store, clock, false).await
    }

    /// The same for a server that answers polls: calendars are worked out ahead, and anew every day.
    ///
    /// # Errors
    /// As [`Snapshots::load`].
    pub async fn load_for_polls(store: Store, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::load_as(store, clock, true).await
    }

    #[allow(clippy::disallowed_methods, reason = "how old a snapshot really is")]
    async fn load_as(store: Store, clock: Arc<dyn Clock>, works_ahead: bool) -> Result<Self, Error> {
        let snapshots = Self {
            store,
            clock,
            works_ahead,
            catalog: ArcSwap::default(),
            revoked: HashMap::new(),
            erased: HashMap::new(),
            accounts: Accounts::default(),
            rejections: HashMap::new(),
            overlays: Overlays::default(),
            patches: ArcSwap::default(),
            fleets: ArcSwap::default(),
            gate_arms: GateArms::default(),
            tags_epoch: AtomicI64::new(0),
            read_at: Mutex::default(),
            standing: ArcSwap::from_pointee(Standing {
                catalog: 0,
                confirmed: Instant::now(),
            }),
        };
        snapshots.catch_up().await?;
        Ok(snapshots)
    }

    /// Rereads whatever has changed since the last time. Cheap when nothing has.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer; the snapshots stay as they are, or are as new as
    /// what could be read.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let mut read_at = self.read_at.lock().await;
        // Taken before the reading: a change in between is then read again rather than missed.
        #[allow(clippy::disallowed_methods, reason = "how old a snapshot really is")]
        let asked = Instant::now();
        self.ask_for_time().await?;
        let epochs = self.store.epochs().await?;
        self.tags_epoch.fetch_max(epochs.tags, Ordering::Release);
        let last = read_at.take();
        match self.read(&epochs, last.as_ref()).await {
            Ok(serving) => *read_at = Some(ReadAt { epochs, serving }),
            Err(error) => {
                *read_at = last;
                return Err(error);
            }
        }
        self.standing.store(Arc::new(Standing {
            catalog: epochs.catalog,
            confirmed: asked,
        }));
        Ok(())
    }

    /// Has the clock compared with the database's.
    #[allow(clippy::disallowed_methods, reason = "how long an answer really takes")]
    async fn ask_for_time(&self) -> Result<(), Error> {
        let asked = Instant::now();
        let database = self.store.time().await?;
        self.clock.compare(database, asked.elapsed());
        Ok(())
    }

    /// Reads what changed since `last`, and returns the builds that serve.
    async fn read(&self, epochs: &Epochs, last: Option<&ReadAt>) -> Result<HashSet<BuildId>, Error> {
        self.read_accounts(epochs, last).await?;
        self.read_revoked(epochs, last).await?;
        if last.is_none_or(|last| last.epochs.patches != epochs.patches) {
            let patches = self.store.patches().await?;
            self.patches.store(Arc::new(PatchSet::of(patches)));
        }
        let none = HashSet::new();
        let served = last.map_or(&none, |last| &last.serving);
        if let Some(last) = last.filter(|last| last.epochs.rejections != epochs.rejections) {
            let changes = self.store.rejections_since(last.epochs.rejections).await?;
            self.merge(changes.into_iter().filter(|(_, build, _)| served.contains(build)));
        }
        if last.is_some_and(|last| last.epochs.catalog == epochs.catalog) {
            self.renew_openings().await;
            return Ok(served.clone());
        }
        let (catalog, _) = self.store.load_catalog().await?;
        let catalog = self.with_fleets(self.with_openings(catalog).await).await?;
        let serving = serving_builds(&catalog);
        // Before the builds are offered: nobody is to be offered once more what they gave up.
        let added: Vec<BuildId> = serving.difference(served).copied().collect();
        if !added.is_empty() {
            let rejections = self.store.rejections(added).await?;
            self.merge(
                rejections
                    .into_iter()
                    .map(|(device, (build, rejection))| (device, build, Some(rejection))),
            );
        }
        self.catalog.store(Arc::new(catalog));
        if !served.is_subset(&serving) {
            self.forget_all_but(&serving);
        }
        Ok(serving)
    }

    /// The catalog with its calendars worked out, apart from the threads that answer.
    async fn with_openings(&self, catalog: Catalog) -> Catalog {
        if !self.works_ahead || catalog.calendars().is_empty() {
            return catalog;
        }
        let (now, earlier) = (self.clock.now(), self.catalog.load_full());
        let plain = catalog.clone();
        let work = move || catalog.with_openings(now, earlier.calendars());
        match tokio::task::spawn_blocking(work).await {
            Ok(catalog) => catalog,
            Err(fault) => {
                tracing::error!(%fault, "calendars could not be worked out ahead, and are for each poll");
                plain
            }
        }
    }

    /// The catalog with the sizes of the fleets that a gate watches. One that was not counted yet is: nobody is control
    /// until it is known.
    async fn with_fleets(&self, catalog: Catalog) -> Result<Catalog, Error> {
        let known = self.fleets.load_full();
        let unknown: Vec<PackageName> = catalog
            .gated_packages()
            .filter(|package| !known.contains_key(*package))
            .cloned()
            .collect();
        if unknown.is_empty() {
            return Ok(catalog.with_fleets(&known));
        }
        let mut fleets = known.as_ref().clone();
        fleets.extend(self.store.fleets(unknown).await?);
        let catalog = catalog.with_fleets(&fleets);
        self.fleets.store(Arc::new(fleets));
        Ok(catalog)
    }

    /// Counts the fleets that gates watch anew, and reads who entered their arms. Asks nobody where no rollout has a gate.
    ///
    /// # Errors
    /// As [`Snapshots::catch_up`].
    pub async fn catch_up_gates(&self) -> Result<(), Error> {
        let packages: Vec<PackageName> = self.catalog().gated_packages().cloned().collect();
        let fleets = match packages.is_empty() {
            true => Fleets::new(),
            false => self.store.fleets(packages).await?,
        };
        // Who reads the catalog anew meanwhile takes the numbers of before.
        let held = self.read_at.lock().await;
        let catalog = self.catalog.load_full();
        if **self.fleets.load() != fleets {
            let counted = catalog.as_ref().clone().with_fleets(&fleets);
            self.fleets.store(Arc::new(fleets));
            self.catalog.store(Arc::new(counted));
        }
        let gated: HashSet<RolloutId> = catalog
            .gated_packages()
            .flat_map(|package| catalog.gated_rollouts(package.as_str()))
            .collect();
        drop(held);
        self.gate_arms
            .catch_up(&self.store, &gated, self.clock.now())
            .await
    }

    /// What gates make of a device's poll about a package of this catalog.
    pub(crate) fn gates_watch(
        &self,
        catalog: &Catalog,
        (device_id, package): (&str, &str),
        watch: Option<&Watch>,
        now: DateTime<Utc>,
    ) -> Watched {
        let mut gated = catalog.gated_rollouts(package).peekable();
        match gated.peek() {
            None => Watched::default(),
            Some(_) => self.gate_arms.poll(device_id, watch, gated, now),
        }
    }

    /// Works the calendars out anew when what is there is a day old, or the clock was set back.
    async fn renew_openings(&self) {
        let catalog = self.catalog.load_full();
        if self.works_ahead && catalog.calendars().is_stale(self.clock.now()) {
            let catalog = self.with_openings(catalog.as_ref().clone()).await;
            self.catalog.store(Arc::new(catalog));
        }
    }

    async fn read_accounts(&self, epochs: &Epochs, last: Option<&ReadAt>) -> Result<(), Error> {
        let since = last.map_or(0, |last| last.epochs.people);
        if since != epochs.people {
            let changes = self.store.account_changes(since).await?;
            changes.tampered.iter().for_each(|account| tell_tampered(account));
            self.accounts.merge(changes);
        }
        Ok(())
    }

    async fn read_revoked(&self, epochs: &Epochs, last: Option<&ReadAt>) -> Result<(), Error> {
        let raised = match last {
            None => self.store.revoked_generations().await?,
            Some(last) if last.epochs.tokens == epochs.tokens => return Ok(()),
            Some(last) => self.store.revoked_since(last.epochs.tokens).await?,
        };
        let erased = self
            .store
            .erased_since(last.map_or(0, |last| last.epochs.tokens))
            .await?;
        let tags = self.erased.pin();
        for (tag, generation) in erased {
            tags.insert(tag, generation);
        }
        let (revoked, rejections) = (self.revoked.pin(), self.rejections.pin());
        for (device, generation) in raised {
            // Nothing asks for it before it enrols anew, and then it has given nothing up. An id that was erased in
            // between left nobody to tell so.
            rejections.remove(&device);
            revoked.insert(device, generation);
        }
        Ok(())
    }

    /// Rereads the tags of devices that changed as far as [`Snapshots::catch_up`] has found out. Asks nobody when none did.
    /// Until the first time is over, polls that need a device's tags are put off.
    ///
    /// # Errors
    /// As [`Snapshots::catch_up`].
    pub async fn catch_up_tags(&self) -> Result<(), Error> {
        let epoch = self.tags_epoch.load(Ordering::Acquire);
        self.overlays.catch_up(&self.store, epoch).await
    }

    /// As [`Snapshots::follow_own_change`], of tags.
    pub(crate) async fn follow_own_tags(&self) {
        self.follow_own_change().await;
        // Who does not answer polls, as at the console, needs nobody's tags.
        if !self.knows_tags() {
            return;
        }
        if let Err(error) = self.catch_up_tags().await {
            tracing::warn!(%error, "tags are written and will be known to polls a moment later");
        }
    }

    /// What operators gave to a device; `None`: nothing.
    pub(crate) fn overlay(&self, device: &str) -> Option<Arc<Overlay>> {
        self.overlays.of(device)
    }

    /// Whether the tags of all devices were read since the start.
    pub fn knows_tags(&self) -> bool {
        self.overlays.are_loaded()
    }

    /// How many devices have tags of the operators'.
    pub fn overlay_devices(&self) -> usize {
        self.overlays.devices()
    }

    /// Forgets what was given to a device that was erased.
    pub(crate) async fn forget_overlay(&self, device: &DeviceId) {
        self.overlays.forget(device).await;
    }

    /// As [`Snapshots::catch_up`], after a change that is committed already: should the database be away for a moment,
    /// the change is noticed with the next look, and must not be told as a failure.
    pub(crate) async fn follow_own_change(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "a change is committed and will be served a moment later");
        }
    }

    /// The time by which its plans are read.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// By how much the database's clock is ahead of this machine's.
    pub fn clock_ahead(&self) -> TimeDelta {
        self.clock.ahead()
    }

    /// The catalog as it stands.
    pub fn catalog(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// The patches as they stand.
    pub fn patches(&self) -> arc_swap::Guard<Arc<PatchSet>> {
        self.patches.load()
    }

    /// The package that is meant where none is named.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when none releases anything, [`Kind::Invalid`] when several do.
    pub(crate) fn only_package(&self) -> Result<PackageName, Error> {
        let catalog = self.catalog();
        let mut serving = catalog.tracks().filter(|track| !track.serving.is_empty());
        match (serving.next(), serving.next()) {
            (Some(track), None) => Ok(track.package.clone()),
            (None, _) => Err(Error::new(
                Kind::Conflict,
                "no_current_build",
                "no package releases anything: promote a build first",
            )),
            _ => Err(Error::invalid(
                "package_name",
                "must be named, because several packages release builds",
            )),
        }
    }

    /// The catalog's number, which every change raises.
    pub fn catalog_version(&self) -> i64 {
        self.standing.load().catalog
    }

    /// How long ago the database last said that there is no newer catalog.
    pub fn catalog_age(&self) -> Duration {
        self.standing.load().confirmed.elapsed()
    }

    /// The token generation that a device must present: 1 unless its token was revoked, or its id was erased before.
    pub(crate) fn token_generation(&self, device: &str, keys: &KeyRing) -> u32 {
        let known = self.revoked.pin().get(device).copied().unwrap_or(1);
        if self.erased.is_empty() {
            return known;
        }
        let erased = self.erased.pin();
        let tags = keys.erased_tags(device);
        let least = tags.iter().filter_map(|tag| erased.get(tag)).copied();
        least.fold(known, u32::max)
    }

    /// Which admin tokens are accepted.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The builds that devices gave up.
    pub(crate) fn rejections(&self) -> Rejections<'_> {
        Rejections(self.rejections.pin())
    }

    /// Takes over what was just written, so that the devices' next polls already know.
    pub(crate) fn merge(&self, changes: impl Iterator<Item = RejectionChange>) {
        let rejections = self.rejections.pin();
        for (device, build, rejection) in changes {
            // Most installations succeed on devices that never failed, and change nothing here.
            if rejection.is_none() && !rejections.contains_key(&device) {
                continue;
            }
            rejections.compute(device, |entry| {
                let known = entry.map_or(&[][..], |(_, known)| known.as_slice());
                let changed = with_rejection(known, build, rejection);
                if changed.is_empty() {
                    papaya::Operation::Remove::<_, ()>
                } else {
                    papaya::Operation::Insert(changed)
                }
            });
        }
    }

    /// Forgets what was given up of builds that serve no longer.
    fn forget_all_but(&self, serving: &HashSet<BuildId>) {
        let rejections = self.rejections.pin();
        let gone: Vec<(DeviceId, BuildId)> = rejections
            .iter()
            .flat_map(|(device, known)| known.iter().map(move |(build, _)| (device, *build)))
            .filter(|(_, build)| !serving.contains(build))
            .map(|(device, build)| (device.clone(), build))
            .collect();
        self.merge(gone.into_iter().map(|(device, build)| (device, build, None)));
    }
}

fn serving_builds(catalog: &Catalog) -> HashSet<BuildId> {
    catalog.offered_builds().map(|build| build.id).collect()
}

/// What a device gave up, with another word about one build.
fn with_rejection(
    known: &[BuildRejection],
    build: BuildId,
    rejection: Option<Rejection>,
) -> Vec<BuildRejection> {
    let others = known.iter().copied().filter(|(of, _)| *of != build);
    others
        .chain(rejection.map(|rejection| (build, rejection)))
        .collect()
}
