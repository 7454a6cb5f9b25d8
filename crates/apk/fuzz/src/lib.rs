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

mod second_xml;
mod second_zip;

use std::sync::OnceLock;

use tidegate_apk::build::ApkBuilder;
use tidegate_apk::{Inspection, Rule, SdkRange, read_entry, survey, verify};

/// The size of an end-of-central-directory record without comment.
const END_BYTES: usize = 22;
/// Where that record says where the central directory starts.
const DIRECTORY_AT: usize = 16;
const MAGIC: &[u8; 16] = b"APK Sig Block 42";

/// Asks everything of a file that can be asked of one. The answers don't matter, only that they come.
pub fn ask_everything(apk: &[u8]) {
    let _ = survey(&apk.to_vec());
    for range in [SdkRange::from(1), SdkRange::from(24), SdkRange::from(33)] {
        let _ = verify(&apk.to_vec(), range);
    }
}

/// The largest entry that is compared, in bytes.
const COMPARED_BYTES: u64 = 1 << 20;
/// How many entries are compared.
const COMPARED: usize = 16;

/// Panics when an archive that the reader accepts is refused by the second one, or has other bytes there.
pub fn two_readers_of_archives_agree(file: &[u8]) {
    let file = file.to_vec();
    // No entry has this name, so this is the answer of a sound archive.
    let sound = read_entry(&file, "\u{1}", 0).is_err_and(|error| error.rule() == Some(Rule::MissingEntry));
    if !sound {
        return;
    }
    let entries = second_zip::entries(&file).expect("the second reader refuses it");
    for (name, entry) in entries.iter().take(COMPARED) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        match read_entry(&file, name, COMPARED_BYTES) {
            Ok(bytes) => assert_eq!(Some(bytes), entry.bytes(&file), "{name:?}"),
            Err(error) => assert_ne!(error.rule(), Some(Rule::MissingEntry), "{name:?}"),
        }
    }
}

/// Panics when a manifest that the reader accepts says something else to the second one.
pub fn two_readers_of_manifests_agree(manifest: &[u8], seen: &Inspection) {
    let second = second_xml::read(manifest).expect("the second reader refuses it");
    assert_eq!(second.package, seen.package);
    if let (Some(low), Some(high)) = (second.version_code, second.version_code_major) {
        let code = i64::from(high) << 32 | i64::from(low.cast_unsigned());
        assert_eq!(code, seen.version_code);
    }
    if !second.closed {
        return;
    }
    if let Some(min_sdk) = second.min_sdk {
        assert_eq!(min_sdk.cast_unsigned(), seen.min_sdk);
    }
    for (second, first) in [(second.debuggable, seen.debuggable), (second.test_only, seen.test_only)] {
        assert_eq!(second.unwrap_or(first), first);
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
