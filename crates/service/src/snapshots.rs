//! What every replica keeps in memory, so that a poll asks no database: the catalog, the revoked tokens and the
//! builds that devices gave up.
//!
//! Each is an immutable snapshot behind an atomic pointer. A change made here is seen at once, one made by
//! another replica when [`Snapshots::catch_up`] next finds that the database has moved on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_domain::{Catalog, DeviceId, PackageName, Rejection};
use tidegate_storage::{Epochs, Store};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::reports::RejectionChange;
use crate::{Error, Kind};

/// The snapshots.
pub struct Snapshots {
    store: Store,
    catalog: ArcSwap<Catalog>,
    revoked: ArcSwap<HashMap<DeviceId, u32>>,
    rejections: ArcSwap<HashMap<DeviceId, Vec<Rejection>>>,
    /// What the snapshots were read at. Held while reading, so that an older read never replaces a newer one.
    read_at: Mutex<Option<Epochs>>,
    /// Which catalog this is, and when the database last said that there is no newer one.
    standing: ArcSwap<Standing>,
}

/// How far a server's snapshots can be trusted.
#[derive(Clone, Copy, Debug)]
struct Standing {
    catalog: i64,
    confirmed: Instant,
}

impl Snapshots {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`] when the database does not answer.
    #[allow(clippy::disallowed_methods, reason = "how old a snapshot really is")]
    pub async fn load(store: Store) -> Result<Self, Error> {
        let snapshots = Self {
            store,
            catalog: ArcSwap::default(),
            revoked: ArcSwap::default(),
            rejections: ArcSwap::default(),
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
    /// [`crate::Kind::Unavailable`] when the database does not answer; the snapshots stay as they are.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let mut read_at = self.read_at.lock().await;
        // Taken before the reading: a change in between is then read again rather than missed.
        #[allow(clippy::disallowed_methods, reason = "how old a snapshot really is")]
        let asked = Instant::now();
        let epochs = self.store.epochs().await?;
        let last = *read_at;
        if last.is_none_or(|last| last.catalog != epochs.catalog) {
            let (catalog, _) = self.store.load_catalog().await?;
            self.catalog.store(Arc::new(catalog));
        }
        if last.is_none_or(|last| last.tokens != epochs.tokens) {
            let revoked = self.store.revoked_generations().await?;
            self.revoked.store(Arc::new(revoked.into_iter().collect()));
        }
        if last.is_none_or(|last| last.rejections != epochs.rejections || last.catalog != epochs.catalog) {
            self.rejections
                .store(Arc::new(by_device(self.store.rejections().await?)));
        }
        *read_at = Some(epochs);
        self.standing.store(Arc::new(Standing {
            catalog: epochs.catalog,
            confirmed: asked,
        }));
        Ok(())
    }

    /// As [`Snapshots::catch_up`], after a change that is committed already: should the database be away for a moment,
    /// the change is noticed with the next look, and must not be told as a failure.
    pub(crate) async fn follow_own_change(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "a change is committed and will be served a moment later");
        }
    }

    /// The catalog as it stands.
    pub fn catalog(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// The package that is meant where none is named.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when none releases anything, [`Kind::Invalid`] when several do.
    pub(crate) fn only_package(&self) -> Result<PackageName, Error> {
        let catalog = self.catalog();
        let mut serving = catalog
            .packages()
            .filter(|(_, package)| !package.serving.is_empty());
        match (serving.next(), serving.next()) {
            (Some((name, _)), None) => Ok(name.clone()),
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

    /// The token generation that a device must present: 1 unless its token was revoked.
    pub(crate) fn token_generation(&self, device: &str) -> u32 {
        self.revoked.load().get(device).copied().unwrap_or(1)
    }

    /// The builds that devices gave up.
    pub(crate) fn rejections(&self) -> arc_swap::Guard<Arc<HashMap<DeviceId, Vec<Rejection>>>> {
        self.rejections.load()
    }

    /// Takes over what a group of reports just wrote, so that the devices' next polls already know.
    pub(crate) fn apply<'a>(&self, changes: impl Iterator<Item = RejectionChange<'a>>) {
        let known = self.rejections.load();
        // Most installations succeed on devices that never failed, and change nothing here.
        let changes: Vec<_> = changes
            .filter(|(device, _, rejection)| rejection.is_some() || known.contains_key(*device))
            .collect();
        if changes.is_empty() {
            return;
        }
        self.rejections.rcu(|current| {
            let mut map = HashMap::clone(current);
            for (device, build, rejection) in &changes {
                let known = map.entry((*device).clone()).or_default();
                known.retain(|known| known.build != *build);
                known.extend(*rejection);
                if known.is_empty() {
                    map.remove(*device);
                }
            }
            map
        });
    }
}

fn by_device(rejections: Vec<(DeviceId, Rejection)>) -> HashMap<DeviceId, Vec<Rejection>> {
    let mut map: HashMap<DeviceId, Vec<Rejection>> = HashMap::new();
    for (device, rejection) in rejections {
        map.entry(device).or_default().push(rejection);
    }
    map
}
