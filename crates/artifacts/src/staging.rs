//! An upload on its way in: a file that nobody else sees, and its hash as far as it has come.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::task::spawn_blocking;

use crate::Error;

/// Bytes are handed to a blocking thread in batches of about this size: a hand-over for each network read
/// would cost more than the hashing.
const BATCH_BYTES: usize = 256 * 1024;

/// How the sweeper knows our files from somebody else's.
const PREFIX: &str = "upload-";
const SUFFIX: &str = ".part";

/// An upload in progress. Dropping it removes what was written.
#[derive(Debug)]
pub struct Staging {
    path: TempPath,
    /// `None` while a batch is being written, and for good after one failed.
    sink: Option<Sink>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    size: u64,
    limit: u64,
    headroom: u64,
}

#[derive(Debug)]
struct Sink {
    file: File,
    hash: Sha256,
}

impl Sink {
    fn take(mut self, batch: Vec<Bytes>) -> std::io::Result<Sink> {
        for bytes in batch {
            self.hash.update(&bytes);
            self.file.write_all(&bytes)?;
        }
        Ok(self)
    }
}

impl Staging {
    /// At least `headroom` bytes are left free on the disk.
    pub(crate) fn create(folder: &Path, limit: u64, headroom: u64) -> Result<Staging, Error> {
        keep_free(folder, headroom)?;
        let (file, path) = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .tempfile_in(folder)
            .map_err(Error::while_doing(format!(
                "create a file in {}",
                folder.display()
            )))?
            .into_parts();
        let sink = Some(Sink {
            file,
            hash: Sha256::new(),
        });
        Ok(Staging {
            path,
            sink,
            pending: Vec::new(),
            pending_bytes: 0,
            size: 0,
            limit,
            headroom,
        })
    }

    /// Adds bytes at the end.
    ///
    /// After an error the upload is lost: drop it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] as soon as the limit is passed, before the bytes are written; [`Error::Full`] when the disk has
    /// no room; [`Error::Unavailable`] when it fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.limit {
            self.sink = None;
            return Err(Error::TooLarge { limit: self.limit });
        }
        self.size = size;
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= BATCH_BYTES {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Ends the upload: all bytes are written and hashed, none is promised to survive a crash yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the disk fails, or when an earlier write did.
    pub async fn finish(mut self) -> Result<Staged, Error> {
        self.flush().await?;
        let sink = self.sink.take().ok_or_else(lost)?;
        Ok(Staged {
            path: self.path,
            sha256: sink.hash.finalize().into(),
            size: self.size,
        })
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let sink = self.sink.take().ok_or_else(lost)?;
        let batch = std::mem::take(&mut self.pending);
        let needed = self.headroom.saturating_add(self.pending_bytes as u64);
        self.pending_bytes = 0;
        let doing = || format!("write {}", self.path.display());
        if self.headroom > 0 {
            keep_free(&self.path, needed)?;
        }
        let written = spawn_blocking(move || sink.take(batch)).await;
        let sink = written
            .map_err(Error::while_doing(doing()))?
            .map_err(Error::while_doing(doing()))?;
        self.sink = Some(sink);
        Ok(())
    }
}

/// Refuses when less than this is free on the disk of a file or folder.
fn keep_free(place: &Path, bytes: u64) -> Result<(), Error> {
    if bytes == 0 {
        return Ok(());
    }
    let doing = || {
        format!(
            "take an upload in at {} and leave {bytes} bytes free",
            place.display()
        )
    };
    let disk = rustix::fs::statvfs(place)
        .map_err(std::io::Error::from)
        .map_err(Error::while_doing(doing()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes {
        return Err(Error::Full { doing: doing() });
    }
    Ok(())
}

fn lost() -> Error {
    Error::Unavailable {
        doing: "continue the upload".into(),
        source: "an earlier write failed".into(),
    }
}

/// A complete upload that is not a blob yet. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    pub(crate) path: TempPath,
    sha256: [u8; 32],
    size: u64,
}

impl Staged {
    /// Of all bytes.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where to look into it. Valid until this value is committed or dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes uploads that nobody has written to since `before`; returns how many.
pub(crate) fn sweep(folder: &Path, before: SystemTime) -> std::io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_ours(&entry.path()) {
            continue;
        }
        // Between the listing and here its owner may have finished: that is no error.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && metadata.modified()? < before && fs::remove_file(entry.path()).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}
