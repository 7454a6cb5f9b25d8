//! The signing block of a sound archive: its pairs as they are, or, after a first byte that names the
//! scheme, the value of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_apk_fuzz::{ask_everything, pair, with_pairs};

const V2: u32 = 0x7109_871a;
const V3: u32 = 0xf053_68c0;
const V31: u32 = 0x1b93_ad61;

fuzz_target!(|input: &[u8]| {
    let pairs = match input {
        [2, value @ ..] => pair(V2, value),
        [3, value @ ..] => pair(V3, value),
        // The newest scheme needs the one before it.
        [31, value @ ..] => [pair(V3, value), pair(V31, value)].concat(),
        [_, pairs @ ..] => pairs.to_vec(),
        [] => Vec::new(),
    };
    ask_everything(&with_pairs(&pairs));
});
