//! Patches on a phone whose storage fails: the power goes at every moment, or the disk is full.

use std::io::{self, Write};
use std::sync::Arc;

use tidegate_agent::delta::ReadAt;
use tidegate_agent::{MemoryStore, StateStore, StoredFile, WorkFile, Workbench};

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

/// A store whose disk is full when a patch is applied.
#[derive(Debug, Default)]
struct Full(MemoryStore);

impl StateStore for Full {
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
