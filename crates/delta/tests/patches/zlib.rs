//! The compressor against C zlib's own bytes, which `zlib.py` wrote down.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use tidegate_delta::zlib::{Deflater, Settings, Strategy};

const EXPECTED: &str = include_str!("zlib.tsv");

/// splitmix64.
fn noise(mut state: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Some words, in an order that noise gives, each with a byte of noise behind it.
fn words(seed: u64, length: usize) -> Vec<u8> {
    let vocabulary = noise(seed, 64 * 8);
    let mut bytes = Vec::new();
    for pair in noise(seed + 1, length).as_chunks::<2>().0 {
        let word = usize::from(pair[0]) % 64 * 8;
        bytes.extend_from_slice(&vocabulary[word..word + 2 + usize::from(pair[0]) % 7]);
        bytes.push(pair[1]);
    }
    bytes
}

/// Bytes, each as often as noise says.
fn runs(seed: u64, length: usize) -> Vec<u8> {
    let order = noise(seed, length);
    let pairs = order.as_chunks::<2>().0.iter();
    pairs
        .flat_map(|pair| vec![pair[0] % 4; usize::from(pair[1]) + 1])
        .collect()
}

fn files() -> HashMap<&'static str, Vec<u8>> {
    let mixed = [
        noise(5, 40_000),
        words(6, 20_000),
        noise(7, 70_000),
        runs(8, 2_000),
    ];
    HashMap::from([
        ("empty", vec![]),
        ("one", vec![7]),
        ("three", b"aaa".to_vec()),
        ("zeros", vec![0; 300_000]),
        ("noise", noise(1, 150_000)),
        ("words", words(2, 60_000)),
        ("runs", runs(3, 4_000)),
        ("edge", words(4, 40_000)[..65_275].to_vec()),
        ("mixed", mixed.concat()),
        ("stored", noise(9, 32_900)),
    ])
}

#[test]
fn the_bytes_are_those_of_c_zlib_with_every_setting() {
    let files = files();
    let mut compared = 0;
    for line in EXPECTED.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [level, window, memory, strategy] = [1, 2, 3, 4].map(|at| fields[at].parse::<u8>().unwrap());
        let strategy = Strategy::ALL[usize::from(strategy)];
        let settings = Settings::new(level, window, memory, strategy).unwrap();
        let mut packed = Vec::new();
        let mut deflater = Deflater::new(settings).unwrap();
        deflater.write(&files[fields[0]], &mut packed).unwrap();
        deflater.finish(&mut packed).unwrap();
        let digest: String = Sha256::digest(&packed)[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            (packed.len().to_string().as_str(), digest.as_str()),
            (fields[5], fields[6]),
            "{line}"
        );
        compared += 1;
    }
    assert!(compared > 600, "only {compared} lines");
}
