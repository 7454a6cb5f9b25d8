//! The bytes that zlib's `deflate` makes, made anew in safe Rust.
//!
//! Build tools compress an APK's entries with zlib, each with settings of its own. A result can be put together from
//! inflated entries only by whoever compresses to the very same bytes, on any device. Three ways lead there:
//!
//! - C zlib for the whole workspace, as flate2's backend: its API names neither memory level nor strategy, and readers
//!   of hostile APKs would change from safe Rust to C.
//! - The crate libz-sys in this crate alone: it asks for `unsafe`, which the workspace forbids, and on Android it links
//!   the system's library. That one is Chromium's, whose bytes differ, and so do they between Android's versions.
//! - This: what deflate.c and trees.c of zlib 1.3.1 do, with the same tables and the same order of decisions, for raw
//!   streams and levels 1 to 9. Its bytes are compared with those of C zlib over all settings (`tests/zlib.rs`), and on
//!   the real APKs whose entries it reproduces.
//!
//! Derived from zlib, Copyright (C) 1995-2024 Jean-loup Gailly and Mark Adler, under the zlib licence (LICENSE-ZLIB); this is an
//! altered version, and not the original software.
//!
//! Input is taken as if all of it were there at once: a block's end never depends on how the caller cuts its writes.

mod matches;
mod tables;
mod trees;

use self::matches::Window;
use self::trees::Blocks;

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

/// Compresses one raw deflate stream.
///
/// Keeps about 300 KiB at the usual settings, whatever the length of the input.
#[derive(Debug)]
pub struct Deflater {
    window: Window,
    blocks: Blocks,
}

impl Deflater {
    /// A compressor at the beginning of its stream.
    #[must_use]
    pub fn new(settings: Settings) -> Deflater {
        Deflater {
            window: Window::new(settings),
            blocks: Blocks::new(settings),
        }
    }

    /// Takes input in, and appends what it leads to.
    pub fn write(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        loop {
            input = self.window.take(input);
            // All that is there is looked at only when the window is full, so that cuts leave no trace.
            if !self.window.is_full() {
                return;
            }
            self.window.compress(&mut self.blocks, output, false);
            self.window.slide();
        }
    }

    /// Ends the stream.
    pub fn finish(mut self, output: &mut Vec<u8>) {
        self.window.compress(&mut self.blocks, output, true);
        self.window.flush(&mut self.blocks, output, true);
    }
}
