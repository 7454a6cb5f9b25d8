//! A patch's compressed parts: bare LZMA, whose settings the format states and whose length the header does.
//!
//! No container: what .xz says about itself (the size of its dictionary, an index of any length) would be one more
//! thing to distrust.

use std::io::{self, BufReader, Read};

use lzma_rust2::LzmaReader;

use crate::Error;
use crate::error::File;
use crate::header::Stream;
use crate::number::Bytes;
use crate::read_at::{ReadAt, Section};

/// The dictionary's greatest size in bytes, of which a reader keeps no more than the part's length.
pub(crate) const DICTIONARY: u32 = 8 << 20;
/// LZMA's literal context, literal position and position bits.
pub(crate) const LITERAL_CONTEXT: u32 = 3;
pub(crate) const LITERAL_POSITION: u32 = 0;
pub(crate) const POSITION: u32 = 2;

/// How much of the patch is read at once.
const BUFFER: usize = 16 * 1024;

/// Unpacks one part.
pub(crate) struct Unpacked<'p, P: ?Sized> {
    reader: Option<LzmaReader<BufReader<Section<'p, P>>>>,
    left: u64,
    /// What is unpacked and not asked for yet, for those who take bytes one by one.
    buffer: Vec<u8>,
    used: usize,
}

impl<'p, P: ReadAt + ?Sized> Unpacked<'p, P> {
    pub(crate) fn new(patch: &'p P, stream: Stream) -> Result<Unpacked<'p, P>, Error> {
        let open = |stream: Stream| {
            let section = Section::new(patch, stream.offset, stream.packed);
            let input = BufReader::with_capacity(BUFFER, section);
            LzmaReader::new(
                input,
                stream.plain,
                LITERAL_CONTEXT,
                LITERAL_POSITION,
                POSITION,
                DICTIONARY,
                None,
            )
        };
        let reader = (stream.plain > 0).then(|| open(stream)).transpose();
        Ok(Unpacked {
            reader: reader.map_err(failed)?,
            left: stream.plain,
            buffer: Vec::new(),
            used: 0,
        })
    }

    /// Whether all of it was taken.
    pub(crate) fn is_at_end(&self) -> bool {
        self.left == 0 && self.used == self.buffer.len()
    }

    /// Fills the buffer. Not to be mixed with [`Bytes::byte`].
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let length = buffer.len() as u64;
        let Some(reader) = self.reader.as_mut().filter(|_| length <= self.left) else {
            return Err(ENDED);
        };
        reader.read_exact(buffer).map_err(failed)?;
        self.left -= length;
        Ok(())
    }
}

const ENDED: Error = Error::Damaged("a part ends too early");

impl<P: ReadAt + ?Sized> Bytes for Unpacked<'_, P> {
    type Error = Error;

    fn byte(&mut self) -> Result<u8, Error> {
        if self.used == self.buffer.len() {
            if self.left == 0 {
                return Err(ENDED);
            }
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(BUFFER);
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(length, 0);
            self.fill(&mut buffer)?;
            self.buffer = buffer;
            self.used = 0;
        }
        let byte = self.buffer[self.used];
        self.used += 1;
        Ok(byte)
    }

    fn overlong(&self) -> Error {
        Error::Damaged("a number is too long")
    }
}

/// The system's errors have a number; the others are the decoder's.
fn failed(error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        File::Patch.failed()(error)
    } else {
        Error::Damaged("a part can't be unpacked")
    }
}
