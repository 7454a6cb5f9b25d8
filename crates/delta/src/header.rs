use crate::{Error, Sha256Digest};

/// What a patch begins with.
pub(crate) const MAGIC: [u8; 4] = *b"tgp1";
/// The header's length in bytes.
pub(crate) const HEADER: usize = 4 + 2 * 32 + 4 * 8 + 4 * 16;
/// The bytes that deflate makes of one byte at most (zlib's technical notes: 1032:1).
pub(crate) const GREATEST_RATIO: u64 = 1032;
/// How many deflated ranges each side has at most.
pub(crate) const MAX_RANGES: u64 = 65_536;
/// The plan's greatest length: two numbers say how many ranges there are, and each has at most 32 bytes.
pub(crate) const MAX_PLAN: u64 = 2 * (10 + MAX_RANGES * 32);

/// No file is larger: with it no product or sum of sizes below leaves 64 bits.
const MAX_FILE: u64 = 1 << 48;

/// One compressed part of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    /// Where it begins in the patch.
    pub(crate) offset: u64,
    /// Its length in the patch.
    pub(crate) packed: u64,
    /// Its length when it is unpacked.
    pub(crate) plain: u64,
}

/// The first bytes of a patch: all its lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_sha256: Sha256Digest,
    pub(crate) result_sha256: Sha256Digest,
    pub(crate) base_size: u64,
    pub(crate) result_size: u64,
    pub(crate) scratch_size: u64,
    pub(crate) view_size: u64,
    pub(crate) plan: Stream,
    pub(crate) control: Stream,
    pub(crate) difference: Stream,
    pub(crate) extra: Stream,
}

impl Header {
    /// Reads it from a patch of `size` bytes. All that its lengths say about each other holds afterwards.
    pub(crate) fn parse(bytes: &[u8; HEADER], size: u64) -> Result<Header, Error> {
        let mut fields = Fields(bytes);
        if fields.take::<4>() != MAGIC {
            return Err(Error::NotAPatch);
        }
        let mut header = Header {
            base_sha256: fields.take(),
            result_sha256: fields.take(),
            base_size: fields.number(),
            result_size: fields.number(),
            scratch_size: fields.number(),
            view_size: fields.number(),
            plan: fields.stream(),
            control: fields.stream(),
            difference: fields.stream(),
            extra: fields.stream(),
        };
        header.place(size)?;
        header.check()?;
        Ok(header)
    }

    /// The streams follow the header and each other, and the last ends with the file.
    fn place(&mut self, size: u64) -> Result<(), Error> {
        let mut offset = HEADER as u64;
        for stream in [
            &mut self.plan,
            &mut self.control,
            &mut self.difference,
            &mut self.extra,
        ] {
            stream.offset = offset;
            offset = offset
                .checked_add(stream.packed)
                .ok_or(Error::Damaged("its parts are longer than it is"))?;
            if (stream.packed == 0) != (stream.plain == 0) {
                return Err(Error::Damaged(
                    "a part has a length in one form and none in the other",
                ));
            }
        }
        if offset != size {
            return Err(Error::Damaged("its parts are not as long as it is"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let inflated = |size: u64| size.saturating_mul(GREATEST_RATIO);
        let bounds = [
            (
                self.base_size.max(self.result_size) <= MAX_FILE,
                "no file is as large as its base or result",
            ),
            (
                self.scratch_size <= inflated(self.base_size),
                "more scratch than its base can inflate to",
            ),
            (
                self.view_size <= inflated(self.result_size),
                "more is compressed than its result can hold",
            ),
            (self.plan.plain <= MAX_PLAN, "its plan is too long"),
            // Each operation makes a byte at least, may follow a move, and has ten bytes at most.
            (
                self.control.plain <= self.view_size.saturating_mul(20),
                "it has more operations than bytes",
            ),
            (
                self.difference.plain.saturating_add(self.extra.plain) <= self.view_size,
                "it has more bytes than it makes",
            ),
        ];
        match bounds.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(Error::Damaged(why)),
            None => Ok(()),
        }
    }

    /// The reverse of [`Header::parse`].
    #[cfg(feature = "make")]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.base_sha256);
        bytes.extend_from_slice(&self.result_sha256);
        let streams = [self.plan, self.control, self.difference, self.extra];
        let sizes = [
            self.base_size,
            self.result_size,
            self.scratch_size,
            self.view_size,
        ];
        let streams = streams
            .into_iter()
            .flat_map(|stream| [stream.packed, stream.plain]);
        for number in sizes.into_iter().chain(streams) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}

/// The header's bytes that are not read yet.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn stream(&mut self) -> Stream {
        Stream {
            offset: 0,
            packed: self.number(),
            plain: self.number(),
        }
    }
}
