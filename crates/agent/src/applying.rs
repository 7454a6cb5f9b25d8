//! Applies a patch, in a thread that may take its time.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_apk::Source;
use tidegate_delta::{Error, File, Limits, Patch, ReadAt};
use tidegate_domain::{PatchOutcome, Sha256};

use crate::StoredFile;
use crate::expected_apk::hash;
use crate::workbench::{WorkFile, Workbench};

/// The most bytes that a result may have when it is inflated: no device reads an APK whose entries inflate to more.
const MAX_VIEW_BYTES: u64 = 4 << 30;

/// How much of the result is written at a time, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// Asks a thread to stop when it is dropped, as when the agent's step is.
#[derive(Debug, Default)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All that is needed to apply a patch.
#[derive(Debug)]
pub(crate) struct Application {
    pub patch: StoredFile,
    pub patch_sha256: Sha256,
    pub base: StoredFile,
    pub base_sha256: Sha256,
    pub result_sha256: Sha256,
    pub result_size: u64,
    /// How many bytes of scratch file the storage rule has counted.
    pub scratch: u64,
    pub workbench: Workbench,
    pub stopped: Arc<AtomicBool>,
}

/// Why a patch did not lead to the file.
#[derive(Debug)]
pub(crate) struct Failure {
    pub outcome: PatchOutcome,
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(outcome: PatchOutcome, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { outcome, detail }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let outcome = match &error {
            Error::NotAPatch | Error::Damaged(_) => PatchOutcome::Damaged,
            Error::WrongBase => PatchOutcome::BaseDiffers,
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => PatchOutcome::NoSpace,
            _ => PatchOutcome::ApplyFailed,
        };
        Self::new(outcome, error.to_string())
    }
}

impl Application {
    /// Makes the result, which is synced when this returns `Ok`. Memory stays within `delta`'s bound, whatever the sizes.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let open = |file: &StoredFile| file.open().map(ReadSource).map_err(failed);
        let (patch, base) = (open(&self.patch)?, open(&self.base)?);
        let found = Sha256(hash(patch.0.as_ref()).map_err(failed)?);
        if found != self.patch_sha256 {
            let detail = format!("sha256 {found}, and the manifest names {}", self.patch_sha256);
            return Err(Failure::new(PatchOutcome::Damaged, detail));
        }
        let limits = Limits {
            result: self.result_size,
            scratch: self.scratch,
            view: MAX_VIEW_BYTES,
        };
        let patch = Patch::open(patch, limits)?;
        if patch.result_sha256() != self.result_sha256.0 || patch.base_sha256() != self.base_sha256.0 {
            let detail = "it leads from or to another file than the manifest says";
            return Err(Failure::new(PatchOutcome::ApplyFailed, detail));
        }
        let stopped = self.stopped;
        let mut listener = move |_| match stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let (mut scratch, mut result) = (Scratch(self.workbench.scratch), self.workbench.result);
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, &mut result);
        patch.apply(&base, &mut scratch, &mut writer, &mut listener)?;
        writer.flush().map_err(failed)?;
        drop(writer);
        result.sync().map_err(failed)
    }
}

/// The device's storage failed.
pub(crate) fn failed(error: io::Error) -> Failure {
    let file = File::Result;
    Failure::from(Error::Io { file, source: error })
}

/// What Android or a store holds, as a patch reads it.
struct ReadSource(Box<dyn Source + Send>);

impl ReadAt for ReadSource {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// A store's file, as a patch writes and reads it.
struct Scratch(Box<dyn WorkFile>);

impl ReadAt for Scratch {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
