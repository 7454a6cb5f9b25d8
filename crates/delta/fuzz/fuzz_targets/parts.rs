//! Any plan, operations, differences and extra bytes, in a patch whose header and packing are right. The input begins
//! with the sizes of result, scratch and view and the lengths of three parts, two bytes each; the base follows the parts.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use lzma_rust2::{LzmaOptions, LzmaWriter};
use sha2::{Digest, Sha256};
use tidegate_delta::{Limits, Patch, unwatched};

const LIMITS: Limits = Limits {
    result: 1 << 16,
    scratch: 1 << 16,
    view: 1 << 16,
};

fn packed(plain: &[u8]) -> Vec<u8> {
    if plain.is_empty() {
        return Vec::new();
    }
    let mut options = LzmaOptions::with_preset(0);
    options.dict_size = 1 << 16;
    let mut writer = LzmaWriter::new_no_header(Vec::new(), &options, false).expect("these are known");
    writer.write_all(plain).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, mut rest)) = bytes.split_first_chunk::<12>() else { return };
    let field = |at: usize| u64::from(u16::from_le_bytes([head[2 * at], head[2 * at + 1]]));
    let mut take = |length: u64| {
        let (part, after) = rest.split_at(rest.len().min(length as usize));
        rest = after;
        part
    };
    let mut parts = [take(field(3)), take(field(4)), take(field(5)), &[]];
    let base = take(u64::MAX);
    // What is added to the base is its own beginning.
    parts[3] = &base[..base.len() / 2];
    let mut patch = b"tgp1".to_vec();
    patch.extend_from_slice(&Sha256::digest(base));
    patch.extend_from_slice(&[0; 32]);
    for size in [base.len() as u64, field(0), field(1), field(2)] {
        patch.extend_from_slice(&size.to_le_bytes());
    }
    let packed = parts.map(packed);
    for (packed, plain) in packed.iter().zip(parts) {
        patch.extend_from_slice(&(packed.len() as u64).to_le_bytes());
        patch.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    }
    patch.extend(packed.concat());
    let Ok(patch) = Patch::open(patch, LIMITS) else { return };
    let (mut scratch, mut result) = (Vec::new(), Vec::new());
    // Nothing has this SHA-256.
    assert!(patch.apply(base, &mut scratch, &mut result, &mut unwatched).is_err());
});
