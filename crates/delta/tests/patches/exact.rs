//! Two builds, and the device ends with the second one, byte for byte.

use std::fs::File;
use std::io::{Seek, Write};

use tidegate_delta::zlib::{Settings as Zlib, Strategy};
use tidegate_delta::{Entries, Limits, Patch, Search, Settings, unwatched};

use crate::files::{Entry, Form, applied, changed, code, entry, exact, level, made, noise, within, zip};

/// An app: code, a picture, a table and a library.
fn app(form: Form) -> Vec<Entry> {
    vec![
        entry("classes.dex", code(1, 200_000), form),
        entry("res/picture.webp", noise(2, 20_000), Form::Stored),
        entry("resources.arsc", code(3, 50_000), Form::Stored),
        entry("assets/words.txt", code(4, 30_000), form),
        entry("lib/arm64-v8a/libapp.so", code(5, 80_000), form),
    ]
}

/// Its next build: the code differs, and one word.
fn next(form: Form) -> Vec<Entry> {
    let mut next = app(form);
    next[0].bytes = changed(&next[0].bytes, 9);
    next[3].bytes = changed(&next[3].bytes, 10);
    next
}

#[test]
fn every_level_of_a_build_tool_is_reproduced() {
    for number in 1..=9 {
        let (base, result) = (zip(&app(level(number))), zip(&next(level(number))));
        let made = exact(&base, &result);
        let entries = Entries {
            unchanged: 1,
            reproduced: 2,
            raw: 0,
        };
        assert_eq!(made.entries, entries, "level {number}");
        // Random words hardly compress: what is new is some hundred bytes at three places.
        let share = made.patch_size * 100 / made.result_size;
        assert!(share < 2, "level {number}: {share} %");
    }
}

#[test]
fn so_is_every_strategy_at_both_usual_memory_levels() {
    for strategy in Strategy::ALL {
        for memory in [8, 9] {
            let form = Form::Zlib(Zlib::new(6, 15, memory, strategy).unwrap());
            let made = exact(&zip(&app(form)), &zip(&next(form)));
            assert_eq!((made.entries.reproduced, made.entries.raw), (2, 0), "{form:?}");
        }
    }
}

#[test]
fn an_entry_that_another_tool_compressed_is_compared_as_it_is() {
    let made = exact(&zip(&app(Form::Foreign)), &zip(&next(Form::Foreign)));
    assert_eq!((made.entries.reproduced, made.entries.raw), (0, 2));
    assert_eq!(made.scratch_size, 0);
}

#[test]
fn a_new_build_tool_with_another_level_costs_next_to_nothing() {
    let made = exact(&zip(&app(level(6))), &zip(&app(level(9))));
    assert!(made.patch_size < 1_000, "{made:?}");
}

#[test]
fn entries_that_moved_are_found() {
    let mut moved = next(level(6));
    moved.reverse();
    let made = exact(&zip(&app(level(6))), &zip(&moved));
    assert!(made.patch_size * 100 < made.result_size * 2, "{made:?}");
}

#[test]
fn an_entry_that_is_no_longer_compressed_is_found_in_the_inflated_one() {
    let mut stored = app(level(6));
    stored[4].form = Form::Stored;
    stored[0].bytes = changed(&stored[0].bytes, 3);
    let made = exact(&zip(&app(level(6))), &zip(&stored));
    assert!(made.patch_size * 100 < made.result_size * 2, "{made:?}");
}

#[test]
fn files_that_are_no_archives_have_patches_too() {
    let base = code(1, 100_000);
    let long = noise(7, 70_000);
    for result in [
        vec![],
        vec![0],
        changed(&base, 4),
        long,
        vec![0; 300_000],
        base.clone(),
    ] {
        exact(&base, &result);
        exact(&result, &base);
    }
    exact(b"", b"");
}

#[test]
fn a_file_that_pretends_to_be_an_archive_is_compared_as_it_is() {
    let whole = zip(&app(level(6)));
    let base = zip(&next(level(6)));
    // Cut at the end, in the directory, and in an entry; then an entry whose lengths lie.
    for cut in [whole.len() - 3, whole.len() - 100, whole.len() / 2] {
        exact(&base, &whole[..cut]);
        exact(&whole[..cut], &base);
    }
    let directory = whole
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    for field in [20, 24, 28, 42] {
        let mut lying = whole.clone();
        lying[directory + field] ^= 0x55;
        lying[directory + field + 1] ^= 0x55;
        exact(&base, &lying);
        exact(&lying, &base);
    }
}

#[test]
fn an_archive_with_empty_entries_is_exact() {
    let entries = [
        entry("a", "", level(6)),
        entry("b", code(1, 5_000), level(6)),
        entry("c", "", level(6)),
        entry("d", "", Form::Foreign),
    ];
    let mut next = entries.clone();
    next[1].bytes = changed(&next[1].bytes, 1);
    exact(&zip(&entries[..1]), &zip(&next));
    exact(&zip(&entries), &zip(&next));
}

#[test]
fn the_same_files_give_the_same_patch() {
    let (base, result) = (zip(&app(level(6))), zip(&next(level(6))));
    assert!(made(&base, &result).1 == made(&base, &result).1);
}

#[test]
fn with_less_memory_blocks_are_looked_up_and_the_result_is_the_same() {
    let (base, result) = (zip(&app(level(6))), zip(&next(level(6))));
    let (full, _) = made(&base, &result);
    assert_eq!(full.search, Search::Suffixes);
    let settings = Settings { memory: 2_000_000 };
    let (less, patch) = within(&base, &result, settings).unwrap();
    assert_eq!(less.search, Search::Blocks);
    assert!(applied(&patch, &base).unwrap() == result);
    assert!(less.patch_size * 100 < less.result_size * 3, "{less:?}");
}

#[test]
fn files_on_disk_serve_as_well_as_memory() {
    let folder = tempfile::tempdir().unwrap();
    let keep = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        File::open(path).unwrap()
    };
    let (base, result) = (zip(&app(level(1))), zip(&next(level(1))));
    let patch = keep("patch", &made(&base, &result).1);
    let base = keep("base", &base);
    let patch = Patch::open(patch, Limits::default()).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let mut output = tempfile::tempfile().unwrap();
    patch
        .apply(&base, &mut scratch, &mut output, &mut unwatched)
        .unwrap();
    assert_eq!(scratch.metadata().unwrap().len(), patch.scratch_bytes());
    output.rewind().unwrap();
    let mut written = Vec::new();
    std::io::Read::read_to_end(&mut output, &mut written).unwrap();
    assert!(written == result);
}
