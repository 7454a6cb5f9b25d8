//! Which devices a share of the fleet takes. Agents compute the same numbers, so these are fixed for ever.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;
use tidegate_domain::{Percent, Position, cohort};

use crate::fleet::percent;
use crate::property::check_often;

const FLEET: u32 = 100_000;

#[derive(Deserialize)]
struct Vectors {
    unsalted: Vec<Vector>,
    salted: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    device_id: String,
    salt: Option<String>,
    cohort: Option<u8>,
    bucket: u16,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/cohort.json")).unwrap()
}

/// Ids as four kinds of fleets have them.
fn fleet() -> impl Iterator<Item = String> {
    (0..FLEET).map(|n| match n % 4 {
        0 => format!("device-{n}"),
        1 => format!("{:016x}", u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        2 => format!("86753091{n:07}"),
        _ => format!("6c1f6f0e-3a52-4a9f-9f0c-{n:012}"),
    })
}

/// The salts that the fleet is looked at under. One begins with another.
const SALTS: [Option<&str>; 4] = [None, Some("spring"), Some("spring-release"), Some("b")];

/// The fleet's positions under each of the [`SALTS`], hashed once for all tests.
static POSITIONS: LazyLock<[Vec<Position>; 4]> =
    LazyLock::new(|| SALTS.map(|salt| fleet().map(|id| Position::of(&id, salt)).collect()));

fn fleets() -> impl Iterator<Item = (Option<&'static str>, &'static Vec<Position>)> {
    SALTS.into_iter().zip(POSITIONS.iter())
}

/// The share that falls within a limit, in percent.
fn share_within(positions: &[Position], limit: Percent) -> f64 {
    let within = positions
        .iter()
        .filter(|position| position.is_within(limit))
        .count();
    f64::from(u32::try_from(within).unwrap()) / f64::from(FLEET) * 100.0
}

#[test]
fn a_share_ends_before_its_own_position() {
    let is_within = |position, share| Position::new(position).unwrap().is_within(percent(share));
    assert!(is_within(0, 1) && is_within(999_999, 1) && !is_within(1_000_000, 1));
    assert!(is_within(99_999_999, 100) && !is_within(0, 0));
}

#[test]
fn unsalted_devices_fall_where_agents_expect_them() {
    let vectors = vectors().unsalted;
    assert!(vectors.len() > 30);
    for vector in vectors {
        assert_eq!(
            Some(cohort(&vector.device_id)),
            vector.cohort,
            "{}",
            vector.device_id
        );
        assert_eq!(
            Position::of(&vector.device_id, None).bucket(),
            vector.bucket,
            "{}",
            vector.device_id
        );
    }
}

#[test]
fn salted_devices_fall_where_the_vectors_say() {
    let vectors = vectors().salted;
    assert!(!vectors.is_empty());
    for vector in vectors {
        let position = Position::of(&vector.device_id, vector.salt.as_deref());
        assert_eq!(
            position.bucket(),
            vector.bucket,
            "{:?} {}",
            vector.salt,
            vector.device_id
        );
        assert!(vector.cohort.is_none_or(|cohort| cohort == position.cohort()));
    }
}

#[test]
fn a_share_of_the_fleet_is_that_share_within_two_points() {
    for (salt, positions) in fleets() {
        for limit in [1, 5, 10, 25, 50] {
            let share = share_within(positions, percent(limit));
            let error = (share - percent(limit).as_decimal()).abs();
            assert!(error < 2.0, "{limit} % took {share} % under {salt:?}");
        }
    }
}

#[test]
fn nobody_is_nobody_and_everybody_is_everybody() {
    for (_, positions) in fleets() {
        assert!(
            positions
                .iter()
                .all(|position| !position.is_within(Percent::NOBODY))
        );
        assert!(
            positions
                .iter()
                .all(|position| position.is_within(Percent::EVERYBODY))
        );
    }
}

#[test]
fn the_canaries_of_two_rollouts_meet_no_more_often_than_chance_has_it() {
    let is_canary = |position: &Position| position.is_within(percent(10));
    for (at, (one, ours)) in fleets().enumerate() {
        for (two, theirs) in fleets().skip(at + 1) {
            let pairs = ours.iter().zip(theirs);
            let both = pairs.filter(|(a, b)| is_canary(a) && is_canary(b)).count();
            // A tenth of a tenth of 100,000 is 1,000; five standard deviations are some 160.
            assert!(
                (840..1_160).contains(&both),
                "{one:?} and {two:?} share {both} canaries"
            );
        }
    }
}

#[test]
fn salt_and_id_cannot_be_shifted_into_one_another() {
    let pairs = [
        (Some("ab"), "c"),
        (Some("a"), "bc"),
        (Some(""), "abc"),
        (None, "abc"),
    ];
    let positions: Vec<_> = pairs.iter().map(|(salt, id)| Position::of(id, *salt)).collect();
    for (at, position) in positions.iter().enumerate() {
        assert!(
            !positions[at + 1..].contains(position),
            "{:?} reads like a later pair",
            pairs[at]
        );
    }
}

#[test]
fn raising_the_share_only_adds_devices() {
    let salts = prop::option::of("[a-z]{1,12}");
    let strategy = ("\\PC{1,40}", salts, 0..=100_i64, 0..=100_i64);
    check_often(150, &strategy, |(id, salt, low, high)| {
        let (low, high) = (percent(low.min(high)), percent(low.max(high)));
        let position = Position::of(&id, salt.as_deref());
        prop_assert!(!position.is_within(low) || position.is_within(high));
        Ok(position.is_within(low))
    });
}

proptest! {
    #[test]
    fn the_position_refines_the_cohort(id in "\\PC{1,40}", salt in prop::option::of("[a-z]{1,12}")) {
        let position = Position::of(&id, salt.as_deref());
        prop_assert!(position.get() < 100_000_000);
        prop_assert_eq!(u16::from(position.cohort()), position.bucket() / 100);
        for share in 0..=100 {
            prop_assert_eq!(position.is_within(percent(share)), i64::from(position.cohort()) < share);
        }
        if salt.is_none() {
            prop_assert_eq!(position.cohort(), cohort(&id));
        }
    }
}
