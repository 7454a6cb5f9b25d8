//! A whole file: the archive's records, and whatever is behind those that are sound. What is
//! accepted is read a second time, by another reader.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    tidegate_apk_fuzz::two_readers_of_archives_agree(file);
    tidegate_apk_fuzz::ask_everything(file);
});
