//! Takes a signed APK apart and puts it together again, as an attacker would.

use std::ops::Range;

pub(crate) const V2: u32 = 0x7109_871a;
pub(crate) const V3: u32 = 0xf053_68c0;
pub(crate) const V31: u32 = 0x1b93_ad61;
pub(crate) const V32: u32 = 0x70e1_c89f;

/// The parts of an APK without archive comment.
#[derive(Debug, Clone)]
pub(crate) struct Anatomy {
    pub(crate) entries: Vec<u8>,
    pub(crate) pairs: Vec<(u32, Vec<u8>)>,
    pub(crate) directory: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

/// Where the parts lie: entries, signing block, central directory, end record.
pub(crate) fn regions(apk: &[u8]) -> [Range<usize>; 4] {
    let end = apk.len() - 22;
    let directory = u32_at(apk, end + 16) as usize;
    let block = if apk[..directory].ends_with(b"APK Sig Block 42") {
        directory - 8 - u64_at(apk, directory - 24) as usize
    } else {
        directory
    };
    [0..block, block..directory, directory..end, end..apk.len()]
}

impl Anatomy {
    pub(crate) fn of(apk: &[u8]) -> Self {
        let [entries, block, directory, end] = regions(apk);
        let mut pairs = Vec::new();
        if !block.is_empty() {
            let mut at = block.start + 8;
            while at < block.end - 24 {
                let len = u64_at(apk, at) as usize;
                pairs.push((u32_at(apk, at + 8), apk[at + 12..at + 8 + len].to_vec()));
                at += 8 + len;
            }
        }
        Self {
            entries: apk[entries].to_vec(),
            pairs,
            directory: apk[directory].to_vec(),
            end: apk[end].to_vec(),
        }
    }

    /// The APK with these parts, its offsets set right.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (id, value) in &self.pairs {
            body.extend((value.len() as u64 + 4).to_le_bytes());
            body.extend(id.to_le_bytes());
            body.extend(value);
        }
        let size = (body.len() as u64 + 24).to_le_bytes();
        let block = if self.pairs.is_empty() {
            Vec::new()
        } else {
            [&size[..], &body, &size, b"APK Sig Block 42"].concat()
        };
        let mut end = self.end.clone();
        let directory = (self.entries.len() + block.len()) as u32;
        end[12..16].copy_from_slice(&(self.directory.len() as u32).to_le_bytes());
        end[16..20].copy_from_slice(&directory.to_le_bytes());
        [&self.entries, &block, &self.directory, &end]
            .map(Vec::as_slice)
            .concat()
    }

    /// Without the values of this scheme.
    pub(crate) fn without(mut self, id: u32) -> Self {
        self.pairs.retain(|(other, _)| *other != id);
        self
    }

    /// The value of a scheme, to be changed.
    pub(crate) fn value(&mut self, id: u32) -> &mut Vec<u8> {
        &mut self
            .pairs
            .iter_mut()
            .find(|(other, _)| *other == id)
            .expect("the scheme is there")
            .1
    }

    /// Adds a stored entry that the directory lists.
    pub(crate) fn add_entry(&mut self, name: &str, bytes: &[u8]) {
        let crc = crc32(bytes);
        let mut shared = vec![0_u8; 8];
        for field in [crc, bytes.len() as u32, bytes.len() as u32] {
            shared.extend(field.to_le_bytes());
        }
        shared.extend((name.len() as u16).to_le_bytes());
        let offset = self.entries.len() as u32;
        let local = [b"PK\x03\x04\x14\0", &shared[..], &[0, 0], name.as_bytes(), bytes].concat();
        self.entries.extend(local);
        let head = [b"PK\x01\x02\x14\0\x14\0", &shared[..], &[0; 12]].concat();
        self.directory
            .extend([&head, &offset.to_le_bytes()[..], name.as_bytes()].concat());
        for at in [8, 10] {
            let count = u16::from_le_bytes([self.end[at], self.end[at + 1]]) + 1;
            self.end[at..at + 2].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// Replaces the first occurrence of `from`, which must be there, by as many bytes of `to`.
pub(crate) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("the bytes are there");
    bytes[at..at + to.len()].copy_from_slice(to);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
