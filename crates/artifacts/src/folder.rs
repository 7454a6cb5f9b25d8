//! Blobs in a local folder: how a staged file becomes one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempPath;

use crate::key::{BLOBS, hex};

/// Beside the blobs and not in the system's temporary folder: a rename can't cross file systems.
const STAGING: &str = "staging";

/// A root with its two folders, both existing.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Held between looking for a blob and renaming onto it, so that of two commits of the same bytes exactly
    /// one is told that it was the first.
    renaming: Mutex<()>,
}

impl Folder {
    pub(crate) fn create(root: &Path) -> io::Result<Folder> {
        fs::create_dir_all(root.join(BLOBS))?;
        fs::create_dir_all(root.join(STAGING))?;
        Ok(Folder {
            root: root.canonicalize()?,
            renaming: Mutex::new(()),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// An error when the folder went away, say with its disk.
    pub(crate) async fn look(&self) -> io::Result<()> {
        let mut listing = tokio::fs::read_dir(self.root.join(BLOBS)).await?;
        listing.next_entry().await.map(drop)
    }

    /// Puts the file in place, durably; whether the blob was there before.
    pub(crate) fn commit(&self, staged: TempPath, sha256: &[u8; 32], size: u64) -> io::Result<bool> {
        File::open(&staged)?.sync_all()?;
        let name = hex(sha256);
        let blobs = self.root.join(BLOBS);
        let shard = blobs.join(&name[..2]);
        fs::create_dir_all(&shard)?;
        let existed = self.place(staged, &shard.join(name), size)?;
        // Also when it existed: whoever brought it may not have come as far as this yet.
        File::open(&shard)?.sync_all()?;
        File::open(&blobs)?.sync_all()?;
        Ok(existed)
    }

    fn place(&self, staged: TempPath, target: &Path, size: u64) -> io::Result<bool> {
        let _guard = self.renaming.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::metadata(target) {
            Ok(there) if there.is_file() && there.len() == size => return Ok(true),
            // A blob of another length is damage from outside: the good copy replaces it.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        staged.persist(target).map_err(|failed| failed.error)?;
        Ok(false)
    }
}
