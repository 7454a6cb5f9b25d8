//! Which ranges of base and result are deflated.

use crate::Error;
use crate::header::{GREATEST_RATIO, Header, MAX_RANGES};
use crate::number::{self, Bytes};
use crate::zlib::Settings;

/// A range of a file that is one raw deflate stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deflated {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Its length in the file.
    pub(crate) packed: u64,
    /// Its length when it is inflated.
    pub(crate) plain: u64,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The ranges of the base that are inflated into the scratch file, one after the other.
    pub(crate) base: Vec<Deflated>,
    /// The ranges of the result that are compressed again, and how.
    pub(crate) result: Vec<(Deflated, Settings)>,
}

impl Plan {
    /// Reads it, and checks it against the header's sizes.
    pub(crate) fn parse(bytes: &[u8], header: &Header) -> Result<Plan, Error> {
        let mut cursor = Cursor(bytes);
        let mut plan = Plan::default();
        let mut at = 0;
        let mut scratch = 0_u64;
        for _ in 0..cursor.count()? {
            let range = cursor.range(&mut at, header.base_size)?;
            scratch += range.plain;
            plan.base.push(range);
        }
        at = 0;
        let mut view = header.result_size;
        for _ in 0..cursor.count()? {
            let range = cursor.range(&mut at, header.result_size)?;
            let settings = Settings::from_bytes([cursor.byte()?, cursor.byte()?]);
            let settings = settings.ok_or(Error::Damaged("nobody compresses with such settings"))?;
            view = view - range.packed + range.plain;
            plan.result.push((range, settings));
        }
        if !cursor.0.is_empty() {
            return Err(Error::Damaged("something follows its plan"));
        }
        if scratch != header.scratch_size || view != header.view_size {
            return Err(Error::Damaged("its plan adds up to other sizes"));
        }
        Ok(plan)
    }

    /// The reverse of [`Plan::parse`].
    #[cfg(feature = "make")]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let range = |range: &Deflated, at: &mut u64, bytes: &mut Vec<u8>| {
            number::write(range.offset - *at, bytes);
            number::write(range.packed, bytes);
            number::write(range.plain, bytes);
            *at = range.offset + range.packed;
        };
        number::write(self.base.len() as u64, &mut bytes);
        let mut at = 0;
        for deflated in &self.base {
            range(deflated, &mut at, &mut bytes);
        }
        number::write(self.result.len() as u64, &mut bytes);
        at = 0;
        for (deflated, settings) in &self.result {
            range(deflated, &mut at, &mut bytes);
            bytes.extend_from_slice(&settings.to_bytes());
        }
        bytes
    }
}

struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn count(&mut self) -> Result<u64, Error> {
        let count = number::read(self)?;
        if count > MAX_RANGES {
            return Err(Error::Damaged("it has too many ranges"));
        }
        Ok(count)
    }

    /// A range that follows the one that ended at `at`, in a file of `size` bytes.
    fn range(&mut self, at: &mut u64, size: u64) -> Result<Deflated, Error> {
        let (gap, packed, plain) = (number::read(self)?, number::read(self)?, number::read(self)?);
        let offset = at.checked_add(gap);
        let end = offset.and_then(|offset| offset.checked_add(packed));
        let (Some(offset), Some(end)) = (offset, end.filter(|end| *end <= size)) else {
            return Err(Error::Damaged("a range lies outside of its file"));
        };
        if plain == 0 || plain > packed.saturating_mul(GREATEST_RATIO) {
            return Err(Error::Damaged(
                "a range inflates to nothing, or to more than deflate can hold",
            ));
        }
        *at = end;
        Ok(Deflated {
            offset,
            packed,
            plain,
        })
    }
}

impl Bytes for Cursor<'_> {
    type Error = Error;

    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or(Error::Damaged("its plan ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn overlong(&self) -> Error {
        Error::Damaged("a number is too long")
    }
}
