//! Content digests: what the schemes from v2 on sign instead of the file.
//!
//! The file without its signing block is three sections (entries, central directory, end record), and the
//! end record is hashed as if the directory began where the block does. A chunked digest hashes each
//! mebibyte of each section, then the hashes; a verity digest is the root of a tree over 4 KiB pages.
//! Chunks are independent, so a few threads each take the next one and read it by position: memory is one
//! buffer a thread and one hash a chunk, whatever the size of the file.
//!
//! Source: source.android.com, "APK Signature Scheme v2", "Integrity-protected contents"; fs-verity.

use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ring::digest::{Context, SHA256, SHA512};

use crate::Source;

const CHUNK_BYTES: u64 = 1 << 20;
const PAGE_BYTES: usize = 4096;
/// More threads than this gain nothing: the storage is slower.
const MAX_THREADS: usize = 8;
/// Marks of a chunk's hash and of the hash over all of them.
const CHUNK_MARK: u8 = 0xa5;
const TOP_MARK: u8 = 0x5a;
const VERITY_SALT: [u8; 8] = [0; 8];
const SHA256_BYTES: usize = 32;
/// Where an end record says where the directory starts.
const END_DIRECTORY_OFFSET: usize = 16;

/// A way to digest a file's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentDigest {
    Sha256,
    Sha512,
    VeritySha256,
}

impl ContentDigest {
    /// Which of two a device prefers: the higher one.
    pub(crate) fn strength(self) -> u8 {
        match self {
            Self::Sha256 => 0,
            Self::VeritySha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// Its name, as the signing tools print it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "chunked SHA-256",
            Self::Sha512 => "chunked SHA-512",
            Self::VeritySha256 => "verity SHA-256",
        }
    }
}

/// The sections of a file that content digests cover.
pub(crate) struct Contents<'a> {
    source: &'a dyn Source,
    entries: Range<u64>,
    directory: Range<u64>,
    /// The end record with the directory moved to where the signing block starts.
    end: Vec<u8>,
}

impl<'a> Contents<'a> {
    /// The contents of a file whose signing block starts at `block` (or would, where there is none yet).
    pub(crate) fn new(source: &'a dyn Source, block: u64, directory: Range<u64>, mut end: Vec<u8>) -> Self {
        // The directory's offset fits: it lies above the block, and was read from this very field.
        let moved = u32::try_from(block).unwrap_or(u32::MAX);
        end[END_DIRECTORY_OFFSET..END_DIRECTORY_OFFSET + 4].copy_from_slice(&moved.to_le_bytes());
        Self {
            source,
            entries: 0..block,
            directory,
            end,
        }
    }

    /// Computes one digest.
    pub(crate) fn digest(&self, algorithm: ContentDigest) -> io::Result<Vec<u8>> {
        match algorithm {
            ContentDigest::Sha256 => self.chunked(&SHA256),
            ContentDigest::Sha512 => self.chunked(&SHA512),
            ContentDigest::VeritySha256 => self.verity(),
        }
    }

