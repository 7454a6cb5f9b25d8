//! A witness: a place that is told a line now and then, and gives none of them up.
//!
//! It is for what must be found even when everything else on the machine was rewritten, so it lies where the server may
//! add and not change: a file that its owner made append-only, or a bucket in which no object is ever written twice.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path as File, PathBuf};
use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::task::spawn_blocking;

use crate::Error;
use crate::bucket::{self, Bucket, S3Options};

/// How many lines are read at most. One an hour makes as many in twenty-two years.
pub const MAX_WITNESSED: usize = 200_000;

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// How many objects are fetched at once.
const FETCHES: usize = 16;

/// Such a place.
#[derive(Clone)]
pub struct Witness(Place);

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Bucket(Bucket, Key),
}

impl Witness {
    /// From a setting: the path of a file, or `s3://bucket/prefix`. Neither is touched.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn open(place: &str, options: &S3Options) -> Result<Self, Error> {
        if let Some(place) = place.strip_prefix("s3://") {
            let (bucket, prefix) = bucket::open(place, options)?;
            return Ok(Self(Place::Bucket(bucket, prefix)));
        }
        if place.is_empty() || place.contains("://") {
            let words = format!("witness {place:?}: give a file's path or s3://bucket/prefix");
            return Err(Error::Setting(words));
        }
        Ok(Self(Place::File(PathBuf::from(place))))
    }

    /// Adds a line, durably. In a bucket it becomes an object of this name, unless there is one: that stays as it is.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`]; then the line may be there or not.
    pub async fn append(&self, name: &str, line: &str) -> Result<(), Error> {
        match &self.0 {
            Place::File(path) => {
                let doing = || format!("append to {}", path.display());
                let (path, line) = (path.clone(), line.to_owned());
                spawn_blocking(move || append(&path, &line))
                    .await
                    .map_err(Error::while_doing(doing()))?
                    .map_err(Error::while_doing(doing()))
            }
            Place::Bucket(bucket, prefix) => {
                let key = prefix.clone().join(name);
                // Not every server knows the condition below.
                if bucket.objects.head(&key).await.is_ok() {
                    return Ok(());
                }
                let once = PutOptions {
                    mode: PutMode::Create,
                    ..PutOptions::default()
                };
                let bytes = format!("{line}\n").into_bytes();
                match bucket.objects.put_opts(&key, bytes.into(), once).await {
                    Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
                    Err(fault) => Err(Error::while_doing(format!("write {key}"))(fault)),
                }
            }
        }
    }

    /// All lines, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also for more than [`MAX_WITNESSED`].
    pub async fn lines(&self) -> Result<Vec<String>, Error> {
        match &self.0 {
            Place::File(path) => {
                let doing = || format!("read {}", path.display());
                let path = path.clone();
                let text = spawn_blocking(move || read(&path))
                    .await
                    .map_err(Error::while_doing(doing()))?
                    .map_err(Error::while_doing(doing()))?;
                bounded(text.lines().map(str::to_owned).collect())
            }
            Place::Bucket(bucket, prefix) => {
                let objects: Arc<dyn ObjectStore> = Arc::clone(&bucket.objects) as _;
                let doing = format!("read the witness in {prefix}");
                let keys: Vec<Key> = objects
                    .list(Some(prefix))
                    .take(MAX_WITNESSED + 1)
                    .map_ok(|meta| meta.location)
                    .try_collect()
                    .await
                    .map_err(Error::while_doing(&doing))?;
                let keys = bounded(keys)?;
                let fetch = |key: Key| {
                    let objects = Arc::clone(&objects);
                    async move {
                        let found = objects.get(&key).await?;
                        if found.meta.size > MAX_LINE_BYTES {
                            return Ok(String::new());
                        }
                        let bytes = found.bytes().await?;
                        Ok::<_, object_store::Error>(String::from_utf8_lossy(&bytes).trim_end().to_owned())
                    }
                };
                futures::stream::iter(keys)
                    .map(fetch)
                    .buffer_unordered(FETCHES)
                    .try_collect()
                    .await
                    .map_err(Error::while_doing(&doing))
            }
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Place::File(path) => write!(f, "Witness({})", path.display()),
            Place::Bucket(_, prefix) => write!(f, "Witness(bucket, {prefix})"),
        }
    }
}

fn bounded<T>(lines: Vec<T>) -> Result<Vec<T>, Error> {
    if lines.len() > MAX_WITNESSED {
        return Err(Error::Unavailable {
            doing: "read the witness".to_owned(),
            source: format!("it has more than {MAX_WITNESSED} lines; begin another one").into(),
        });
    }
    Ok(lines)
}

/// A line that a crash cut off is ended first, so that it spoils no other.
fn append(path: &File, line: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let begin = if ends_a_line(path)? { "" } else { "\n" };
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_all()
}

fn ends_a_line(path: &File) -> std::io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn read(path: &File) -> std::io::Result<String> {
    let limit = MAX_WITNESSED as u64 * MAX_LINE_BYTES;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
