//! Which part of the fleet a slice is, to the device.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::Deserialize;
use tidegate_domain::{Error, Percent, Position, Promotion, RolloutSettings, Share, Slice};

use crate::store::{BY_ADA, Store, to};

#[derive(Deserialize)]
struct Vectors {
    positions: Vec<Placed>,
    slices: Vec<Sliced>,
}

#[derive(Deserialize)]
struct Placed {
    device_id: String,
    salt: Option<String>,
    position: u32,
}

#[derive(Deserialize)]
struct Sliced {
    device_id: String,
    start: u32,
    width: i64,
    share: i64,
    takes: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/lane.json")).unwrap()
}

#[test]
fn positions_and_slices_are_those_of_the_vectors() {
    let vectors = vectors();
    assert!(vectors.positions.len() > 100 && vectors.slices.len() > 100);
    for case in vectors.positions {
        let position = Position::of(&case.device_id, case.salt.as_deref());
        assert_eq!(
            position.get(),
            case.position,
            "{} {:?}",
            case.device_id,
            case.salt
        );
    }
    for case in vectors.slices {
        let slice = Slice {
            start: Position::new(case.start).unwrap(),
            width: Share::new(case.width).unwrap(),
        };
        let takes = slice.takes(
            Position::of(&case.device_id, None),
            Share::new(case.share).unwrap(),
        );
        assert_eq!(takes, case.takes, "{} {slice}", case.device_id);
    }
}

fn automatic(share: i64, width: f64) -> Promotion {
    Promotion {
        settings: RolloutSettings {
            slice: Slice::of_percents(0.0, width).unwrap(),
            ..to(share).settings
        },
        auto_start: true,
        ..to(share)
    }
}

/// The devices of a fleet that the newest rollout takes.
fn taken(store: &Store) -> HashSet<u32> {
    let settings = &store.rollouts.last().unwrap().spec.settings;
    (0..5_000)
        .filter(|n| settings.takes(settings.position(&format!("device-{n}"))))
        .collect()
}

#[test]
fn ten_automatic_canaries_of_a_tenth_never_meet_the_same_device() {
    let mut store = Store::with_builds(10);
    let mut met = HashSet::new();
    for build in 1..=10 {
        store
            .create(build, u32::try_from(build).unwrap(), automatic(10, 100.0))
            .unwrap();
        let canaries = taken(&store);
        assert!(
            canaries.len() > 400,
            "a tenth of 5,000 and not {}",
            canaries.len()
        );
        assert!(
            met.is_disjoint(&canaries),
            "canary {build} meets devices of an earlier one"
        );
        met.extend(canaries);
        // Each goes on to everybody before the next one is made.
        let id = store.rollouts.last().unwrap().id;
        let everybody = store
            .run(|track| track.adjust(id, Percent::EVERYBODY, BY_ADA))
            .unwrap();
        assert_eq!(everybody.next_slice_start, None, "a later share moves no start");
    }
    assert_eq!(met.len(), 5_000, "after ten of them everybody had a turn");
    assert_eq!(store.next_slice_start, Position::FIRST);
}

#[test]
fn an_automatic_slice_of_a_slice_begins_where_the_part_that_was_taken_ended() {
    let mut store = Store::with_builds(2);
    store.promote(1, &automatic(50, 10.0)).unwrap();
    assert_eq!(store.next_slice_start.get(), 5_000_000);
    let again = store.promote(1, &automatic(50, 10.0)).unwrap();
    assert!(again.is_empty(), "a repeated promotion moves nothing");
    store.promote(2, &automatic(25, 10.0)).unwrap();
    assert_eq!(store.current().spec.settings.slice.start.get(), 5_000_000);
    assert_eq!(store.next_slice_start.get(), 7_500_000);
}

#[test]
fn agents_are_told_a_share_only_where_they_can_judge_it() {
    let mut settings = to(10).settings;
    settings.percent = Percent::of_decimal(9.01).unwrap();
    assert_eq!(settings.staged_percent(), 10);
    settings.slice = Slice::of_percents(0.0, 50.0).unwrap();
    assert_eq!(settings.staged_percent(), 100);
    settings.slice = Slice::WHOLE;
    settings.salt = Some("s".to_owned());
    assert_eq!(settings.staged_percent(), 100);
}

#[test]
fn slices_out_of_bounds_are_refused_by_their_part() {
    for (start, width, field) in [
        (100.0, 10.0, "slice.start"),
        (-1.0, 10.0, "slice.start"),
        (f64::NAN, 10.0, "slice.start"),
        (0.0, 0.0, "slice.width_percent"),
        (0.0, 100.1, "slice.width_percent"),
        (0.0, f64::INFINITY, "slice.width_percent"),
    ] {
        match Slice::of_percents(start, width) {
            Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{start} {width}: {other:?}"),
        }
    }
    let slice = Slice::of_percents(99.999_999, 12.345_678).unwrap();
    let json = serde_json::to_string(&slice).unwrap();
    assert_eq!(serde_json::from_str::<Slice>(&json).unwrap(), slice);
    assert_eq!(json, r#"{"start_percent":99.999999,"width_percent":12.345678}"#);
}

fn slices() -> impl Strategy<Value = Slice> {
    (0..100_000_000_u32, 1..=100_000_000_i64).prop_map(|(start, width)| Slice {
        start: Position::new(start).unwrap(),
        width: Share::new(width).unwrap(),
    })
}

proptest! {
    #[test]
    fn a_higher_share_of_a_slice_only_adds_devices(
        slice in slices(), position in 0..100_000_000_u32, low in 0..=10_000_i64, high in 0..=10_000_i64
    ) {
        let share = |hundredths| Percent::of_hundredths(hundredths).unwrap().share();
        let (low, high) = (share(low.min(high)), share(low.max(high)));
        let position = Position::new(position).unwrap();
        prop_assert!(!slice.takes(position, low) || slice.takes(position, high));
        prop_assert!(!slice.takes(position, share(0)), "0 is nobody");
        let whole = Slice { width: Share::WHOLE, ..slice };
        prop_assert!(whole.takes(position, share(10_000)), "100 is everybody");
    }

    #[test]
    fn what_begins_after_a_share_meets_none_of_its_devices(
        slice in slices(), position in 0..100_000_000_u32, taken in 0..=10_000_i64, width in 1..=100_000_000_i64
    ) {
        let share = Percent::of_hundredths(taken).unwrap().share();
        let rest = i64::from(100_000_000 - share.of(slice.width).get());
        let next = Slice { start: slice.after(share), width: Share::new(width.min(rest)).unwrap() };
        let position = Position::new(position).unwrap();
        prop_assert!(!(slice.takes(position, share) && next.takes(position, Share::WHOLE)));
    }
}
