//! Handing a build's file to the device that a signed URL was made for.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use tidegate_artifacts as artifacts;
use tidegate_domain::{Build, BuildId, DeviceId, Role, RolloutId, Sha256};
use tidegate_signing::{DownloadError, DownloadQuery, KeyRing};
use tidegate_storage::{Fetched, Store};

use crate::download_slots::{DownloadSlots, Slot};
use crate::patches::{OfferedPatch, PatchSet};
use crate::sent_bytes::{Fetch, SentBytes};
use crate::{Actor, Authenticator, Clock, Error, Kind, Reports, Snapshots, credential_watch};

/// Hands files out.
pub struct Downloads {
    store: Store,
    artifacts: artifacts::Store,
    snapshots: Arc<Snapshots>,
    keys: Arc<KeyRing>,
    authenticator: Arc<Authenticator>,
    reports: Reports,
    sent: Arc<SentBytes>,
    clock: Arc<dyn Clock>,
    redirects: bool,
    slots: Arc<DownloadSlots>,
}

/// How long a URL of the bucket's holds that a device is sent to. Nobody can take it back, so it is short; a download that
/// has begun goes on.
pub const REDIRECT_HOLDS: Duration = Duration::from_secs(15 * 60);

/// A file that may be fetched.
pub struct Download {
    /// The build whose file it is, or that the patch leads to.
    pub build: Arc<Build>,
    /// The patch that is fetched in the file's place.
    pub patch: Option<OfferedPatch>,
    device: Option<DeviceId>,
    rollout: Option<RolloutId>,
    /// Whether a health gate counts it, so that more than its end is to be known.
    gated: bool,
}

impl Download {
    /// What the file is called in the artifact store.
    pub fn sha256(&self) -> Sha256 {
        self.patch.map_or(self.build.facts.sha256, |patch| patch.sha256)
    }

    /// The file's size, in bytes.
    pub fn size(&self) -> u64 {
        self.patch.map_or(self.build.facts.size, |patch| patch.size)
    }
}

/// A file's bytes, as they go out.
pub type FileStream = BoxStream<'static, Result<Bytes, Error>>;

