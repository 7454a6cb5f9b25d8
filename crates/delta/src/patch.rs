use crate::error::File;
use crate::header::{HEADER, Header, MAGIC, MAX_PLAN};
use crate::plan::Plan;
use crate::read_at::ReadAt;
use crate::stream::Unpacked;
use crate::{Error, Sha256Digest};

/// What a patch may ask for, whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The result's size in bytes.
    pub result: u64,
    /// The scratch file's size in bytes.
    pub scratch: u64,
    /// The result's size in bytes with its entries inflated. What applying costs grows with it.
    pub view: u64,
}

impl Default for Limits {
    /// 4 GiB, the greatest zip without extensions; entries may inflate to four times of that.
    fn default() -> Limits {
        Limits {
            result: 4 << 30,
            scratch: 16 << 30,
            view: 16 << 30,
        }
    }
}

/// A patch whose bounds are known and checked.
#[derive(Debug)]
pub struct Patch<P> {
    pub(crate) source: P,
    pub(crate) header: Header,
    pub(crate) plan: Plan,
}

impl<P: ReadAt> Patch<P> {
    /// Reads what a patch says about itself: its header and its plan, 4 MiB at most.
    ///
    /// # Errors
    /// [`Error::NotAPatch`], [`Error::Damaged`], [`Error::TooLarge`] for what is above `limits`, [`Error::Io`].
    pub fn open(source: P, limits: Limits) -> Result<Patch<P>, Error> {
        let size = source.size().map_err(File::Patch.failed())?;
        let mut bytes = [0; HEADER];
        if size < HEADER as u64 {
            // Too short to be read whole, and perhaps no patch at all.
            let mut magic = MAGIC.map(|_| 0);
            let read = source.read_exact_at(&mut magic, 0);
            return Err(match read {
                Ok(()) if magic == MAGIC => Error::Damaged("it ends within its header"),
                _ => Error::NotAPatch,
            });
        }
        source
            .read_exact_at(&mut bytes, 0)
            .map_err(File::Patch.failed())?;
        let header = Header::parse(&bytes, size)?;
        for (what, size, limit) in [
            ("the result", header.result_size, limits.result),
            ("the scratch file", header.scratch_size, limits.scratch),
            ("the inflated result", header.view_size, limits.view),
        ] {
            if size > limit {
                return Err(Error::TooLarge { what, size, limit });
            }
        }
        let plan = read_plan(&source, &header)?;
        Ok(Patch { source, header, plan })
    }

    /// SHA-256 of the file that it was made from.
    pub fn base_sha256(&self) -> Sha256Digest {
        self.header.base_sha256
    }

    /// SHA-256 of the file that it leads to.
    pub fn result_sha256(&self) -> Sha256Digest {
        self.header.result_sha256
    }

    /// The base's size in bytes.
    pub fn base_size(&self) -> u64 {
        self.header.base_size
    }

    /// The result's size in bytes.
    pub fn result_size(&self) -> u64 {
        self.header.result_size
    }

    /// How large the scratch file becomes: the room that applying wants beside the result, in bytes.
    pub fn scratch_bytes(&self) -> u64 {
        self.header.scratch_size
    }

    /// How many entries of the base are inflated.
    pub fn inflated_entries(&self) -> usize {
        self.plan.base.len()
    }

    /// How many entries of the result are compressed again.
    pub fn deflated_entries(&self) -> usize {
        self.plan.result.len()
    }

    /// The compressed length of each part, in bytes: plan, control, difference, extra.
    pub fn parts(&self) -> [u64; 4] {
        let header = &self.header;
        [header.plan, header.control, header.difference, header.extra].map(|part| part.packed)
    }
}

fn read_plan<P: ReadAt>(source: &P, header: &Header) -> Result<Plan, Error> {
    let mut unpacked = Unpacked::new(source, header.plan)?;
    let length = header.plan.plain.min(MAX_PLAN);
    let mut bytes = Vec::new();
    // A piece at a time, so that a length alone gets no memory.
    while (bytes.len() as u64) < length {
        let from = bytes.len();
        let left = usize::try_from(length).unwrap_or(usize::MAX) - from;
        bytes.resize(from + left.min(crate::read_at::CHUNK), 0);
        unpacked.fill(&mut bytes[from..])?;
    }
    Plan::parse(&bytes, header)
}
