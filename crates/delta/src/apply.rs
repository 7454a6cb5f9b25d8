use std::io::Write;

use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest as _, Sha256};

use crate::error::File;
use crate::number;
use crate::patch::Patch;
use crate::plan::Deflated;
use crate::progress::{Listener, Stage, Watch};
use crate::read_at::{CHUNK, ReadAt, digest};
use crate::result::ResultFile;
use crate::stream::Unpacked;
use crate::{Error, operation};

impl<P: ReadAt> Patch<P> {
    /// Makes the result from the base.
    ///
    /// `scratch` is empty, and grows to [`Patch::scratch_bytes`]; `result` is written once, from its beginning to its
    /// end. Memory stays below 32 MiB, whatever the sizes. What was written is the promised file if, and only if, this
    /// says `Ok`: on any error the caller throws it away.
    ///
    /// # Errors
    /// [`Error::WrongBase`] before anything is written; [`Error::Damaged`], [`Error::WrongResult`],
    /// [`Error::Cancelled`], [`Error::Io`].
    pub fn apply<'l, B, S, W>(
        &self,
        base: &B,
        scratch: &mut S,
        result: &mut W,
        listener: &'l mut Listener<'l>,
    ) -> Result<(), Error>
    where
        B: ReadAt + ?Sized,
        S: ReadAt + Write,
        W: Write + ?Sized,
    {
        let mut watch = Watch::new(listener);
        self.check_base(base, &mut watch)?;
        self.inflate(base, scratch, &mut watch)?;
        let old = Old::new(base, &*scratch, self.header.scratch_size, self.header.base_size);
        let mut output = ResultFile::new(result, &self.plan.result);
        self.rebuild(old, &mut output, &mut watch)?;
        let (size, sha256) = output.finish()?;
        if size != self.header.result_size || sha256 != self.header.result_sha256 {
            return Err(Error::WrongResult);
        }
        Ok(())
    }

    fn check_base<B: ReadAt + ?Sized>(&self, base: &B, watch: &mut Watch<'_>) -> Result<(), Error> {
        let size = base.size().map_err(File::Base.failed())?;
        if size != self.header.base_size {
            return Err(Error::WrongBase);
        }
        if digest(base, size, File::Base, watch)? != self.header.base_sha256 {
            return Err(Error::WrongBase);
        }
        Ok(())
    }

    fn inflate<B, S>(&self, base: &B, scratch: &mut S, watch: &mut Watch<'_>) -> Result<(), Error>
    where
        B: ReadAt + ?Sized,
        S: ReadAt + Write,
    {
        let mut inflater = Inflater::new();
        let mut done = 0;
        for range in &self.plan.base {
            inflater.inflate(base, *range, |bytes| {
                scratch.write_all(bytes).map_err(File::Scratch.failed())?;
                done += bytes.len() as u64;
                watch.tell(Stage::Inflating, done, self.header.scratch_size)
            })?;
        }
        scratch.flush().map_err(File::Scratch.failed())?;
        let size = scratch.size().map_err(File::Scratch.failed())?;
        if size != self.header.scratch_size {
            // Somebody else's bytes are in it.
            return Err(File::Scratch.failed()(std::io::Error::other("it was not empty")));
        }
        Ok(())
    }

    /// Follows the operations.
    fn rebuild<B, S, W>(
        &self,
        old: Old<'_, B, S>,
        output: &mut ResultFile<'_, W>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error>
    where
        B: ReadAt + ?Sized,
        S: ReadAt + ?Sized,
        W: Write + ?Sized,
    {
        let header = &self.header;
        let mut control = Unpacked::new(&self.source, header.control)?;
        let mut sources = Sources {
            old,
            difference: Unpacked::new(&self.source, header.difference)?,
            extra: Unpacked::new(&self.source, header.extra)?,
            bytes: vec![0; CHUNK],
            changes: vec![0; CHUNK],
        };
        let (mut done, mut moved) = (0, false);
        while done < header.view_size {
            let (kind, value) = operation::split(number::read(&mut control)?);
            if kind == operation::MOVE {
                if std::mem::replace(&mut moved, true) {
                    return Err(Error::Damaged("it moves twice"));
                }
                sources.old.shift(number::signed(value))?;
                continue;
            }
            moved = false;
            if value == 0 || value > header.view_size - done {
                return Err(Error::Damaged("an operation makes nothing or too much"));
            }
            let end = done + value;
            while done < end {
                let bytes = sources.next(kind, end - done)?;
                output.write(bytes)?;
                done += bytes.len() as u64;
                watch.tell(Stage::Writing, done, header.view_size)?;
            }
        }
        if !(control.is_at_end() && sources.difference.is_at_end() && sources.extra.is_at_end()) {
            return Err(Error::Damaged("something is left over"));
        }
        Ok(())
    }
}

/// Where an operation's bytes come from.
struct Sources<'f, P: ?Sized, B: ?Sized, S: ?Sized> {
    old: Old<'f, B, S>,
    difference: Unpacked<'f, P>,
    extra: Unpacked<'f, P>,
    bytes: Vec<u8>,
    changes: Vec<u8>,
}

