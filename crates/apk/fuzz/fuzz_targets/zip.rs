//! A whole file: the archive's records, and whatever is behind those that are sound.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| tidegate_apk_fuzz::ask_everything(file));
