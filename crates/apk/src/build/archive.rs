//! Writes the ZIP archive: entries, then room for a signing block, then the directory.

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Stored entries start at a multiple of this.
const ALIGNMENT: usize = 4;
/// Stored native libraries start at a page, so that devices map them without unpacking.
const LIBRARY_ALIGNMENT: usize = 16 << 10;
/// The extra field that the platform's tools pad with: id, length, alignment.
const ALIGNMENT_EXTRA_ID: u16 = 0xd935;
const ALIGNMENT_EXTRA_BYTES: usize = 6;
/// 1 January 1981, midnight: what the platform's tools write so that builds are reproducible.
const DATE: u16 = 0x0221;

/// An archive in two halves, between which a signing block fits.
#[derive(Debug, Clone)]
pub(super) struct Halves {
    pub(super) entries: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

/// A file to go into the archive.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) compressed: bool,
    /// Whether stored data starts where devices can map it.
    pub(super) aligned: bool,
}

/// Writes the files in the given order.
pub(super) fn write(files: &[File]) -> Halves {
    let mut halves = Halves {
        entries: Vec::new(),
        directory: Vec::new(),
        count: 0,
    };
    files.iter().for_each(|file| halves.add(file));
    halves
}

impl Halves {
    fn add(&mut self, file: &File) {
        let packed = if file.compressed {
            deflate(&file.bytes)
        } else {
            None
        };
        let method: u16 = if packed.is_some() { 8 } else { 0 };
        let data = packed.as_deref().unwrap_or(&file.bytes);
        let mut crc = Crc::new();
        crc.update(&file.bytes);

        // The fields that local header and directory share, from the flags to the length of the name.
        let mut shared = Vec::new();
        for field in [0, method, 0, DATE] {
            shared.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc.sum(), size(data.len()), size(file.bytes.len())] {
            shared.extend_from_slice(&field.to_le_bytes());
        }
        shared.extend_from_slice(&u16::try_from(file.name.len()).unwrap_or(u16::MAX).to_le_bytes());

        let header = self.entries.len();
        let extra = if method == 0 {
            padding(header + 30 + file.name.len(), file)
        } else {
            Vec::new()
        };
        self.entries.extend_from_slice(b"PK\x03\x04\x14\x00");
        self.entries.extend_from_slice(&shared);
        self.entries
            .extend_from_slice(&u16::try_from(extra.len()).unwrap_or(0).to_le_bytes());
        self.entries.extend_from_slice(file.name.as_bytes());
        self.entries.extend_from_slice(&extra);
        self.entries.extend_from_slice(data);

        self.directory.extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
        self.directory.extend_from_slice(&shared);
        // No extra field, no comment, disk 0, no attributes.
        self.directory.extend_from_slice(&[0; 12]);
        self.directory.extend_from_slice(&size(header).to_le_bytes());
        self.directory.extend_from_slice(file.name.as_bytes());
        self.count += 1;
    }

    /// The central directory.
    pub(super) fn directory(&self) -> &[u8] {
        &self.directory
    }

    /// The end record of an archive whose directory starts at `offset`.
    pub(super) fn end(&self, offset: usize) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend_from_slice(&self.count.to_le_bytes());
        end.extend_from_slice(&self.count.to_le_bytes());
        end.extend_from_slice(&size(self.directory.len()).to_le_bytes());
        end.extend_from_slice(&size(offset).to_le_bytes());
        end.extend_from_slice(&[0, 0]);
        end
    }

    /// The whole archive with `block` before the directory.
    pub(super) fn join(self, block: &[u8]) -> Vec<u8> {
        let end = self.end(self.entries.len() + block.len());
        let mut bytes = self.entries;
        bytes.reserve_exact(block.len() + self.directory.len() + end.len());
        bytes.extend_from_slice(block);
        bytes.extend_from_slice(&self.directory);
        bytes.extend_from_slice(&end);
        bytes
    }
}

/// `None` when deflating gains nothing.
fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(bytes.len());
    // The output may not grow beyond the input: then the entry is better stored.
    let status =
        Compress::new(Compression::default(), false).compress_vec(bytes, &mut packed, FlushCompress::Finish);
    matches!(status, Ok(flate2::Status::StreamEnd)).then_some(packed)
}

/// The extra field that moves the data from `at` to where it must start, or one byte further.
fn padding(at: usize, file: &File) -> Vec<u8> {
    let alignment = if file.name.ends_with(".so") {
        LIBRARY_ALIGNMENT
    } else {
        ALIGNMENT
    };
    if file.aligned && at.is_multiple_of(alignment) {
        return Vec::new();
    }
    let end = (at + ALIGNMENT_EXTRA_BYTES).next_multiple_of(alignment) + usize::from(!file.aligned);
    let mut extra = ALIGNMENT_EXTRA_ID.to_le_bytes().to_vec();
    extra.extend_from_slice(&u16::try_from(end - at - 4).unwrap_or(0).to_le_bytes());
    extra.extend_from_slice(&u16::try_from(alignment).unwrap_or(0).to_le_bytes());
    extra.resize(end - at, 0);
    extra
}

/// A ZIP size field. Built APKs stay far below 4 GiB.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