impl<P, B, S> Sources<'_, P, B, S>
where
    P: ReadAt + ?Sized,
    B: ReadAt + ?Sized,
    S: ReadAt + ?Sized,
{
    /// The first of `left` bytes of an operation.
    fn next(&mut self, kind: u64, left: u64) -> Result<&[u8], Error> {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let bytes = &mut self.bytes[..length];
        if kind == operation::INSERT {
            self.extra.fill(bytes)?;
            return Ok(bytes);
        }
        self.old.read(bytes)?;
        if kind == operation::COPY {
            return Ok(bytes);
        }
        let changes = &mut self.changes[..length];
        self.difference.fill(changes)?;
        for (byte, change) in bytes.iter_mut().zip(changes) {
            *byte = byte.wrapping_add(*change);
        }
        Ok(bytes)
    }
}

/// The old side: the inflated entries, and the base behind them.
struct Old<'f, B: ?Sized, S: ?Sized> {
    base: &'f B,
    scratch: &'f S,
    scratch_size: u64,
    size: u64,
    at: u64,
    /// A piece of one of the two files, so that short reads don't each ask the system.
    window: Vec<u8>,
    window_at: u64,
    window_length: usize,
}

impl<'f, B: ReadAt + ?Sized, S: ReadAt + ?Sized> Old<'f, B, S> {
    fn new(base: &'f B, scratch: &'f S, scratch_size: u64, base_size: u64) -> Old<'f, B, S> {
        Old {
            base,
            scratch,
            scratch_size,
            size: scratch_size.saturating_add(base_size),
            at: 0,
            window: vec![0; CHUNK],
            window_at: 0,
            window_length: 0,
        }
    }

    fn shift(&mut self, by: i64) -> Result<(), Error> {
        let at = self.at.checked_add_signed(by).filter(|at| *at <= self.size);
        self.at = at.ok_or(Error::Damaged("it moves outside of its base"))?;
        Ok(())
    }

    fn read(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        if self.size - self.at < buffer.len() as u64 {
            return Err(Error::Damaged("it reads outside of its base"));
        }
        while !buffer.is_empty() {
            let skip = self.at.checked_sub(self.window_at);
            let skip = skip.and_then(|skip| usize::try_from(skip).ok());
            let Some(skip) = skip.filter(|skip| *skip < self.window_length) else {
                self.load()?;
                continue;
            };
            let length = buffer.len().min(self.window_length - skip);
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&self.window[skip..skip + length]);
            self.at += length as u64;
            buffer = later;
        }
        Ok(())
    }

    /// Gets the piece that `at` is in.
    fn load(&mut self) -> Result<(), Error> {
        let in_scratch = self.at < self.scratch_size;
        let (from, end) = if in_scratch {
            (0, self.scratch_size)
        } else {
            (self.scratch_size, self.size)
        };
        // Aligned, so that going back a little finds the same piece.
        let chunk = CHUNK as u64;
        let at = from + (self.at - from) / chunk * chunk;
        let length = usize::try_from((end - at).min(chunk)).unwrap_or(CHUNK);
        let window = &mut self.window[..length];
        if in_scratch {
            let read = self.scratch.read_exact_at(window, at);
            read.map_err(File::Scratch.failed())?;
        } else {
            let read = self.base.read_exact_at(window, at - from);
            read.map_err(File::Base.failed())?;
        }
        (self.window_at, self.window_length) = (at, length);
        Ok(())
    }
}

/// Inflates ranges, one after the other.
pub(crate) struct Inflater {
    state: Decompress,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Inflater {
        Inflater {
            state: Decompress::new(false),
            input: vec![0; CHUNK],
            output: vec![0; CHUNK],
        }
    }

    /// Hands the inflated bytes on in pieces. The range is one stream, no more and no less.
    pub(crate) fn inflate<B: ReadAt + ?Sized>(
        &mut self,
        file: &B,
        range: Deflated,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const DAMAGED: Error = Error::Damaged("a range of its base can't be inflated");
        self.state.reset(false);
        let (mut at, mut held, mut used) = (range.offset, 0, 0);
        let end = range.offset + range.packed;
        loop {
            if used == held && at < end {
                held = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK);
                let read = file.read_exact_at(&mut self.input[..held], at);
                read.map_err(File::Base.failed())?;
                at += held as u64;
                used = 0;
            }
            let (input, output) = (self.state.total_in(), self.state.total_out());
            let chunk = &self.input[used..held];
            let status = self
                .state
                .decompress(chunk, &mut self.output, FlushDecompress::None);
            let status = status.map_err(|_| DAMAGED)?;
            let eaten = self.state.total_in() - input;
            used += usize::try_from(eaten).unwrap_or(usize::MAX);
            let made = self.state.total_out() - output;
            if self.state.total_out() > range.plain {
                return Err(DAMAGED);
            }
            take(&self.output[..usize::try_from(made).unwrap_or(0)])?;
            if status == Status::StreamEnd {
                break;
            }
            if eaten == 0 && made == 0 {
                return Err(DAMAGED);
            }
        }
        if self.state.total_in() != range.packed || self.state.total_out() != range.plain {
            return Err(DAMAGED);
        }
        Ok(())
    }
}

/// SHA-256 of what passes.
#[derive(Default)]
pub(crate) struct Passed {
    digest: Sha256,
    pub(crate) size: u64,
}

impl Passed {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn finish(self) -> (u64, crate::Sha256Digest) {
        (self.size, self.digest.finalize().into())
    }
}
