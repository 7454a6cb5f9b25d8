//! The bytes that zlib's `deflate` makes, by C zlib itself.
//!
//! Build tools compress an APK's entries with zlib, each with settings of its own. A result can be put together from
//! inflated entries only by whoever compresses to the very same bytes, on any device. So this crate alone, and only to
//! compress, calls C zlib, which the crate libz-sys brings along as source:
//!
//! - flate2 names neither memory level nor strategy. Its backends are one for the whole workspace, and readers of hostile
//!   APKs would change from safe Rust to C with it. What inflates stays safe Rust, here too.
//! - Other compressors (zlib-rs, zlib-ng, Chromium's) make other bytes of the same settings.
//! - The version is named (`=` in Cargo.toml) and looked at when a compressor is made: one whose bytes nobody has compared
//!   with the expected ones (`tests/patches/zlib.tsv`) compresses nothing, and applying ends with
//!   [`Error::Compressor`].
//!
//! The `unsafe` that it takes is in `stream.rs`. zlib compresses what has been inflated and put together here; its bounds
//! are those of its settings, whatever the bytes are.

mod stream;

use self::stream::Stream;
use crate::Error;

/// What to prefer, zlib's `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// `Z_DEFAULT_STRATEGY`
    Default,
    /// `Z_FILTERED`: short matches are not taken.
    Filtered,
    /// `Z_HUFFMAN_ONLY`: no matches at all.
    HuffmanOnly,
    /// `Z_RLE`: only runs of one byte.
    Rle,
    /// `Z_FIXED`: no codes of a block's own.
    Fixed,
}

impl Strategy {
    /// All of them, in zlib's numbering.
    pub const ALL: [Strategy; 5] = [
        Strategy::Default,
        Strategy::Filtered,
        Strategy::HuffmanOnly,
        Strategy::Rle,
        Strategy::Fixed,
    ];

    /// zlib's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Strategy::Default => 0,
            Strategy::Filtered => 1,
            Strategy::HuffmanOnly => 2,
            Strategy::Rle => 3,
            Strategy::Fixed => 4,
        }
    }
}

/// The settings of a compressor: `deflateInit2` with a negative window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    level: u8,
    window: u8,
    memory: u8,
    strategy: Strategy,
}

impl Settings {
    /// `level` 1 to 9, `window` 9 to 15 (bits of the farthest distance), `memory` 1 to 9 (zlib's memLevel).
    /// `None`: one of them is none of these.
    #[must_use]
    pub fn new(level: u8, window: u8, memory: u8, strategy: Strategy) -> Option<Settings> {
        let valid = (1..=9).contains(&level) && (9..=15).contains(&window) && (1..=9).contains(&memory);
        valid.then_some(Settings {
            level,
            window,
            memory,
            strategy,
        })
    }

    /// zlib's level, 1 to 9.
    #[must_use]
    pub fn level(self) -> u8 {
        self.level
    }

    /// Level, window, memory level and strategy, as zlib numbers them.
    fn numbers(self) -> [u8; 4] {
        [self.level, self.window, self.memory, self.strategy.number()]
    }

    /// The two bytes that stand for it in a patch.
    #[cfg(feature = "make")]
    pub(crate) fn to_bytes(self) -> [u8; 2] {
        [
            (self.strategy.number() << 4) | self.level,
            (self.window << 4) | self.memory,
        ]
    }

    /// The reverse of [`Settings::to_bytes`].
    pub(crate) fn from_bytes([first, second]: [u8; 2]) -> Option<Settings> {
        let strategy = *Strategy::ALL.get(usize::from(first >> 4))?;
        Settings::new(first & 15, second >> 4, second & 15, strategy)
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "level {}, window {}, memory level {}, strategy {}",
            self.level,
            self.window,
            self.memory,
            self.strategy.number()
        )
    }
}

/// How much input is handed to zlib at once, a multiple of every window: how the caller cuts its writes then leaves no
/// trace. zlib looks at its input when its window is full or when its input ends, and whether a block can be stored depends on
/// which of them came first.
const PIECE: usize = 32 * 1024;
/// How much is taken from it at once.
const ROOM: usize = 32 * 1024;

/// Compresses one raw deflate stream.
///
/// Keeps about 350 KiB at the usual settings, whatever the length of the input.
#[derive(Debug)]
pub struct Deflater {
    stream: Stream,
    /// Input that is no whole piece yet.
    held: Vec<u8>,
    room: Box<[u8]>,
}

impl Deflater {
    /// A compressor at the beginning of its stream.
    ///
    /// # Errors
    ///
    /// [`Error::Compressor`]: there is no memory for it, or another zlib is linked than this crate's.
    pub fn new(settings: Settings) -> Result<Deflater, Error> {
        Ok(Deflater {
            stream: Stream::new(settings)?,
            held: Vec::with_capacity(PIECE),
            room: vec![0; ROOM].into_boxed_slice(),
        })
    }

    /// Takes input in, and appends what it leads to.
    ///
    /// # Errors
    ///
    /// [`Error::Compressor`]: zlib refuses to go on. The stream is of no use then.
    pub fn write(&mut self, mut input: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
        while self.held.len() + input.len() >= PIECE {
            let (now, later) = input.split_at(PIECE - self.held.len());
            self.held.extend_from_slice(now);
            input = later;
            self.run(false, output)?;
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// [`Error::Compressor`]: zlib refuses to go on.
    pub fn finish(mut self, output: &mut Vec<u8>) -> Result<(), Error> {
        self.run(true, output)
    }

    /// Hands over what is held, and takes all that comes of it.
    fn run(&mut self, last: bool, output: &mut Vec<u8>) -> Result<(), Error> {
        let mut input = self.held.as_slice();
        loop {
            let step = self.stream.step(input, &mut self.room, last)?;
            input = input.get(step.taken..).unwrap_or_default();
            output.extend_from_slice(self.room.get(..step.made).unwrap_or_default());
            // With room to spare zlib has nothing more to give.
            if step.ended || (!last && input.is_empty() && step.made < ROOM) {
                break;
            }
            if step.taken == 0 && step.made == 0 {
                // Another round would be like this one; without `last` it only means that the room was just enough.
                if last || !input.is_empty() {
                    return Err(Error::Compressor("zlib does not go on"));
                }
                break;
            }
        }
        self.held.clear();
        Ok(())
    }
}
