//! The store itself: one face over a folder and a bucket.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::signer::{Method, Signer as _};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _};
use tokio::task::spawn_blocking;
use url::Url;

use crate::Error;
use crate::bucket::{self, Bucket, S3Options};
use crate::folder::Folder;
use crate::key::{BLOBS, from_hex, hex, key};
use crate::pieces::pieces;
use crate::staging::{self, Staged, Staging};

/// A readiness probe that has to wait longer than this has its answer.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// The bytes of a blob, as they come.
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// A blob that is in the store for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub sha256: [u8; 32],
    /// In bytes.
    pub size: u64,
    /// Whether it was there before this commit. Not a licence to remove it otherwise: somebody else may have
    /// committed the same bytes since.
    pub existed: bool,
}

/// Where the blobs are. Cloning is cheap, and all clones are the same store.
#[derive(Clone)]
pub struct Store {
    place: Place,
    objects: Arc<dyn ObjectStore>,
    prefix: Key,
    staging: Arc<Path>,
    headroom: u64,
}

/// A commit is the only thing that the two do differently.
#[derive(Clone)]
enum Place {
    Folder(Arc<Folder>),
    Bucket(Bucket),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}

impl Store {
    /// Blobs in `root/blobs`, uploads in `root/staging`; both are created.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they can't be.
    pub fn local(root: &Path) -> Result<Store, Error> {
        let doing = || format!("use {} as artifact store", root.display());
        let folder = Folder::create(root).map_err(Error::while_doing(doing()))?;
        let objects = LocalFileSystem::new_with_prefix(folder.root()).map_err(Error::while_doing(doing()))?;
        Ok(Store {
            staging: folder.staging().into(),
            place: Place::Folder(Arc::new(folder)),
            objects: Arc::new(objects),
            prefix: Key::default(),
            headroom: 0,
        })
    }

    /// From the setting `artifact_store`: a path, `file:///path`, or `s3://bucket/prefix`.
    ///
    /// Uploads to S3 are staged in the given local folder, which is created. A folder stages inside itself,
    /// because a rename can't cross file systems.
    ///
    /// # Errors
    /// [`Error::Setting`] when the setting is not understood; it names what is wrong. A bucket is not asked
    /// here: see [`Store::ready`].
    pub fn open(place: &str, staging: &Path, options: &S3Options) -> Result<Store, Error> {
        if let Some(place) = place.strip_prefix("s3://") {
            return Store::bucket(place, staging, options);
        }
        Store::local(&folder_of(place)?)
    }

    /// Whether a store's folder is there; a bucket's owner made it. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Setting`] for a place that is none.
    pub fn is_there(place: &str) -> Result<bool, Error> {
        Ok(place.starts_with("s3://") || folder_of(place)?.exists())
    }

    fn bucket(place: &str, staging: &Path, options: &S3Options) -> Result<Store, Error> {
        let (bucket, prefix) = bucket::open(place, options)?;
        std::fs::create_dir_all(staging).map_err(Error::while_doing(format!(
            "use {} for staging",
            staging.display()
        )))?;
        let objects = Arc::clone(&bucket.objects) as Arc<dyn ObjectStore>;
        Ok(Store {
            place: Place::Bucket(bucket),
            objects,
            prefix,
            staging: staging.into(),
            headroom: 0,
        })
    }

    /// The same store, whose uploads leave so many bytes of the staging folder's disk free.
    #[must_use]
    pub fn with_headroom(self, bytes: u64) -> Self {
        Self {
            headroom: bytes,
            ..self
        }
    }

    /// Begins an upload of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Full`] when less than the headroom is free; [`Error::Unavailable`] when the staging folder can't be
    /// written.
    pub async fn stage(&self, limit: u64) -> Result<Staging, Error> {
        self.stage_beside(limit, self.headroom).await
    }

    async fn stage_beside(&self, limit: u64, headroom: u64) -> Result<Staging, Error> {
        let folder = Arc::clone(&self.staging);
        spawn_blocking(move || Staging::create(&folder, limit, headroom))
            .await
            .map_err(Error::while_doing("begin an upload"))?
    }

