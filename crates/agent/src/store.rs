//! Where an agent keeps what it needs after a restart: one small state, and the file of the present update. While a patch is
//! fetched, the patch is that file.
//!
//! It is a trait so that a simulator can keep ten thousand of them in memory, and simulate losses of power.

use std::io;
use std::sync::Arc;

use crate::workbench::MemoryFile;
use crate::{StoredFile, Workbench};

/// The storage of one agent. The calls are short and block. An embedder whose runtime must not wait for a disk runs the
/// agent in a thread of its own.
pub trait StateStore: Send {
    /// The state that was saved last; `None` if none was.
    ///
    /// # Errors
    /// When the storage fails.
    fn load(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the state. After a crash during the call, the whole old or the whole new state is there; after the call,
    /// the new one.
    ///
    /// # Errors
    /// When the storage fails.
    fn save(&mut self, state: &[u8]) -> io::Result<()>;

    /// Keeps a state that can't be read, for people to look at. Only the last one needs to be kept.
    ///
    /// # Errors
    /// When the storage fails.
    fn set_aside(&mut self, state: &[u8]) -> io::Result<()>;

    /// The length of the file in bytes. After a loss of power, bytes that were written after the last
    /// [`StateStore::sync`] may be missing or wrong.
    ///
    /// # Errors
    /// When the storage fails.
    fn file_len(&mut self) -> io::Result<u64>;

    /// Adds to the file.
    ///
    /// # Errors
    /// When the storage fails; [`io::ErrorKind::StorageFull`] when it is full.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all of the file is safe from a loss of power.
    ///
    /// # Errors
    /// When the storage fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Shortens the file. Length 0 may delete it.
    ///
    /// # Errors
    /// When the storage fails.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// The file, to be read and installed.
    ///
    /// # Errors
    /// When the storage fails.
    fn file(&mut self) -> io::Result<StoredFile>;

    /// Whether it has [`StateStore::workbench`]. An agent on a store without one takes whole files only.
    fn has_workbench(&self) -> bool {
        false
    }

    /// Two new files, for applying a patch. What an earlier call left is deleted.
    ///
    /// # Errors
    /// When the storage fails; [`io::ErrorKind::StorageFull`] when it is full.
    fn workbench(&mut self) -> io::Result<Workbench> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Puts the workbench's result, which was synced, into the place of the file, and deletes the rest. After a crash during the
    /// call the file is the whole old or the whole new one; after the call it is the new one, and safe from a loss of power.
    /// Changes nothing when there is no result, as when it is called again.
    ///
    /// # Errors
    /// When the storage fails.
    fn adopt_result(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Deletes what a workbench left, whole or not.
    ///
    /// # Errors
    /// When the storage fails.
    fn clear_workbench(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A store in memory. A clone shares the workbench's result until that is adopted.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Option<Vec<u8>>,
    aside: Option<Vec<u8>>,
    file: Arc<Vec<u8>>,
    synced: usize,
    result: Option<MemoryFile>,
}

impl MemoryStore {
    /// A store with this state in it.
    pub fn with_state(state: Vec<u8>) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// Simulates a loss of power: bytes that were not synced are gone.
    pub fn lose_power(&mut self) {
        let synced = self.synced;
        Arc::make_mut(&mut self.file).truncate(synced);
        if let Some(result) = &self.result {
            result.lose_power();
        }
    }

    /// The state's bytes.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// The state that was set aside since it could not be read.
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
            // Free the memory: a simulator holds ten thousand of these.
            self.file = Arc::default();
        } else {
            Arc::make_mut(&mut self.file).truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        self.synced = self.synced.min(self.file.len());
        Ok(())
    }

    fn file(&mut self) -> io::Result<StoredFile> {
        Ok(StoredFile::AgentState(Arc::clone(&self.file)))
    }

    fn has_workbench(&self) -> bool {
        true
    }

    fn workbench(&mut self) -> io::Result<Workbench> {
        let result = MemoryFile::default();
        self.result = Some(result.clone());
        Ok(Workbench {
            scratch: Box::new(MemoryFile::default()),
            result: Box::new(result),
        })
    }

    fn adopt_result(&mut self) -> io::Result<()> {
        if let Some(result) = self.result.take() {
            self.file = Arc::new(result.take());
            self.synced = self.file.len();
        }
        Ok(())
    }

    fn clear_workbench(&mut self) -> io::Result<()> {
        self.result = None;
        Ok(())
    }
}
