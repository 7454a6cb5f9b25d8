//! Patches between two builds of an app: made on the server, applied on the device.
//!
//! - [`make`] (feature `make`): from two files to a patch, within a bound of memory, on one core; the same files give the
//!   same patch.
//! - [`Patch`]: opens a patch, says what it wants ([`Patch::scratch_bytes`]), and applies it in constant memory.
//! - [`mod@format`]: how a patch is made up, to the byte, and why so.
//! - [`zlib`]: compresses to the very bytes that build tools did. Nothing else here would be worth much without it: inflating
//!   entries before comparing them makes patches thirty times smaller, and only exact bytes keep a signature whole.
//!
//! A patch comes over the network and its base may be anything, so both are the adversary here, as the file is in the
//! crate `apk`. All lengths are checked before they are used, memory is bounded by constants and time by the sizes that the
//! caller allows ([`Limits`]). Applying says `Ok` for the promised file and for no other: the base's SHA-256 is compared
//! before a byte is written, the result's as it is written. Whoever applies has one answer to every error, which is to take
//! the full file.
//!
//! What this crate must never know: what a package, a version or a signer is, where files come from, whether a patch is
//! worth offering (its caller sees the size), how much room a device has, the time, and async. It reads zip archives only
//! to find what is deflated, and believes nothing of them: what it doesn't understand is compared as it is. It takes files
//! through [`ReadAt`] and `Write`, so that an agent can hand in what its storage rule counts.
//!
//! It depends on no other crate of ours. Devices link C zlib through it, to compress; `zlib` says why. The calls are the only
//! `unsafe` in it.
//!
//! ```no_run
//! use std::fs::File;
//! use tidegate_delta::{Limits, Patch, unwatched};
//!
//! let patch = Patch::open(File::open("up.tgp")?, Limits::default()).map_err(std::io::Error::other)?;
//! let (mut scratch, mut result) = (File::options().read(true).write(true).create_new(true).open("scratch")?, File::create("new.apk")?);
//! match patch.apply(&File::open("old.apk")?, &mut scratch, &mut result, &mut unwatched) {
//!     Ok(()) => println!("{} bytes", patch.result_size()),
//!     Err(error) => println!("take the full file: {error}"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod apply;
mod error;
#[doc = include_str!("../../../docs/patches.md")]
pub mod format {}
mod header;
#[cfg(feature = "make")]
mod make;
mod number;
mod operation;
mod patch;
mod plan;
mod progress;
mod read_at;
mod result;
mod stream;
pub mod zlib;

pub use self::error::{Error, File};
#[cfg(feature = "make")]
pub use self::make::{DEFAULT_MEMORY, Entries, Made, Search, Settings, make};
pub use self::patch::{Limits, Patch};
pub use self::progress::{Listener, Progress, Stage, unwatched};
pub use self::read_at::ReadAt;

/// The 32 bytes of a SHA-256.
pub type Sha256Digest = [u8; 32];
