//! Patches that somebody has changed, at random and with knowledge of the format: an error or the exact file, never
//! another one; in bounded memory and time. `just damaged-patches` tries a hundred thousand.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]
#![allow(clippy::disallowed_methods, reason = "time is what is measured")]
#![allow(dead_code, reason = "another test uses the rest of these files")]

#[path = "patches/files.rs"]
mod files;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lzma_rust2::{LzmaOptions, LzmaReader, LzmaWriter};
use tidegate_delta::{Error, Limits, Patch, unwatched};

use files::{Form, changed, code, entry, level, made, noise, zip};

/// A patch with its two files.
struct Case {
    base: Vec<u8>,
    result: Vec<u8>,
    patch: Vec<u8>,
}

fn case(base: Vec<u8>, result: Vec<u8>) -> Case {
    let patch = made(&base, &result).1;
    Case { base, result, patch }
}

fn cases() -> Vec<Case> {
    let app = |seed: u64, form| {
        let code = if seed == 0 {
            code(1, 9_000)
        } else {
            changed(&code(1, 9_000), seed)
        };
        zip(&[
            entry("classes.dex", code, form),
            entry("picture", noise(3, 900), Form::Stored),
            entry("words", self::code(seed, 2_000), level(9)),
        ])
    };
    vec![
        case(app(0, level(6)), app(5, level(6))),
        case(app(0, level(1)), app(6, Form::Foreign)),
        case(code(1, 3_000), changed(&code(1, 3_000), 2)),
        case(Vec::new(), code(4, 500)),
    ]
}

const NUMBERS: std::ops::Range<usize> = 68..164;
const HEADER: usize = 164;
const NUMBER_OF_PARTS: usize = 4;

/// One to four changes anywhere in the file.
fn scratched(patch: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut patch = patch.to_vec();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..patch.len());
        match random.u8(..8) {
            0 => patch.truncate(at),
            1 => patch.insert(at, random.u8(..)),
            2 => drop(patch.remove(at)),
            3 => {
                let field = NUMBERS.start + random.usize(..NUMBERS.len() / 8) * 8;
                let value = number(random);
                if let Some(bytes) = patch.get_mut(field..field + 8) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
            }
            4 => patch[at] = random.u8(..),
            _ => patch[at] ^= 1 << random.u8(..8),
        }
        if patch.is_empty() {
            break;
        }
    }
    patch
}

fn number(random: &mut Rng) -> u64 {
    let near = [
        0,
        1,
        127,
        128,
        4_096,
        1 << 20,
        1 << 32,
        1 << 40,
        1 << 63,
        u64::MAX,
    ];
    near[random.usize(..near.len())]
        .wrapping_add(random.u64(..3))
        .wrapping_sub(1)
}

/// Changes what is inside the compressed parts, and packs them again so that all lengths hold.
fn rewritten(patch: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut parts = unpacked(patch);
    for _ in 0..random.usize(1..4) {
        let part = &mut parts[random.usize(..NUMBER_OF_PARTS)];
        if part.is_empty() {
            part.push(random.u8(..));
            continue;
        }
        let at = random.usize(..part.len());
        match random.u8(..5) {
            0 => part.truncate(at),
            1 => {
                let bytes = [0xff, 0xff, 0xff, random.u8(..0x80)];
                part.splice(at..at, bytes);
            }
            2 => drop(part.remove(at)),
            3 => part[at] = random.u8(..),
            _ => part[at] ^= 1 << random.u8(..8),
        }
    }
    let mut patch = patch[..HEADER].to_vec();
    if random.u8(..4) == 0 {
        // The sizes of what is inflated, as a plan that was changed may need them.
        let field = 84 + random.usize(..2) * 8;
        let size = u64::from_le_bytes(*patch[field..].first_chunk().unwrap());
        let size = size.wrapping_add_signed(random.i64(-3..4));
        patch[field..field + 8].copy_from_slice(&size.to_le_bytes());
    }
    packed(patch, &parts)
}

