//! The store of a real device: a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tidegate_signing::ExposeSecret as _;

use crate::{EnrollmentKey, Error, StateStore, StoredFile, Workbench};

const STATE: &str = "state.json";
const NEW_STATE: &str = "state.new";
const ASIDE: &str = "state.unreadable";
const UPDATE: &str = "update.apk";
const SCRATCH: &str = "update.scratch";
const RESULT: &str = "update.result";
const LOCK: &str = "lock";
const KEY: &str = "enrollment.key";
const NEW_KEY: &str = "enrollment.new";

/// A folder with `state.json`, the enrolment key and, during an update, `update.apk`. While a patch is applied, that is the
/// patch, and `update.scratch` and `update.result` stand beside it.
#[derive(Debug)]
pub struct FolderStore {
    folder: PathBuf,
    update: Option<File>,
    // Held until the store is dropped. The system releases it when the process ends, however that happens.
    _lock: File,
}

impl FolderStore {
    /// Opens a folder, and creates it if it is missing, readable by its owner only: the state holds download URLs.
    ///
    /// # Errors
    /// [`Error::Busy`] when another agent uses it, [`Error::Storage`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        private_folder(folder)?;
        let lock = File::create(folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(folder.display().to_string())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self {
            folder: folder.to_owned(),
            update: None,
            _lock: lock,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The enrolment key of this device, which is drawn at the first call. It is safe from a loss of power before it is
    /// given out: a device that enrolled with a key and lost it can't enrol again by itself.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Invalid`] when the file holds something else.
    pub fn enrollment_key(&self) -> Result<EnrollmentKey, Error> {
        if let Some(text) = if_there(fs::read_to_string(self.path(KEY)))? {
            return EnrollmentKey::from_text(text.trim());
        }
        let key = EnrollmentKey::draw()?;
        self.replace(NEW_KEY, KEY, key.text().expose_secret().as_bytes())?;
        Ok(key)
    }

    /// A new file, and no longer that of an earlier call: who still writes to it writes to a file without a name.
    fn new_file(&self, name: &str) -> io::Result<Box<File>> {
        let path = self.path(name);
        if_there(fs::remove_file(&path))?;
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(NEW_STATE, name, bytes)
    }

    fn replace(&self, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.path(new);
        let mut file = private_file(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path(name))?;
        // Only this makes the rename safe from a loss of power.
        sync_folder(&self.folder)
    }
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The folder is its owner's alone; the key is so wherever the file is moved.
#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    File::create(path)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems can't open a folder as a file.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl StateStore for FolderStore {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        if_there(fs::read(self.path(STATE)))
    }

    fn save(&mut self, state: &[u8]) -> io::Result<()> {
        self.write(STATE, state)
    }

    fn set_aside(&mut self, state: &[u8]) -> io::Result<()> {
        self.write(ASIDE, state)
    }

    fn file_len(&mut self) -> io::Result<u64> {
        Ok(if_there(fs::metadata(self.path(UPDATE)))?.map_or(0, |file| file.len()))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(UPDATE);
        let file = match &mut self.update {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(path)?),
        };
        file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.update {
            Some(file) => file.sync_all()?,
            None => return Ok(()),
        }
        sync_folder(&self.folder)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.update = None;
        let path = self.path(UPDATE);
        if len == 0 {
            return if_there(fs::remove_file(path)).map(drop);
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn file(&mut self) -> io::Result<StoredFile> {
        Ok(StoredFile::Path(self.path(UPDATE)))
    }

    fn has_workbench(&self) -> bool {
        true
    }

    fn workbench(&mut self) -> io::Result<Workbench> {
        Ok(Workbench {
            scratch: self.new_file(SCRATCH)?,
            result: self.new_file(RESULT)?,
        })
    }

    fn adopt_result(&mut self) -> io::Result<()> {
        self.update = None;
        if_there(fs::rename(self.path(RESULT), self.path(UPDATE)))?;
        if_there(fs::remove_file(self.path(SCRATCH)))?;
        sync_folder(&self.folder)
    }

    fn clear_workbench(&mut self) -> io::Result<()> {
        for name in [SCRATCH, RESULT] {
            if_there(fs::remove_file(self.path(name)))?;
        }
        Ok(())
    }
}
