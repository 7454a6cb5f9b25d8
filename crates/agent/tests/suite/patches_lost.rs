//! Patches on a phone whose storage fails: the power goes at every moment, or the disk is full.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidegate_agent::delta::{self, ReadAt};
use tidegate_agent::{MemoryStore, StateStore, StoredFile, WorkFile, Workbench};
use tokio::sync::{Notify, mpsc};

use crate::patched::{agent_of, assert_installed, assert_told, phone, release, stage_with};
use crate::phone::settle;
use crate::power::Fuse;

/// A file whose power goes.
pub(crate) struct FusedFile {
    pub file: Box<dyn WorkFile>,
    pub fuse: Arc<Fuse>,
}

impl FusedFile {
    pub(crate) fn workbench(bench: Workbench, fuse: &Arc<Fuse>) -> Workbench {
        let fused = |file| {
            Box::new(Self {
                file,
                fuse: Arc::clone(fuse),
            })
        };
        Workbench {
            scratch: fused(bench.scratch),
            result: fused(bench.result),
        }
    }

    /// Before something is done, and when it is done and nobody knows yet.
    fn around<T>(&mut self, what: impl FnOnce(&mut dyn WorkFile) -> io::Result<T>) -> io::Result<T> {
        let lost = || io::Error::other("the power is gone");
        if self.fuse.burns() {
            return Err(lost());
        }
        let done = what(self.file.as_mut());
        if self.fuse.burns() { Err(lost()) } else { done }
    }
}

impl ReadAt for FusedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl Write for FusedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.around(|file| file.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WorkFile for FusedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.around(|file| file.sync())
    }
}

/// What a store does as the one in its first field.
macro_rules! as_the_first_field {
    () => {
        fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
            self.0.load()
        }
        fn save(&mut self, state: &[u8]) -> io::Result<()> {
            self.0.save(state)
        }
        fn set_aside(&mut self, state: &[u8]) -> io::Result<()> {
            self.0.set_aside(state)
        }
        fn file_len(&mut self) -> io::Result<u64> {
            self.0.file_len()
        }
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.append(bytes)
        }
        fn sync(&mut self) -> io::Result<()> {
            self.0.sync()
        }
        fn truncate(&mut self, len: u64) -> io::Result<()> {
            self.0.truncate(len)
        }
        fn file(&mut self) -> io::Result<StoredFile> {
            self.0.file()
        }
    };
}

/// A store whose disk is full when a patch is applied.
#[derive(Debug, Default)]
struct Full(MemoryStore);

impl StateStore for Full {
    as_the_first_field!();
    fn has_workbench(&self) -> bool {
        true
    }
    fn workbench(&mut self) -> io::Result<Workbench> {
        let bench = self.0.workbench()?;
        Ok(Workbench {
            scratch: bench.scratch,
            result: Box::new(FullFile),
        })
    }
}

struct FullFile;

impl ReadAt for FullFile {
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Write for FullFile {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WorkFile for FullFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Less was free than the device said.
#[tokio::test]
async fn a_disk_that_is_full_while_a_patch_is_applied_leads_to_the_whole_file() {
    let stage = stage_with(&release().patch);
    let phone = phone();
    settle(&mut agent_of(&stage, &phone, Full::default())).await;
    assert_installed(&phone);
    assert_told(&stage, Some("no_space"));
}

/// A store of an embedder that knows no workbench.
#[derive(Debug, Default)]
struct Older(MemoryStore);

impl StateStore for Older {
    as_the_first_field!();
}

#[tokio::test]
async fn an_agent_on_a_store_of_before_takes_whole_files() {
    let stage = stage_with(&release().patch);
    let phone = phone();
    settle(&mut agent_of(&stage, &phone, Older::default())).await;
    assert_installed(&phone);
    assert_told(&stage, None);
    assert!(!stage.script().polls[0].contains("patches"));
}

/// What a test and the thread that applies a patch tell each other.
#[derive(Debug, Default)]
struct Meeting {
    /// The thread has written something.
    begun: Notify,
    /// It may go on.
    goes_on: AtomicBool,
    written: AtomicUsize,
    /// It has let go of the file.
    ended: AtomicBool,
}

/// A scratch file that waits at its first write.
struct Waiting {
    file: Box<dyn WorkFile>,
    meeting: Arc<Meeting>,
}

impl ReadAt for Waiting {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.meeting.begun.notify_one();
        while !self.meeting.goes_on.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.meeting.written.fetch_add(bytes.len(), Ordering::SeqCst);
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WorkFile for Waiting {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.meeting.ended.store(true, Ordering::SeqCst);
    }
}

/// A store with such a scratch file.
#[derive(Debug, Default)]
struct Slow(MemoryStore, Arc<Meeting>);

impl StateStore for Slow {
    as_the_first_field!();
    fn has_workbench(&self) -> bool {
        true
    }
    fn workbench(&mut self) -> io::Result<Workbench> {
        let bench = self.0.workbench()?;
        Ok(Workbench {
            scratch: Box::new(Waiting {
                file: bench.scratch,
                meeting: Arc::clone(&self.1),
            }),
            result: bench.result,
        })
    }
}

/// The agent's loop is told to end while a patch is applied: the thread stops, and the next agent begins anew.
#[tokio::test]
async fn an_agent_that_ends_while_a_patch_is_applied_leaves_no_thread_at_work() {
    let stage = stage_with(&release().patch);
    let phone = phone();
    let store = Slow::default();
    let meeting = Arc::clone(&store.1);
    let (_signals, heard) = mpsc::channel(1);
    let begun = Arc::clone(&meeting);
    let agent = agent_of(&stage, &phone, store);
    let store = agent
        .run(heard, async move { begun.begun.notified().await })
        .await;
    meeting.goes_on.store(true, Ordering::SeqCst);
    while !meeting.ended.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    let limits = delta::Limits::default();
    let scratch = delta::Patch::open(&release().patch, limits)
        .unwrap()
        .scratch_bytes();
    let written = meeting.written.load(Ordering::SeqCst) as u64;
    assert!(written < scratch, "{written} of {scratch}");
    assert!(phone.facts().installations.is_empty());

    settle(&mut agent_of(&stage, &phone, store.0)).await;
    assert_installed(&phone);
    assert_told(&stage, Some("applied"));
}
