//! Any bytes as a patch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_delta::{Limits, Patch, unwatched};

const LIMITS: Limits = Limits {
    result: 1 << 16,
    scratch: 1 << 18,
    view: 1 << 18,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(patch) = Patch::open(bytes, LIMITS) else { return };
    let (mut scratch, mut result) = (Vec::new(), Vec::new());
    let _ = patch.apply(b"".as_slice(), &mut scratch, &mut result, &mut unwatched);
    assert!(result.len() as u64 <= LIMITS.view);
});