impl Downloads {
    /// Over these stores.
    pub fn new(
        store: Store,
        artifacts: artifacts::Store,
        snapshots: Arc<Snapshots>,
        keys: Arc<KeyRing>,
        authenticator: Arc<Authenticator>,
        reports: Reports,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            artifacts,
            snapshots,
            keys,
            authenticator,
            reports,
            sent: Arc::default(),
            clock,
            redirects: false,
            slots: Arc::default(),
        }
    }

    /// Sends files to no more devices at once than there are places. People are not counted: an operator who looks at a
    /// file must not be kept from it by the fleet.
    #[must_use]
    pub fn limited(self, slots: Arc<DownloadSlots>) -> Self {
        Self { slots, ..self }
    }

    /// Sends devices that can follow to the bucket for their files, or none.
    #[must_use]
    pub fn redirecting(self, redirects: bool) -> Self {
        Self { redirects, ..self }
    }

    /// Checks a signed URL. A device token, where one is sent along, must be the same device's.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a URL that was altered, has expired, is another device's or a
    /// revoked device's; [`Kind::NotFound`].
    pub async fn authorize(
        &self,
        id: BuildId,
        query: &DownloadQuery,
        device_token: Option<&str>,
    ) -> Result<Download, Error> {
        let generation = self.snapshots.token_generation(&query.device_id, &self.keys);
        let verdict = self.keys.verify_download(id, query, generation, self.clock.now());
        let (device, rollout) = self.permitted(verdict, query, device_token)?;
        Ok(Download {
            build: self.build(id).await?,
            patch: None,
            device: Some(device),
            rollout,
            gated: self.is_gated(id, rollout),
        })
    }

    /// The same for the patch to a build from another.
    ///
    /// # Errors
    /// As [`Downloads::authorize`]; [`Kind::NotFound`] with `no_patch` for one that is not there any more.
    pub async fn authorize_patch(
        &self,
        (id, base): (BuildId, BuildId),
        query: &DownloadQuery,
        device_token: Option<&str>,
    ) -> Result<Download, Error> {
        let generation = self.snapshots.token_generation(&query.device_id, &self.keys);
        let verdict = self
            .keys
            .verify_patch((id, base), query, generation, self.clock.now());
        let (device, rollout) = self.permitted(verdict, query, device_token)?;
        Ok(Download {
            build: self.build(id).await?,
            patch: Some(self.patch(id, base).await?),
            device: Some(device),
            rollout,
            gated: self.is_gated(id, rollout),
        })
    }

    /// Lets a person fetch the patch to a build from another.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`].
    pub async fn authorize_person_patch(
        &self,
        actor: &Actor,
        (id, base): (BuildId, BuildId),
    ) -> Result<Download, Error> {
        let download = self.authorize_person(actor, id).await?;
        Ok(Download {
            patch: Some(self.patch(id, base).await?),
            ..download
        })
    }

    fn permitted(
        &self,
        verdict: Result<(), DownloadError>,
        query: &DownloadQuery,
        device_token: Option<&str>,
    ) -> Result<(DeviceId, Option<RolloutId>), Error> {
        verdict.map_err(|fault| {
            let code = match fault {
                DownloadError::Expired => "url_expired",
                DownloadError::Tampered | DownloadError::Malformed => "url_refused",
            };
            Error::new(Kind::Forbidden, code, fault.to_string())
        })?;
        credential_watch::seen();
        if let Some(token) = device_token {
            self.authenticator.device_claiming(token, &query.device_id)?;
        }
        let device = DeviceId::parse(&query.device_id)?;
        Ok((device, query.rollout_id.map(RolloutId)))
    }

    /// Patches that are offered are in memory; another server may have made one a moment ago.
    async fn patch(&self, build: BuildId, base: BuildId) -> Result<OfferedPatch, Error> {
        if let Some(patch) = self.snapshots.patches().made_between(build, base) {
            return Ok(*patch);
        }
        let known = PatchSet::of(self.store.patches_of(build).await?);
        let patch = known.made_between(build, base).copied();
        patch.ok_or_else(|| no_patch(build, base))
    }

    /// Lets a person fetch a build's file.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`].
    pub async fn authorize_person(&self, actor: &Actor, id: BuildId) -> Result<Download, Error> {
        actor.require(Role::Viewer)?;
        Ok(Download {
            build: self.build(id).await?,
            patch: None,
            device: None,
            rollout: None,
            gated: false,
        })
    }

    /// Whether the rollout has a health gate; where none is named, one of the build's.
    fn is_gated(&self, build: BuildId, rollout: Option<RolloutId>) -> bool {
        let catalog = self.snapshots.catalog();
        let mut releases = catalog.releases().filter(|release| match rollout {
            Some(rollout) => release.rollout.id == rollout,
            None => release.build.id == build,
        });
        releases.any(|release| release.rollout.spec.gate.is_some())
    }

    /// The builds that devices fetch are in the catalog; the database is asked for others only.
    async fn build(&self, id: BuildId) -> Result<Arc<Build>, Error> {
        let offered = {
            let catalog = self.snapshots.catalog();
            catalog
                .offered_builds()
                .find(|build| build.id == id)
                .map(Arc::clone)
        };
        match offered {
            Some(build) => Ok(build),
            None => {
                let build = self.store.build(id).await?;
                if self.store.build_deleted_at(id).await?.is_some() {
                    let message = format!("build {id} was deleted, and its file with it");
                    return Err(Error::not_found("build_deleted", message));
                }
                Ok(Arc::new(build))
            }
        }
    }

    /// Where a device may fetch the file instead of here: a URL of the bucket that holds for [`REDIRECT_HOLDS`]. `None` where
    /// devices are not sent there, and for people. What the bucket sends is not counted here; the device's report is.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when no URL can be signed.
    pub async fn elsewhere(&self, download: &Download) -> Result<Option<String>, Error> {
        if !self.redirects || download.device.is_none() {
            return Ok(None);
        }
        let sha256 = &download.sha256().0;
        Ok(self.artifacts.signed_url(sha256, REDIRECT_HOLDS).await?)
    }

    /// Notes that a device was sent to the bucket for its file. For a health gate it has it from then on.
    pub fn sent_elsewhere(&self, download: &Download) {
        let sent = match &download.patch {
            Some(patch) => Fetched::Patch(patch.size),
            None if download.gated => Fetched::Redirect,
            None => return,
        };
        if let Some(device) = download.device.clone() {
            self.reports.sent(device, &download.build, download.rollout, sent);
        }
    }

    /// Has a patch made anew whose file is gone or cut, as after the database was restored.
    async fn lost(&self, build: BuildId, patch: &OfferedPatch) -> Error {
        let base = patch.base;
        tracing::warn!(
            build_id = build.0,
            base_build_id = base.0,
            "a patch's file is gone, or was cut"
        );
        match self.store.lose_patch(build, base, patch.sha256).await {
            Ok(_) => self.snapshots.follow_own_change().await,
            Err(error) => tracing::warn!(%error, "it could not be noted that a patch's file is gone"),
        }
        no_patch(build, base)
    }

    /// The bytes of a part of the file. The download is counted when every byte of the file has gone out to this
    /// device, over however many requests.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the artifact store does not answer, and when as many devices are sent files as may
    /// be, or this one fetches as much at once as it may.
    pub async fn open(&self, download: &Download, range: Range<u64>) -> Result<FileStream, Error> {
        let place = download.device.as_ref().map(|device| self.slots.take(device));
        let slot = place.transpose()?;
        let bytes = self.artifacts.read(&download.sha256().0, range.clone()).await;
        let bytes = match (bytes, &download.patch) {
            // A build's file has to be there; without a patch a device takes that one.
            (Err(artifacts::Error::Missing { .. }), Some(patch)) => {
                return Err(self.lost(download.build.id, patch).await);
            }
            // What is left of it must go first, or the new one would be taken to be there already.
            (Err(artifacts::Error::OutOfRange { .. }), Some(patch)) if range.end <= patch.size => {
                self.artifacts.remove(&patch.sha256.0).await?;
                return Err(self.lost(download.build.id, patch).await);
            }
            (bytes, _) => bytes?,
        };
        let count = download.device.clone().map(|device| Count {
            reports: self.reports.clone(),
            sent: Arc::clone(&self.sent),
            clock: Arc::clone(&self.clock),
            device,
            build: Arc::clone(&download.build),
            patch: download.patch,
            rollout: download.rollout,
            gated: download.gated,
        });
        Ok(Box::pin(Counted {
            bytes,
            taken: range.start..range.start,
            count,
            _slot: slot,
        }))
    }
}

