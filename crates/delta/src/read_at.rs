use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use crate::error::File as Which;
use crate::progress::{Stage, Watch};
use crate::{Error, Sha256Digest};

/// A file that can be read at any place, and whose size doesn't change meanwhile.
pub trait ReadAt {
    /// In bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::UnexpectedEof`] where the file ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|from| self.get(from..));
        let found = from.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// A part of a file, from its beginning to its end.
pub(crate) struct Section<'f, F: ?Sized> {
    file: &'f F,
    at: u64,
    end: u64,
}

impl<'f, F: ReadAt + ?Sized> Section<'f, F> {
    pub(crate) fn new(file: &'f F, at: u64, length: u64) -> Section<'f, F> {
        let end = at.saturating_add(length);
        Section { file, at, end }
    }
}

impl<F: ReadAt + ?Sized> Read for Section<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        self.file.read_exact_at(&mut buffer[..length], self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

/// How much is read at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// SHA-256 of a whole file.
pub(crate) fn digest<F: ReadAt + ?Sized>(
    file: &F,
    size: u64,
    which: Which,
    watch: &mut Watch<'_>,
) -> Result<Sha256Digest, Error> {
    let mut section = Section::new(file, 0, size);
    let mut buffer = vec![0; CHUNK];
    let mut digest = Sha256::new();
    loop {
        let length = section.read(&mut buffer).map_err(which.failed())?;
        if length == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(&buffer[..length]);
        watch.tell(Stage::Checking, section.at, size)?;
    }
}
