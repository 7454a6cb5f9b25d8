//! x
pub mod zlib;
