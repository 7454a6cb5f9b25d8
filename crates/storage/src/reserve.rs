//! Room on the disk that is given up when the disk is full, so that a bad build can still be taken back.
//!
//! A file of the wanted size lies beside the SQLite database. Writes that end harm (a rollout held or taken back, a
//! device refused, each with its audit entry) give the file up when they find the disk full, and are tried again. All
//! others are refused then, until there is room for the file again: what was kept for an emergency must not be filled
//! with reports.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// How long to wait before it is tried again to set the room aside.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// With less than this free, SQLite can open no files at the start, and a larger write fails where a small one does not.
pub(crate) const LEAST_FREE: u64 = 256 * 1024;

/// What is left on the database's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What may still be written, in bytes, the reserve not counted.
    pub free_bytes: u64,
    /// Whether the reserve is set aside. `false` while only urgent writes are taken.
    pub reserve_held: bool,
}

#[derive(Debug)]
pub(crate) struct Reserve {
    file: PathBuf,
    bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Held,
    /// Given up; when it was last tried to get it back.
    GivenUp(Option<Instant>),
    /// The folder takes no such file, which was logged: writes go on without.
    Unusable,
}

impl Reserve {
    /// Beside this database. Where there is no room the reserve counts as given up.
    pub(crate) fn beside(database: &Path, bytes: u64) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push("-reserve");
        let reserve = Self {
            file: file.into(),
            bytes,
            state: Mutex::new(State::GivenUp(None)),
        };
        if reserve.free_bytes().is_some_and(|free| free < LEAST_FREE) {
            drop(fs::remove_file(&reserve.file));
            tell_given_up(&reserve.file);
            *reserve.state() = State::GivenUp(Some(now()));
        } else if !reserve.allows() {
            tell_given_up(&reserve.file);
        }
        reserve
    }

    /// Whether writes that can wait may go on: the reserve is held, or could be set aside again.
    pub(crate) fn allows(&self) -> bool {
        let mut state = self.state();
        match &*state {
            State::Held | State::Unusable => return true,
            State::GivenUp(Some(tried)) if tried.elapsed() < TRY_EVERY => return false,
            State::GivenUp(_) => {}
        }
        *state = match set_aside(&self.file, self.bytes) {
            Ok(()) => State::Held,
            Err(fault) if is_full(&fault) => State::GivenUp(Some(now())),
            Err(fault) => {
                tracing::warn!(file = %self.file.display(), %fault, "no room can be kept for a full disk");
                State::Unusable
            }
        };
        matches!(*state, State::Held | State::Unusable)
    }

    /// Gives the room up; whether there was any to give.
    pub(crate) fn give_up(&self) -> bool {
        let mut state = self.state();
        if !matches!(*state, State::Held) {
            return false;
        }
        *state = State::GivenUp(Some(now()));
        tell_given_up(&self.file);
        fs::remove_file(&self.file).is_ok()
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk {
            free_bytes: self.free_bytes().unwrap_or(0),
            reserve_held: !matches!(*self.state(), State::GivenUp(_)),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let disk = statvfs(folder.unwrap_or(Path::new("."))).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::disallowed_methods, reason = "how long ago it really was")]
fn now() -> Instant {
    Instant::now()
}

fn tell_given_up(file: &Path) {
    tracing::error!(
        event = "ota.disk.full",
        file = %file.display(),
        "the disk is full: only holding and taking back rollouts and refusing devices are written until there is room",
    );
}

/// Makes the file, with blocks of its own: a hole would hold no room. After an error there is no file.
fn set_aside(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let filled = fill(&file, bytes);
    if filled.is_err() {
        drop(file);
        fs::remove_file(path)?;
    }
    filled
}

fn fill(file: &File, bytes: u64) -> io::Result<()> {
    let there = file.metadata()?;
    if there.len() == bytes && there.blocks().saturating_mul(512) >= bytes {
        return Ok(());
    }
    if there.len() > bytes {
        file.set_len(bytes)?;
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => file.sync_all(),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_out(file, bytes),
        Err(fault) => Err(fault.into()),
    }
}

/// For file systems that set nothing aside. Not zeros, of which some keep none.
fn write_out(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut block = vec![0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        fastrand::fill(&mut block);
        let length = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        file.write_all(&block[..length])?;
        left -= length as u64;
    }
    file.sync_all()
}

fn is_full(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 128 * 1024;

    fn blocks(file: &Path) -> u64 {
        fs::metadata(file).map_or(0, |file| file.blocks() * 512)
    }

    #[test]
    fn the_room_is_really_kept_and_really_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("t.db"), BYTES);
        let file = folder.path().join("t.db-reserve");
        assert!(blocks(&file) >= BYTES, "{}", blocks(&file));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o077, 0);
        assert!(reserve.disk().reserve_held && reserve.allows());

        assert!(reserve.give_up());
        assert!(!file.exists());
        assert!(!reserve.give_up(), "there is nothing left to give");
        assert!(!reserve.allows(), "it is not tried again at once");
        assert!(!reserve.disk().reserve_held);
        *reserve.state() = State::GivenUp(None);
        assert!(reserve.allows(), "there is room again");
        assert!(blocks(&file) >= BYTES);
    }

    #[test]
    fn a_file_of_another_size_becomes_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.db-reserve");
        for bytes in [BYTES, BYTES / 2, 2 * BYTES] {
            assert!(Reserve::beside(&folder.path().join("t.db"), bytes).allows());
            assert_eq!(fs::metadata(&file).unwrap().len(), bytes);
        }
        write_out(&File::create(&file).unwrap(), BYTES + 1).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), BYTES + 1);
    }

    #[test]
    fn a_folder_that_takes_no_file_stops_nothing() {
        let reserve = Reserve::beside(Path::new("/no/such/folder/t.db"), BYTES);
        assert!(reserve.allows());
    }
}
