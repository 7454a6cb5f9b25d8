//! Where an agent keeps what must outlive it: one small state, and one file that is on its way.
//!
//! A seam, so that a simulator can hold ten thousand of them in memory and take their power away.

use std::io;
use std::sync::Arc;

use crate::StoredFile;

/// The room for one agent. The calls are short and block; an embedder whose runtime must not be kept waiting by a
/// disk gives the agent a thread of its own.
pub trait StateStore: Send {
    /// The state that was saved last; `None` when none ever was.
    ///
    /// # Errors
    /// When the storage fails.
    fn load(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the state. Whatever happens meanwhile, the old or the new state is there afterwards, whole; once
    /// this has returned, the new one.
    ///
    /// # Errors
    /// When the storage fails.
    fn save(&mut self, state: &[u8]) -> io::Result<()>;

    /// Keeps a state that can't be read for people to look at, one at most.
    ///
    /// # Errors
    /// When the storage fails.
    fn set_aside(&mut self, state: &[u8]) -> io::Result<()>;

    /// How many bytes of the file are there. After a loss of power, bytes since the last [`StateStore::sync`] may
    /// be missing, or be others.
    ///
    /// # Errors
    /// When the storage fails.
    fn file_len(&mut self) -> io::Result<u64>;

    /// Adds to the file.
    ///
    /// # Errors
    /// When the storage fails; [`io::ErrorKind::StorageFull`] when there is no room.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all of the file is safe from a loss of power.
    ///
    /// # Errors
    /// When the storage fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Shortens the file. At 0 it need not be there any more.
    ///
    /// # Errors
    /// When the storage fails.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// The file, to be read and installed.
    ///
    /// # Errors
    /// When the storage fails.
    fn file(&mut self) -> io::Result<StoredFile>;
}

/// A store that lives as long as its owner.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Option<Vec<u8>>,
    aside: Option<Vec<u8>>,
    file: Arc<Vec<u8>>,
    synced: usize,
}

impl MemoryStore {
    /// A store with this state in it.
    pub fn with_state(state: Vec<u8>) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// What a loss of power leaves of it: the bytes that were not synced are gone.
    pub fn lose_power(&mut self) {
        let synced = self.synced;
        Arc::make_mut(&mut self.file).truncate(synced);
    }

    /// The state's bytes.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// The state that could not be read.
    pub fn aside(&self) -> Option<&[u8]> {
        self.aside.as_deref()
    }
}

impl StateStore for MemoryStore {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state.clone())
    }

    fn save(&mut self, state: &[u8]) -> io::Result<()> {
        self.state = Some(state.to_vec());
        Ok(())
    }

    fn set_aside(&mut self, state: &[u8]) -> io::Result<()> {
        self.aside = Some(state.to_vec());
        Ok(())
    }

    fn file_len(&mut self) -> io::Result<u64> {
        Ok(self.file.len() as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        Arc::make_mut(&mut self.file).extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = self.file.len();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if len == 0 {
            // Ten thousand of these are held at once: give the room back.
            self.file = Arc::default();
        } else {
            Arc::make_mut(&mut self.file).truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        self.synced = self.synced.min(self.file.len());
        Ok(())
    }

    fn file(&mut self) -> io::Result<StoredFile> {
        Ok(StoredFile::Memory(Arc::clone(&self.file)))
    }
}
