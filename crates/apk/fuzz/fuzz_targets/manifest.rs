//! The binary XML of a manifest and the resource table it refers to, in a sound archive. The input's first
//! word is the length of the manifest. What is accepted is read a second time, by another reader.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([low, high], rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let (manifest, table) = rest.split_at(length.min(rest.len()));
    if let Ok(found) = tidegate_apk::survey(&tidegate_apk_fuzz::with_manifest(manifest, table)) {
        tidegate_apk_fuzz::two_readers_of_manifests_agree(manifest, &found.inspection);
    }
});