    fn chunked(&self, algorithm: &'static ring::digest::Algorithm) -> io::Result<Vec<u8>> {
        let chunks = self.chunks();
        let hashes = in_parallel(chunks.len() as u64, |number, buffer| {
            let (section, range) = &chunks[usize::try_from(number).unwrap_or(usize::MAX)];
            let len = range.end - range.start;
            let bytes = self.read(*section, range.start, len, buffer)?;
            let mut hash = Context::new(algorithm);
            hash.update(&[CHUNK_MARK]);
            hash.update(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
            hash.update(bytes);
            Ok(hash.finish().as_ref().to_vec())
        })?;
        let mut top = Context::new(algorithm);
        top.update(&[TOP_MARK]);
        top.update(&u32::try_from(chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
        hashes.iter().for_each(|hash| top.update(hash));
        Ok(top.finish().as_ref().to_vec())
    }

    /// Each section cut into mebibytes; the last one of a section may be shorter.
    fn chunks(&self) -> Vec<(Section, Range<u64>)> {
        let sections = [Section::Entries, Section::Directory, Section::End];
        let cut = |section: Section| {
            let range = self.range(section);
            let starts = (0..).map(move |number| range.start + number * CHUNK_BYTES);
            let end = range.end;
            starts
                .take_while(move |start| *start < end)
                .map(move |start| (section, start..end.min(start + CHUNK_BYTES)))
        };
        sections.into_iter().flat_map(cut).collect()
    }

    fn range(&self, section: Section) -> Range<u64> {
        match section {
            Section::Entries => self.entries.clone(),
            Section::Directory => self.directory.clone(),
            Section::End => 0..self.end.len() as u64,
        }
    }

    fn read<'b>(&self, section: Section, at: u64, len: u64, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        match section {
            Section::End => self.end.read_exact_at(bytes, at)?,
            Section::Entries | Section::Directory => self.source.read_exact_at(bytes, at)?,
        }
        Ok(bytes)
    }

    /// The root of the page tree, then the number of bytes below it.
    fn verity(&self) -> io::Result<Vec<u8>> {
        let total = Section::ALL
            .iter()
            .map(|section| span(&self.range(*section)))
            .sum::<u64>();
        let hashes = in_parallel(total.div_ceil(CHUNK_BYTES), |number, buffer| {
            let start = number * CHUNK_BYTES;
            let bytes = self.read_joined(start, CHUNK_BYTES.min(total - start), buffer)?;
            Ok(hash_pages(bytes))
        })?;
        let mut level = hashes.concat();
        while level.len() > PAGE_BYTES {
            level = hash_pages(&level);
        }
        let mut digest = hash_pages(&level);
        digest.extend_from_slice(&total.to_le_bytes());
        Ok(digest)
    }

    /// Reads from the three sections as if they were one.
    fn read_joined<'b>(&self, start: u64, len: u64, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let mut piece = Vec::new();
        buffer.clear();
        let (mut base, end) = (0, start + len);
        for section in Section::ALL {
            let range = self.range(section);
            let (from, to) = (start.max(base), end.min(base + span(&range)));
            if from < to {
                let bytes = self.read(section, range.start + from - base, to - from, &mut piece)?;
                buffer.extend_from_slice(bytes);
            }
            base += span(&range);
        }
        Ok(buffer)
    }
}

#[derive(Debug, Clone, Copy)]
enum Section {
    Entries,
    Directory,
    End,
}

impl Section {
    const ALL: [Self; 3] = [Self::Entries, Self::Directory, Self::End];
}

fn span(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// The salted hash of each page; the last page is filled up with zeros.
fn hash_pages(bytes: &[u8]) -> Vec<u8> {
    let mut hashes = Vec::with_capacity(bytes.len().div_ceil(PAGE_BYTES) * SHA256_BYTES);
    for page in bytes.chunks(PAGE_BYTES) {
        let mut hash = Context::new(&SHA256);
        hash.update(&VERITY_SALT);
        hash.update(page);
        hash.update(&[0; PAGE_BYTES][page.len()..]);
        hashes.extend_from_slice(hash.finish().as_ref());
    }
    hashes
}

/// Calls `work` for every number below `count`, on as many threads as there are cores, each with a buffer
/// of its own. The results come in order; the first error ends it all.
fn in_parallel<T: Send>(
    count: u64,
    work: impl Fn(u64, &mut Vec<u8>) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let run = || -> io::Result<()> {
        let (mut buffer, mut mine) = (Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            match work(number, &mut buffer) {
                Ok(result) => mine.push((number, result)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        done.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .append(&mut mine);
        Ok(())
    };
    let cores = thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(MAX_THREADS);
    let helpers = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(cores)
        .saturating_sub(1);
    thread::scope(|scope| {
        let running: Vec<_> = (0..helpers).map(|_| scope.spawn(run)).collect();
        let mine = run();
        let others = running
            .into_iter()
            .map(|helper| helper.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        others.fold(mine, |sofar, other| sofar.and(other))
    })?;
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
