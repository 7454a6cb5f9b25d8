//! Making patches, on the server.

mod alignment;
mod entries;
mod index;
mod matching;
mod pack;
mod parts;
mod prices;
mod reproduce;
mod views;

use std::io::Write;

use sha2::{Digest as _, Sha256};

use self::index::Index;
use self::matching::Matcher;
use self::views::Views;
use crate::error::File;
use crate::header::{Header, Stream};
use crate::progress::{Listener, Stage, Watch};
use crate::read_at::ReadAt;
use crate::{Error, Sha256Digest};

/// Within what a patch is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most memory that making may take, in bytes. Where a suffix array of the base doesn't fit, blocks of it are
    /// looked up instead: less is found, for a quarter of the memory. Where not even that fits, no patch is made.
    pub memory: u64,
}

/// 512 MiB: enough for the suffix array of an APK that inflates to 80 MB.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            memory: DEFAULT_MEMORY,
        }
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The patch's size in bytes.
    pub patch_size: u64,
    /// The base's size in bytes.
    pub base_size: u64,
    /// The result's size in bytes.
    pub result_size: u64,
    /// SHA-256 of the base.
    pub base_sha256: Sha256Digest,
    /// SHA-256 of the result.
    pub result_sha256: Sha256Digest,
    /// How large the scratch file becomes when the patch is applied, in bytes.
    pub scratch_size: u64,
    /// How the base was searched.
    pub search: Search,
    /// What became of the result's compressed entries.
    pub entries: Entries,
}

/// How the base was searched for what the result has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// With a suffix array, which finds the longest match of anything.
    Suffixes,
    /// By blocks, because a suffix array would have been above the memory's bound.
    Blocks,
}

/// The result's compressed entries, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entries {
    /// Compressed to the same bytes in the base: copied as they are.
    pub unchanged: usize,
    /// Inflated, and compressed again on the device.
    pub reproduced: usize,
    /// Compressed by something else than zlib: their compressed bytes are compared.
    pub raw: usize,
}

/// Makes the patch from `base` to `result`, on one core. The same files give the same patch.
///
/// # Errors
/// [`Error::TooLarge`] when the files want more memory than `settings` allow, [`Error::Cancelled`], [`Error::Io`]. What
/// was written until then is no patch.
pub fn make<'l, B, R, W>(
    base: &B,
    result: &R,
    output: &mut W,
    settings: Settings,
    listener: &'l mut Listener<'l>,
) -> Result<Made, Error>
where
    B: ReadAt + ?Sized,
    R: ReadAt + ?Sized,
    W: Write + ?Sized,
{
    let mut watch = Watch::new(listener);
    let base_size = base.size().map_err(File::Base.failed())?;
    let result_size = result.size().map_err(File::Result.failed())?;
    fits(base_size.saturating_add(result_size), settings.memory)?;
    let base = read(base, base_size, File::Base)?;
    let result = read(result, result_size, File::Result)?;
    let (base_sha256, result_sha256) = (sha256(&base), sha256(&result));
    watch.tell(Stage::Checking, 1, 1)?;
    let views = views::views(base, &result, settings.memory, &mut watch)?;
    drop(result);
    let (scratch_size, view_size) = (views.scratch as u64, views.new.len() as u64);
    let (search, parts) = compare(&views, settings.memory, &mut watch)?;
    let (entries, plan) = (views.entries, views.plan.to_bytes());
    drop(views);
    watch.tell(Stage::Packing, 0, 1)?;
    let (packed, streams) = pack(
        [plan, parts.control, parts.difference, parts.extra],
        settings.memory,
    )?;
    let [plan, control, difference, extra] = streams;
    let header = Header {
        base_sha256,
        result_sha256,
        base_size,
        result_size,
        scratch_size,
        view_size,
        plan,
        control,
        difference,
        extra,
    };
    let patch_size = write(output, &header, &packed)?;
    watch.tell(Stage::Packing, 1, 1)?;
    Ok(Made {
        patch_size,
        base_size,
        result_size,
        base_sha256,
        result_sha256,
        scratch_size,
        search,
        entries,
    })
}

fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256::digest(bytes).into()
}

/// Compresses the parts; what they take one after the other, and their lengths.
fn pack(parts: [Vec<u8>; 4], memory: u64) -> Result<(Vec<u8>, [Stream; 4]), Error> {
    let held: usize = parts.iter().map(Vec::len).sum();
    let room = memory.saturating_sub(2 * held as u64);
    let mut streams = [Stream::default(); 4];
    let mut packed = Vec::new();
    for (part, stream) in parts.into_iter().zip(&mut streams) {
        let bytes = pack::pack(&part, room)?;
        (stream.packed, stream.plain) = (bytes.len() as u64, part.len() as u64);
        packed.extend_from_slice(&bytes);
    }
    Ok((packed, streams))
}

/// Writes the patch; how long it is.
fn write<W: Write + ?Sized>(output: &mut W, header: &Header, packed: &[u8]) -> Result<u64, Error> {
    let header = header.to_bytes();
    let written = output.write_all(&header).and_then(|()| output.write_all(packed));
    written
        .and_then(|()| output.flush())
        .map_err(File::Patch.failed())?;
    Ok((header.len() + packed.len()) as u64)
}

/// What the result has beyond the base.
fn compare(views: &Views, memory: u64, watch: &mut Watch<'_>) -> Result<(Search, parts::Parts), Error> {
    watch.tell(Stage::Sorting, 0, 1)?;
    let held = (views.old.len() + views.new.len()) as u64;
    let index = Index::new(views, memory.saturating_sub(held))
        .ok_or_else(|| too_large(held + Index::least(views), memory))?;
    watch.tell(Stage::Sorting, 1, 1)?;
    let parts = Matcher::new(views, &index).run(watch)?;
    Ok((index.search(), parts))
}

fn read<F: ReadAt + ?Sized>(file: &F, size: u64, which: File) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0).map_err(which.failed())?;
    Ok(bytes)
}

fn fits(size: u64, memory: u64) -> Result<(), Error> {
    if size > memory {
        return Err(too_large(size, memory));
    }
    Ok(())
}

fn too_large(size: u64, limit: u64) -> Error {
    Error::TooLarge {
        what: "the memory that making wants",
        size,
        limit,
    }
}
