//! Handing a build's file to the device that a signed URL was made for.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use tidegate_artifacts as artifacts;
use tidegate_domain::{Build, BuildId, DeviceId, Role, RolloutId};
use tidegate_signing::{DownloadError, DownloadQuery, KeyRing};
use tidegate_storage::Store;

use crate::{Actor, Authenticator, Clock, Error, Kind, Reports, Snapshots};

/// Hands files out.
pub struct Downloads {
    store: Store,
    artifacts: artifacts::Store,
    snapshots: Arc<Snapshots>,
    keys: Arc<KeyRing>,
    authenticator: Arc<Authenticator>,
    reports: Reports,
    clock: Arc<dyn Clock>,
}

/// A file that may be fetched.
pub struct Download {
    /// The build whose file it is.
    pub build: Arc<Build>,
    device: Option<DeviceId>,
    rollout: Option<RolloutId>,
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
            clock,
        }
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
        let generation = self.snapshots.token_generation(&query.device_id);
        self.keys
            .verify_download(id, query, generation, self.clock.now())
            .map_err(|fault| {
                let code = match fault {
                    DownloadError::Expired => "url_expired",
                    DownloadError::Tampered | DownloadError::Malformed => "url_refused",
                };
                Error::new(Kind::Forbidden, code, fault.to_string())
            })?;
        if let Some(token) = device_token {
            self.authenticator.device_claiming(token, &query.device_id)?;
        }
        let device = DeviceId::parse(&query.device_id)?;
        Ok(Download {
            build: self.build(id).await?,
            device: Some(device),
            rollout: query.rollout_id.map(RolloutId),
        })
    }

    /// Lets a person fetch a build's file.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`].
    pub async fn authorize_person(&self, actor: &Actor, id: BuildId) -> Result<Download, Error> {
        actor.require(Role::Viewer)?;
        Ok(Download {
            build: self.build(id).await?,
            device: None,
            rollout: None,
        })
    }

    /// The builds that devices fetch are in the catalog; the database is asked for others only.
    async fn build(&self, id: BuildId) -> Result<Arc<Build>, Error> {
        let offered = {
            let catalog = self.snapshots.catalog();
            let mut serving = catalog.tracks().flat_map(|track| &track.serving);
            serving
                .find(|release| release.build.id == id)
                .map(|release| Arc::clone(&release.build))
        };
        match offered {
            Some(build) => Ok(build),
            None => Ok(Arc::new(self.store.build(id).await?)),
        }
    }

    /// The bytes of a part of the file. When the file's last byte has gone out, the download is counted.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the artifact store does not answer.
    pub async fn open(&self, download: &Download, range: Range<u64>) -> Result<FileStream, Error> {
        let facts = &download.build.facts;
        let (left, reaches_the_end) = (range.end.saturating_sub(range.start), range.end == facts.size);
        let bytes = self.artifacts.read(&facts.sha256.0, range).await?;
        let count = download
            .device
            .clone()
            .filter(|_| reaches_the_end)
            .map(|device| Count {
                reports: self.reports.clone(),
                device,
                build: Arc::clone(&download.build),
                rollout: download.rollout,
            });
        Ok(Box::pin(Counted { bytes, left, count }))
    }
}

/// What is to be done when the last byte is out.
struct Count {
    reports: Reports,
    device: DeviceId,
    build: Arc<Build>,
    rollout: Option<RolloutId>,
}

impl Count {
    fn now(self) {
        tracing::info!(
            event = "ota.download.complete",
            device_id = %self.device,
            build_id = self.build.id.0,
            version_code = self.build.facts.version_code.get(),
        );
        self.reports.downloaded(self.device, &self.build, self.rollout);
    }
}

/// A stream that counters a download once the connection has taken all of its bytes and lets go of it. It can't wait
/// to be asked for its end: a connection that was told the length never asks.
struct Counted {
    bytes: artifacts::Chunks,
    /// Bytes that were not taken yet.
    left: u64,
    count: Option<Count>,
}

impl Stream for Counted {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = futures::ready!(Pin::new(&mut self.bytes).poll_next(context));
        Poll::Ready(item.map(|item| match item {
            Ok(bytes) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Ok(bytes)
            }
            Err(error) => {
                self.count = None;
                Err(error.into())
            }
        }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.count.take().filter(|_| self.left == 0) {
            count.now();
        }
    }
}
