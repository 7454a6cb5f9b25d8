//! A server makes patches, and devices apply them.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

mod bounds;
mod documented;
mod exact;
mod files;
mod random;
mod zlib;
