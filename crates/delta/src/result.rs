use std::io::Write;

use crate::apply::Passed;
use crate::error::File;
use crate::plan::Deflated;
use crate::read_at::CHUNK;
use crate::zlib::{Deflater, Settings};
use crate::{Error, Sha256Digest};

/// Writes the result from its inflated form: compresses the ranges that are to be compressed.
pub(crate) struct ResultFile<'r, W: ?Sized> {
    output: &'r mut W,
    passed: Passed,
    ranges: std::slice::Iter<'r, (Deflated, Settings)>,
    range: Option<Open>,
    next: Option<(Deflated, Settings)>,
    buffer: Vec<u8>,
}

/// The range that is being compressed.
struct Open {
    deflater: Deflater,
    plain_left: u64,
    packed_left: u64,
}

impl<'r, W: Write + ?Sized> ResultFile<'r, W> {
    pub(crate) fn new(output: &'r mut W, ranges: &'r [(Deflated, Settings)]) -> ResultFile<'r, W> {
        let mut ranges = ranges.iter();
        let next = ranges.next().copied();
        ResultFile {
            output,
            passed: Passed::default(),
            ranges,
            range: None,
            next,
            buffer: Vec::with_capacity(2 * CHUNK),
        }
    }

    /// The next bytes of the inflated form.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            self.begin()?;
            let room = match (&self.range, &self.next) {
                (Some(open), _) => open.plain_left,
                (None, Some((next, _))) => next.offset.saturating_sub(self.passed.size),
                (None, None) => u64::MAX,
            };
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(length);
            bytes = later;
            match &mut self.range {
                None => self.pass(now)?,
                Some(open) => {
                    open.plain_left -= length as u64;
                    // Pieces, so that what comes out at once stays small.
                    open.deflater.write(now, &mut self.buffer)?;
                    self.drain()?;
                    self.end()?;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Starts the range that begins here.
    fn begin(&mut self) -> Result<(), Error> {
        if self.range.is_some() {
            return Ok(());
        }
        if let Some((next, settings)) = self.next.filter(|(next, _)| next.offset == self.passed.size) {
            self.range = Some(Open {
                deflater: Deflater::new(settings)?,
                plain_left: next.plain,
                packed_left: next.packed,
            });
            self.next = self.ranges.next().copied();
        }
        Ok(())
    }

    /// Ends the range when it is whole.
    fn end(&mut self) -> Result<(), Error> {
        let Some(open) = self.range.take_if(|open| open.plain_left == 0) else {
            return Ok(());
        };
        open.deflater.finish(&mut self.buffer)?;
        if self.buffer.len() as u64 != open.packed_left {
            return Err(Error::WrongResult);
        }
        let bytes = std::mem::take(&mut self.buffer);
        self.pass(&bytes)?;
        self.buffer = bytes;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what the open range has become so far.
    fn drain(&mut self) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.buffer);
        let length = bytes.len() as u64;
        let open = self.range.as_mut().filter(|open| length <= open.packed_left);
        // Another length than planned: the rest would land at wrong places.
        open.ok_or(Error::WrongResult)?.packed_left -= length;
        self.pass(&bytes)?;
        self.buffer = bytes;
        self.buffer.clear();
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.passed.update(bytes);
        self.output.write_all(bytes).map_err(File::Result.failed())
    }

    /// The size and SHA-256 of what was written.
    pub(crate) fn finish(self) -> Result<(u64, Sha256Digest), Error> {
        self.output.flush().map_err(File::Result.failed())?;
        Ok(self.passed.finish())
    }
}
