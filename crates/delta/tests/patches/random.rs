//! Any two files.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_delta::zlib::{Settings as Zlib, Strategy as Prefer};

use crate::files::{Entry, Form, applied, changed, code, entry, exact, level, noise, within, zip};

fn form() -> impl Strategy<Value = Form> {
    let zlib = (1..=9_u8, 8..=9_u8, 0..5_usize).prop_map(|(level, memory, strategy)| {
        Form::Zlib(Zlib::new(level, 15, memory, Prefer::ALL[strategy]).unwrap())
    });
    prop_oneof![6 => zlib, 2 => Just(Form::Stored), 1 => Just(Form::Foreign)]
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..50_u64, 0..20_000_usize).prop_map(|(seed, length)| code(seed, length)),
        1 => (0..50_u64, 0..3_000_usize).prop_map(|(seed, length)| noise(seed, length)),
        1 => (0..80_000_usize).prop_map(|length| vec![b'x'; length]),
    ]
}

/// What a release does to an entry.
#[derive(Debug, Clone)]
enum Step {
    Keep,
    Change(u64),
    Recompress(Form),
    Replace(Vec<u8>),
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Keep),
        3 => (0..99_u64).prop_map(Step::Change),
        2 => form().prop_map(Step::Recompress),
        1 => contents().prop_map(Step::Replace),
        1 => Just(Step::Remove),
    ]
}

fn released(entry: &Entry, step: &Step) -> Option<Entry> {
    let mut entry = entry.clone();
    match step {
        Step::Keep => {}
        Step::Change(seed) if entry.bytes.len() > 200 => entry.bytes = changed(&entry.bytes, *seed),
        Step::Change(_) => entry.bytes.push(1),
        Step::Recompress(form) => entry.form = *form,
        Step::Replace(bytes) => entry.bytes.clone_from(bytes),
        Step::Remove => return None,
    }
    Some(entry)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_files_of_any_bytes_have_an_exact_patch(
        base in vec(any::<u8>(), 0..600),
        result in vec(any::<u8>(), 0..600),
        few in vec(0..3_u8, 0..2_000),
        other in vec(0..3_u8, 0..2_000),
    ) {
        exact(&base, &result);
        exact(&few, &other);
        exact(&base, &few);
    }

    #[test]
    fn a_release_of_any_archive_has_an_exact_patch(
        entries in vec((contents(), form(), step()), 0..8),
        added in vec((contents(), form()), 0..2),
        turned in any::<bool>(),
        blocks in any::<bool>(),
    ) {
        let named = |at: usize, bytes: &[u8], form| entry(&format!("entry {at}"), bytes, form);
        let base: Vec<Entry> = (0..).zip(&entries).map(|(at, (bytes, form, _))| named(at, bytes, *form)).collect();
        let kept = base.iter().zip(&entries).filter_map(|(entry, (_, _, step))| released(entry, step));
        let mut result: Vec<Entry> = kept.collect();
        result.extend((90..).zip(&added).map(|(at, (bytes, form))| named(at, bytes, *form)));
        if turned {
            result.reverse();
        }
        let (base, result) = (zip(&base), zip(&result));
        if blocks {
            let least = (0..).map(|step| 500_000 + step * 100_000).find_map(|memory| {
                within(&base, &result, tidegate_delta::Settings { memory }).ok()
            });
            let (_, patch) = least.unwrap();
            prop_assert!(applied(&patch, &base).unwrap() == result);
        } else {
            exact(&base, &result);
        }
    }

    #[test]
    fn a_compressor_does_not_mind_how_its_input_is_cut(
        bytes in contents(),
        number in 1..=9_u8,
        cut in 1..5_000_usize,
    ) {
        let Form::Zlib(settings) = level(number) else { unreachable!() };
        let compress = |cut: usize| {
            let mut output = Vec::new();
            let mut deflater = tidegate_delta::zlib::Deflater::new(settings).unwrap();
            for piece in bytes.chunks(cut) {
                deflater.write(piece, &mut output).unwrap();
            }
            deflater.finish(&mut output).unwrap();
            output
        };
        prop_assert!(compress(cut) == compress(usize::MAX));
    }
}