/// What is to be done when a stream ends.
struct Count {
    reports: Reports,
    sent: Arc<SentBytes>,
    clock: Arc<dyn Clock>,
    device: DeviceId,
    build: Arc<Build>,
    patch: Option<OfferedPatch>,
    rollout: Option<RolloutId>,
    gated: bool,
}

fn no_patch(build: BuildId, base: BuildId) -> Error {
    let message = format!("there is no patch to build {build} from build {base}; take the whole file");
    Error::not_found("no_patch", message)
}

impl Count {
    /// Notes that the file's first byte went out.
    fn begin(&self) {
        if self.gated {
            let (device, build) = (self.device.clone(), &self.build);
            self.reports.sent(device, build, self.rollout, Fetched::First);
        }
    }

    /// Adds these bytes to those that went out before, and counts the download that they complete.
    fn add(self, taken: Range<u64>) {
        let fetch = Fetch {
            device: self.device.clone(),
            build: self.build.id,
            base: self.patch.map(|patch| patch.base),
        };
        let size = self.patch.map_or(self.build.facts.size, |patch| patch.size);
        let any = !taken.is_empty();
        if !self.sent.complete(fetch, taken, size, self.clock.now()) {
            if any && self.gated {
                self.reports
                    .sent(self.device, &self.build, self.rollout, Fetched::Some);
            }
            return;
        }
        tracing::info!(
            event = "ota.download.complete",
            device_id = %self.device,
            build_id = self.build.id.0,
            version_code = self.build.facts.version_code.get(),
            base_build_id = self.patch.map(|patch| patch.base.0),
        );
        let sent = self
            .patch
            .map_or(Fetched::Whole, |patch| Fetched::Patch(patch.size));
        self.reports.sent(self.device, &self.build, self.rollout, sent);
    }
}

/// A stream that counts the bytes that the connection took, once the connection lets go of it: at its end, or before
/// it when the client went away. It can't wait to be asked for its end: a connection that was told the length never
/// asks.
///
/// What the connection took may still have been lost on the way. A client resumes at what it has, so that the bytes
/// it lacks are sent again and the sum stays right.
struct Counted {
    bytes: artifacts::Chunks,
    taken: Range<u64>,
    count: Option<Count>,
    /// Given back with the stream, however the connection ends.
    _slot: Option<Slot>,
}

impl Stream for Counted {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = futures::ready!(Pin::new(&mut self.bytes).poll_next(context));
        if let Some(Ok(bytes)) = &item
            && !bytes.is_empty()
        {
            if self.taken == (0..0)
                && let Some(count) = &self.count
            {
                count.begin();
            }
            self.taken.end += bytes.len() as u64;
        }
        Poll::Ready(item.map(|item| item.map_err(Error::from)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.count.take() {
            count.add(self.taken.clone());
        }
    }
}