    /// All blobs, each with its size in bytes, in no order. What is not named as a blob is left out.
    pub fn list(&self) -> BoxStream<'static, Result<([u8; 32], u64), Error>> {
        let folder = self.prefix.clone().join(BLOBS);
        let doing = format!("list {folder}");
        self.objects
            .list(Some(&folder))
            .try_filter_map(|meta| async move {
                let name = meta.location.filename().and_then(from_hex);
                Ok(name.map(|sha256| (sha256, meta.size)))
            })
            .map_err(move |error| Error::while_doing(&doing)(error))
            .boxed()
    }

    /// Makes the upload a blob, durably. The same bytes twice are one blob.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the disk or the bucket fails; then there is no new blob and the upload is
    /// gone.
    pub async fn commit(&self, staged: Staged) -> Result<Blob, Error> {
        let (sha256, size) = (*staged.sha256(), staged.size());
        let existed = match &self.place {
            Place::Folder(folder) => {
                let folder = Arc::clone(folder);
                let doing = || format!("commit blob {}", hex(&sha256));
                spawn_blocking(move || folder.commit(staged.path, &sha256, size))
                    .await
                    .map_err(Error::while_doing(doing()))?
                    .map_err(Error::while_doing(doing()))?
            }
            Place::Bucket(bucket) => {
                let existed = self.size(&sha256).await? == Some(size);
                if !existed {
                    bucket::upload(&bucket.objects, &key(&self.prefix, &sha256), staged.path(), size).await?;
                }
                existed
            }
        };
        Ok(Blob {
            sha256,
            size,
            existed,
        })
    }

    /// Removes a blob; one that is not there is fine. Downloads in progress from a folder go on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the disk or the bucket fails.
    pub async fn remove(&self, sha256: &[u8; 32]) -> Result<(), Error> {
        let key = key(&self.prefix, sha256);
        match self.objects.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::while_doing(format!("remove {key}"))(error)),
        }
    }

    /// The bytes `range.start..range.end`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::OutOfRange`] when the blob ends before the range does, and
    /// [`Error::Unavailable`], which may also come in mid-stream.
    pub async fn read(&self, sha256: &[u8; 32], range: Range<u64>) -> Result<Chunks, Error> {
        if range.is_empty() {
            return self.nothing(sha256, range).await;
        }
        let key = key(&self.prefix, sha256);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        match self.objects.get_opts(&key, options).await {
            Ok(found) if found.range == range => Ok(chunks(found.payload, range, &key)),
            Ok(found) => Err(Error::OutOfRange {
                range,
                size: found.meta.size,
            }),
            Err(object_store::Error::NotFound { .. }) => Err(Error::Missing { sha256: hex(sha256) }),
            // Each server has its own words for a range that begins after the end.
            Err(error) => match self.size(sha256).await {
                Ok(Some(size)) if range.end > size => Err(Error::OutOfRange { range, size }),
                _ => Err(Error::while_doing(format!("read {key}"))(error)),
            },
        }
    }

    /// A URL under which anybody may fetch the blob from the bucket for so long; `None` for blobs in a folder. Nobody can take
    /// it back before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there are no credentials to sign with.
    pub async fn signed_url(&self, sha256: &[u8; 32], holds: Duration) -> Result<Option<String>, Error> {
        let Place::Bucket(bucket) = &self.place else {
            return Ok(None);
        };
        let key = key(&self.prefix, sha256);
        let url = bucket.public.signed_url(Method::GET, &key, holds).await;
        let url = url.map_err(Error::while_doing(format!("sign a URL of {key}")))?;
        Ok(Some(url.into()))
    }

    /// An empty range, which HTTP can't ask for.
    async fn nothing(&self, sha256: &[u8; 32], range: Range<u64>) -> Result<Chunks, Error> {
        match self.size(sha256).await? {
            None => Err(Error::Missing { sha256: hex(sha256) }),
            Some(size) if range.start > size || range.end > size => Err(Error::OutOfRange { range, size }),
            Some(_) => Ok(stream::empty().boxed()),
        }
    }

    /// The blob's size in bytes, or `None` when there is no such blob.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the disk or the bucket fails.
    pub async fn size(&self, sha256: &[u8; 32]) -> Result<Option<u64>, Error> {
        let key = key(&self.prefix, sha256);
        match self.objects.head(&key).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::while_doing(format!("look at {key}"))(error)),
        }
    }

    /// Whether the store works: the staging folder takes a byte, and the bucket lets us in.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Unavailable`] with the reason, after five seconds at most.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut probe = self.stage_beside(1, 0).await?;
        probe.write(Bytes::from_static(b"!")).await?;
        drop(probe.finish().await?);
        if let Place::Folder(folder) = &self.place {
            return folder
                .look()
                .await
                .map_err(Error::while_doing("look into the artifact folder"));
        }
        // A listing and not a HEAD: for a missing bucket and a missing key HEAD has the same answer.
        let nowhere = self.prefix.clone().join("ready");
        let mut listing = self.objects.list(Some(&nowhere));
        match tokio::time::timeout(READY_LIMIT, listing.try_next()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::while_doing("list the bucket")(error)),
            Err(elapsed) => Err(Error::while_doing("list the bucket")(elapsed)),
        }
    }

    /// Removes uploads that were not written to since `before`, and returns how many: what a killed process
    /// left. Call it at start, with a time well before any upload of another process that may share the folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the staging folder can't be read.
    pub async fn sweep_staging(&self, before: SystemTime) -> Result<usize, Error> {
        let folder = Arc::clone(&self.staging);
        let doing = || format!("sweep {}", self.staging.display());
        spawn_blocking(move || staging::sweep(&folder, before))
            .await
            .map_err(Error::while_doing(doing()))?
            .map_err(Error::while_doing(doing()))
    }
}

/// A plain path or a `file:` URL.
fn folder_of(place: &str) -> Result<PathBuf, Error> {
    let wrong = |what: &str| Error::Setting(format!("artifact store {place:?}: {what}"));
    if place.is_empty() {
        return Err(wrong("it is empty; give a folder or s3://bucket/prefix"));
    }
    if !place.contains("://") {
        return Ok(PathBuf::from(place));
    }
    let url = Url::parse(place).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "file" {
        return Err(wrong("give a folder, file:///folder or s3://bucket/prefix"));
    }
    url.to_file_path()
        .map_err(|()| wrong("a file URL has three slashes and no host"))
}

/// Streams what `get` found. A file is read by us: object_store's own chunks are small, and each is a hop to
/// another thread.
fn chunks(payload: GetResultPayload, range: Range<u64>, key: &Key) -> Chunks {
    let doing = format!("read {key}");
    match payload {
        GetResultPayload::File(file, _) => pieces(file, range)
            .map_err(move |error| Error::while_doing(&doing)(error))
            .boxed(),
        GetResultPayload::Stream(bytes) => bytes
            .map_err(move |error| Error::while_doing(&doing)(error))
            .boxed(),
    }
}
