//! Where a patch is applied: two files beside the update's.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_delta::ReadAt;

/// A file that a patch is applied with: written from its beginning to its end, and read at any place.
pub trait WorkFile: ReadAt + Write + Send {
    /// Returns when all that was written is safe from a loss of power.
    ///
    /// # Errors
    /// When the storage fails.
    fn sync(&mut self) -> io::Result<()>;
}

impl WorkFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Two new files, both empty. They are used in another thread, which may go on for a moment after the agent was dropped: what
/// it writes then must not get into the files of a later workbench.
pub struct Workbench {
    /// The inflated parts of the installed app. Nobody needs it after a loss of power.
    pub scratch: Box<dyn WorkFile>,
    /// The file of the update. See [`crate::StateStore::adopt_result`].
    pub result: Box<dyn WorkFile>,
}

impl std::fmt::Debug for Workbench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workbench(…)")
    }
}

/// A file in memory, which two can hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryFile(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

impl MemoryFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Simulates a loss of power: bytes that were not synced are gone.
    pub(crate) fn lose_power(&self) {
        let mut content = self.content();
        let synced = content.synced;
        content.bytes.truncate(synced);
    }

    /// Its bytes, which it loses.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.content()).bytes
    }
}

impl ReadAt for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        self.content().bytes.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.content().bytes.read_exact_at(buffer, offset)
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content().bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WorkFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut content = self.content();
        content.synced = content.bytes.len();
        Ok(())
    }
}
