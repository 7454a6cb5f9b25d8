//! What is refused, and that it is refused before anything is written.

use std::ops::ControlFlow;

use tidegate_delta::{Error, Limits, Patch, Settings, Stage, make, unwatched};

use crate::files::{changed, code, entry, level, made, within, zip};

fn builds() -> (Vec<u8>, Vec<u8>) {
    let base = code(1, 100_000);
    let result = changed(&base, 2);
    let archive = |bytes: &[u8]| zip(&[entry("classes.dex", bytes, level(6))]);
    (archive(&base), archive(&result))
}

/// Where the header has a number.
const RESULT_SIZE: usize = 76;
const PLAN_PLAIN: usize = 108;

fn refused(patch: &[u8], base: &[u8]) -> (Error, usize) {
    let patch = match Patch::open(patch, Limits::default()) {
        Ok(patch) => patch,
        Err(error) => return (error, 0),
    };
    let (mut scratch, mut result) = (Vec::new(), Vec::new());
    let error = patch
        .apply(base, &mut scratch, &mut result, &mut unwatched)
        .unwrap_err();
    (error, result.len())
}

#[test]
fn another_base_is_refused_before_a_byte_is_written() {
    let (base, result) = builds();
    let patch = made(&base, &result).1;
    let mut other = base.clone();
    other[5000] ^= 1;
    for other in [&other[..], &base[1..], b"", &result] {
        let (error, written) = refused(&patch, other);
        assert!(matches!(error, Error::WrongBase), "{error}");
        assert_eq!(written, 0);
    }
}

#[test]
fn what_is_no_patch_is_told_from_a_damaged_one() {
    let (base, result) = builds();
    let patch = made(&base, &result).1;
    for other in [&b""[..], b"tgp", b"tgp2 and more", &base] {
        assert!(matches!(refused(other, &base).0, Error::NotAPatch));
    }
    for length in [4, 100, 163, 164, patch.len() - 1] {
        let (error, _) = refused(&patch[..length], &base);
        assert!(matches!(error, Error::Damaged(_)), "{length}: {error}");
    }
    let longer = [&patch[..], b"x"].concat();
    assert!(matches!(refused(&longer, &base).0, Error::Damaged(_)));
}

#[test]
fn a_promise_that_is_not_kept_is_seen_at_the_end() {
    let (base, result) = builds();
    let mut patch = made(&base, &result).1;
    // The result's SHA-256.
    patch[40] ^= 1;
    let (error, written) = refused(&patch, &base);
    assert!(matches!(error, Error::WrongResult), "{error}");
    assert_eq!(written, result.len());
}

#[test]
fn lengths_that_no_patch_can_have_cost_nothing() {
    let (base, result) = builds();
    let patch = made(&base, &result).1;
    for field in (68..164).step_by(8) {
        for value in [u64::MAX, u64::MAX / 2, 1 << 40, 0] {
            let mut lying = patch.clone();
            lying[field..field + 8].copy_from_slice(&value.to_le_bytes());
            let (error, written) = refused(&lying, &base);
            let honest = !matches!(error, Error::Io { .. } | Error::Cancelled);
            assert!(honest && written <= result.len(), "{field} = {value}: {error}");
        }
    }
    let mut lying = patch;
    lying[PLAN_PLAIN..PLAN_PLAIN + 8].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    let error = refused(&lying, &base).0;
    assert_eq!(error.to_string(), "the patch is damaged: its plan is too long");
}

#[test]
fn the_caller_says_how_much_is_too_much() {
    let (base, result) = builds();
    let patch = made(&base, &result).1;
    let open = |limits| Patch::open(patch.as_slice(), limits).map(|_| ());
    let defaults = Limits::default();
    let size = result.len() as u64;
    open(Limits {
        result: size,
        ..defaults
    })
    .unwrap();
    let too_much = open(Limits {
        result: size - 1,
        ..defaults
    })
    .unwrap_err()
    .to_string();
    let expected = format!("the result would be {size} bytes, and {} is the most", size - 1);
    assert_eq!(too_much, expected);
    open(Limits {
        scratch: 99_999,
        ..defaults
    })
    .unwrap_err();
    open(Limits {
        scratch: 100_000,
        ..defaults
    })
    .unwrap();
    open(Limits {
        view: size,
        ..defaults
    })
    .unwrap_err();
}

#[test]
fn a_result_that_is_larger_than_deflate_can_make_it_is_refused() {
    let mut patch = made(b"", b"").1;
    patch[RESULT_SIZE + 8 + 8] = 1;
    assert!(matches!(refused(&patch, b"").0, Error::Damaged(_)));
}

#[test]
fn a_scratch_file_with_something_in_it_is_not_taken() {
    let (base, result) = builds();
    let bytes = made(&base, &result).1;
    let patch = Patch::open(bytes.as_slice(), Limits::default()).unwrap();
    let mut scratch = b"yesterday's".to_vec();
    let mut output = Vec::new();
    let error = patch
        .apply(&base, &mut scratch, &mut output, &mut unwatched)
        .unwrap_err();
    assert_eq!(error.to_string(), "scratch file: it was not empty");
    assert!(output.is_empty());
}

#[test]
fn making_stays_within_its_memory_or_says_what_it_wants() {
    let (base, result) = builds();
    let error = within(&base, &result, Settings { memory: 50_000 }).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 50_000, .. }), "{error}");
    let error = within(&base, &result, Settings { memory: 300_000 }).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn both_can_be_cancelled_at_every_stage_that_tells_of_itself() {
    let (base, result) = builds();
    let patch = made(&base, &result).1;
    let patch = Patch::open(patch.as_slice(), Limits::default()).unwrap();
    let stop_at = |stop: Stage| {
        move |progress: tidegate_delta::Progress| {
            if progress.stage == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    };
    for stage in [
        Stage::Checking,
        Stage::Inflating,
        Stage::Sorting,
        Stage::Matching,
        Stage::Packing,
    ] {
        let mut output = Vec::new();
        let error = make(
            &base,
            &result,
            &mut output,
            Settings::default(),
            &mut stop_at(stage),
        )
        .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{stage}: {error}");
        assert!(output.is_empty());
    }
    for stage in [Stage::Checking, Stage::Inflating, Stage::Writing] {
        let (mut scratch, mut output) = (Vec::new(), Vec::new());
        let error = patch
            .apply(&base, &mut scratch, &mut output, &mut stop_at(stage))
            .unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{stage}: {error}");
    }
}
