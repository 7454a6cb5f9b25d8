//! The archive: a ZIP file read as a suspicious device would.
//!
//! Signature schemes v2 and newer cover bytes, v1 covers entries, and a device later reads files by name.
//! An attacker's way in is a file that these three understand differently. So this reader is stricter than
//! a general one: a file that begins with an entry, one end record, one directory, no two entries of a name,
//! no two entries that share bytes, local headers that agree with the directory. Bytes are read by position; only the directory
//! (bounded by [`MAX_DIRECTORY_BYTES`]) is held in memory.
//!
//! Source: PKWARE APPNOTE 6.3, and what Android's `libziparchive` accepts.

mod directory;
mod end;
mod entry;
mod local;
mod surrogates;
mod unpack;

use std::ops::Range;

pub(crate) use entry::Entry;

use crate::{Error, Rule, Source, format};

/// The largest central directory that is read, in bytes: 65,535 entries with names of 200 bytes.
pub(crate) const MAX_DIRECTORY_BYTES: u64 = 16 << 20;
/// The most that all entries together may unpack to, in bytes.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// The directory of an archive, checked, over a file that stays where it is.
pub(crate) struct Archive<'a> {
    source: &'a dyn Source,
    entries: Vec<Entry>,
    /// Positions in `entries`, sorted by name.
    by_name: Vec<u32>,
    directory: Range<u64>,
    end: u64,
}

impl<'a> Archive<'a> {
    /// Reads and checks the directory and every local header.
    ///
    /// # Errors
    /// [`Error::Archive`] naming the first fault, [`Error::Read`] when the bytes cannot be read.
    pub(crate) fn open(source: &'a dyn Source) -> Result<Self, Error> {
        let end = match end::find(source) {
            Err(error) if error.rule() == Some(Rule::NotAZip) => {
                return Err(end::far_from_the_end(source)?.map_or_else(|| format::of_file(source), Ok)?);
            }
            found => found?,
        };
        let mut entries = directory::read(source, &end)?;
        let by_name = directory::index(&entries)?;
        local::check_all(source, &mut entries, end.directory.start)?;
        if !entries.is_empty() {
            local::check_start(source)?;
        }
        Ok(Self {
            source,
            entries,
            by_name,
            directory: end.directory,
            end: end.offset,
        })
    }

    /// The file below.
    pub(crate) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// The entries in the directory's order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the central directory lies.
    pub(crate) fn directory(&self) -> Range<u64> {
        self.directory.clone()
    }

    /// Where the end-of-central-directory record starts.
    pub(crate) fn end_offset(&self) -> u64 {
        self.end
    }

    /// The entry of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        let found = self
            .by_name
            .binary_search_by(|&at| self.entries[at as usize].name.as_str().cmp(name));
        found
            .ok()
            .map(|position| &self.entries[self.by_name[position] as usize])
    }

    /// The unpacked bytes of an entry, refused before unpacking when it declares more than `limit`.
    ///
    /// # Errors
    /// [`Rule::MissingEntry`], [`Rule::TooLarge`], [`Rule::CorruptEntry`], or [`Error::Read`].
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let entry = self
            .find(name)
            .ok_or_else(|| Error::archive(Rule::MissingEntry, name, "there is no entry of this name"))?;
        if entry.is_encrypted() {
            let detail = "marked as encrypted; devices ignore the mark, other readers do not";
            return Err(Error::archive(Rule::Encrypted, name, detail));
        }
        if entry.unpacked > limit {
            let detail = format!(
                "unpacks to {} bytes, more than the {limit} that are read",
                entry.unpacked
            );
            return Err(Error::archive(Rule::TooLarge, name, detail));
        }
        // Not reserved in advance: the declared size is not to be believed before the bytes come.
        let mut bytes = Vec::new();
        self.unpack(entry, |chunk| bytes.extend_from_slice(chunk))?;
        Ok(bytes)
    }

    /// Hands the unpacked bytes of an entry to `take`, piece by piece, and checks their number.
    ///
    /// # Errors
    /// [`Rule::CorruptEntry`] or [`Error::Read`].
    pub(crate) fn unpack(&self, entry: &Entry, take: impl FnMut(&[u8])) -> Result<(), Error> {
        unpack::unpack(self.source, entry, take)
    }
}
