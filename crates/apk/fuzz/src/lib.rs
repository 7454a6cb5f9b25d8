//! What the fuzz targets share: wrapping fuzzed parts into files that are sound everywhere else, so that a
//! mutation reaches the parser it is meant for.
//!
//! Run a target from `crates/apk`; what it finds goes to the first folder:
//!
//! ```text
//! mkdir -p fuzz/corpus/zip && cargo +nightly fuzz run zip fuzz/corpus/zip fuzz/seeds/zip
//! ```
//!
//! The seeds were written by `cargo +nightly run --example seeds`, those of `jar` with OpenSSL.

use std::sync::OnceLock;

use tidegate_apk::build::ApkBuilder;
use tidegate_apk::{SdkRange, inspect, verify};

/// The size of an end-of-central-directory record without comment.
const END_BYTES: usize = 22;
/// Where that record says where the central directory starts.
const DIRECTORY_AT: usize = 16;
const MAGIC: &[u8; 16] = b"APK Sig Block 42";

/// Asks everything of a file that can be asked of one. The answers don't matter, only that they come.
pub fn ask_everything(apk: &[u8]) {
    let _ = inspect(&apk.to_vec());
    for range in [SdkRange::from(1), SdkRange::from(24), SdkRange::from(33)] {
        let _ = verify(&apk.to_vec(), range);
    }
}

/// A small unsigned app with this manifest and, unless it is empty, this resource table.
pub fn with_manifest(manifest: &[u8], table: &[u8]) -> Vec<u8> {
    let app = ApkBuilder::new("org.example.fuzzed", 1).raw_manifest(manifest);
    if table.is_empty() {
        app.unsigned()
    } else {
        app.stored_file("resources.arsc", table).unsigned()
    }
}

/// A small app with these bytes as the pairs of its signing block.
pub fn with_pairs(pairs: &[u8]) -> Vec<u8> {
    static UNSIGNED: OnceLock<Vec<u8>> = OnceLock::new();
    let apk = UNSIGNED.get_or_init(|| ApkBuilder::new("org.example.fuzzed", 1).unsigned());
    let end = apk.len() - END_BYTES;
    let mut directory = [0; 4];
    directory.copy_from_slice(&apk[end + DIRECTORY_AT..end + DIRECTORY_AT + 4]);
    let directory = u32::from_le_bytes(directory);
    let at = usize::try_from(directory).expect("a small file");

    let length = u64::try_from(pairs.len() + 24)
        .expect("a small block")
        .to_le_bytes();
    let block = [&length[..], pairs, &length, MAGIC].concat();
    let moved = directory + u32::try_from(block.len()).expect("a small block");
    let mut out = [&apk[..at], &block, &apk[at..]].concat();
    let end = out.len() - END_BYTES + DIRECTORY_AT;
    out[end..end + 4].copy_from_slice(&moved.to_le_bytes());
    out
}

/// One pair of a signing block.
pub fn pair(id: u32, value: &[u8]) -> Vec<u8> {
    let length = u64::try_from(value.len() + 4)
        .expect("a small value")
        .to_le_bytes();
    [&length[..], &id.to_le_bytes(), value].concat()
}