fn unpacked(patch: &[u8]) -> [Vec<u8>; NUMBER_OF_PARTS] {
    let mut at = HEADER;
    std::array::from_fn(|part| {
        let field = |at: usize| u64::from_le_bytes(*patch[at..].first_chunk().unwrap());
        let (length, size) = (field(100 + part * 16), field(108 + part * 16));
        let bytes = &patch[at..at + usize::try_from(length).unwrap()];
        at += bytes.len();
        let mut plain = Vec::new();
        if size > 0 {
            let mut reader = LzmaReader::new(bytes, size, 3, 0, 2, 8 << 20, None).unwrap();
            reader.read_to_end(&mut plain).unwrap();
        }
        plain
    })
}

fn packed(mut patch: Vec<u8>, parts: &[Vec<u8>; NUMBER_OF_PARTS]) -> Vec<u8> {
    for (part, plain) in parts.iter().enumerate() {
        let mut bytes = Vec::new();
        if !plain.is_empty() {
            let mut options = LzmaOptions::with_preset(0);
            options.dict_size = 1 << 16;
            let mut writer = LzmaWriter::new_no_header(&mut bytes, &options, false).unwrap();
            writer.write_all(plain).unwrap();
            writer.finish().unwrap();
        }
        for (field, length) in [(100, bytes.len()), (108, plain.len())] {
            let at = field + part * 16;
            patch[at..at + 8].copy_from_slice(&(length as u64).to_le_bytes());
        }
        patch.extend(bytes);
    }
    patch
}

/// What a device would take: some times what it knows the file to be.
const LIMITS: Limits = Limits {
    result: 1 << 20,
    scratch: 4 << 20,
    view: 4 << 20,
};
/// Of one try, on a machine with much else to do.
const LONGEST: Duration = Duration::from_secs(20);

/// Whether it was refused; an `Ok` with another file fails the test.
fn refused(case: &Case, patch: &[u8], base: &[u8]) -> bool {
    let began = Instant::now();
    let (mut scratch, mut result) = (Vec::new(), Vec::new());
    let applied = Patch::open(patch, LIMITS)
        .and_then(|patch| patch.apply(base, &mut scratch, &mut result, &mut unwatched));
    assert!(began.elapsed() < LONGEST, "{:?}", began.elapsed());
    // What is written is bounded by what is announced.
    assert!(scratch.len() as u64 <= LIMITS.scratch && result.len() as u64 <= LIMITS.view);
    match applied {
        Ok(()) => {
            assert!(result == case.result, "another file was taken for the right one");
            false
        }
        Err(error) => {
            assert!(!matches!(error, Error::Cancelled | Error::Io { .. }), "{error}");
            true
        }
    }
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_damaged_patch_never_leads_to_a_wrong_file() {
    let tries: u64 = std::env::var("TIDEGATE_PATCHES").map_or(1_000, |tries| tries.parse().unwrap());
    let cases = cases();
    let before = peak();
    let (mut scratched_refused, mut rewritten_refused) = (0, 0);
    for seed in 0..tries {
        let mut random = Rng::with_seed(seed);
        let case = &cases[random.usize(..cases.len())];
        if seed % 2 == 0 {
            let patch = scratched(&case.patch, &mut random);
            scratched_refused += u64::from(refused(case, &patch, &case.base));
        } else {
            let patch = rewritten(&case.patch, &mut random);
            rewritten_refused += u64::from(refused(case, &patch, &case.base));
        }
    }
    // A byte that nobody reads, or the same one again, changes nothing.
    assert!(
        scratched_refused * 2 > tries * 9 / 10,
        "{scratched_refused} of {tries}"
    );
    assert!(
        rewritten_refused * 2 > tries * 8 / 10,
        "{rewritten_refused} of {tries}"
    );
    let grown = peak() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
    println!("{tries} patches, {scratched_refused} + {rewritten_refused} refused, {grown} KiB more memory");
}

#[test]
fn a_patch_that_was_written_anew_without_a_change_is_taken() {
    for case in cases() {
        let parts = unpacked(&case.patch);
        let patch = packed(case.patch[..HEADER].to_vec(), &parts);
        assert!(!refused(&case, &patch, &case.base));
    }
}

#[test]
fn a_base_with_any_byte_changed_is_refused() {
    for case in cases().iter().filter(|case| !case.base.is_empty()) {
        for seed in 0..100 {
            let mut random = Rng::with_seed(seed);
            let mut base = case.base.clone();
            let at = random.usize(..base.len());
            base[at] ^= 1 << random.u8(..8);
            assert!(refused(case, &case.patch, &base));
        }
    }
}
