//! One record of the central directory.

/// An entry as the central directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name: UTF-8, not empty. A NUL in it passes, as it does with `apksigner`; devices refuse it, so the verdict warns.
    pub(crate) name: String,
    /// General purpose flags.
    pub(crate) flags: u16,
    /// 0 is stored; anything else is taken for deflate, as Android's verifier does.
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

impl Entry {
    /// Whether the bytes are stored as they are.
    pub(crate) fn is_stored(&self) -> bool {
        self.method == 0
    }

    /// Where the entry's bytes end.
    pub(crate) fn data_end(&self) -> u64 {
        self.data + self.packed
    }
}
