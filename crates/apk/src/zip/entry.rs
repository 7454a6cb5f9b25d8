//! One record of the central directory.

/// An entry as the central directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, not empty. A NUL in it passes, as it does with `apksigner`; devices refuse it, so the verdict warns.
    pub(crate) name: String,
    /// Its name as it is written, where that is not the UTF-8 of `name`.
    pub(crate) written: Option<Box<[u8]>>,
    /// General purpose flags.
    pub(crate) flags: u16,
    /// 0 for stored or 8 for deflate; below `META-INF` anything, and what is not stored is inflated.
    pub(crate) method: u16,
    /// CRC-32 of the unpacked bytes.
    pub(crate) crc32: u32,
    /// Size in the archive, in bytes.
    pub(crate) packed: u64,
    /// Size unpacked, in bytes, as declared.
    pub(crate) unpacked: u64,
    /// Where its local header starts.
    pub(crate) header: u64,
    /// Where its bytes start; known once the local header was read.
    pub(crate) data: u64,
}

/// The flag that says that sizes and CRC follow the data.
pub(crate) const FLAG_DATA_DESCRIPTOR: u16 = 1 << 3;
/// The flags of traditional and strong encryption and of masked headers.
pub(crate) const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// The compression methods that Android reads.
pub(crate) const STORED: u16 = 0;
pub(crate) const DEFLATED: u16 = 8;

impl Entry {
    /// The bytes of the name in both headers.
    pub(crate) fn written_name(&self) -> &[u8] {
        self.written.as_deref().unwrap_or(self.name.as_bytes())
    }

    /// Whether it is marked as encrypted, which Android ignores.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.flags & FLAGS_ENCRYPTED != 0
    }

    /// Whether the bytes are stored as they are.
    pub(crate) fn is_stored(&self) -> bool {
        self.method == STORED
    }

    /// Where the entry's bytes end.
    pub(crate) fn data_end(&self) -> u64 {
        self.data + self.packed
    }
}
