//! Patches between two builds of an app.

mod apply;
mod error;
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
