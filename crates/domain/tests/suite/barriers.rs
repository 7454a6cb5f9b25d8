//! Builds that devices must take in between.

use std::sync::Arc;

use tidegate_domain::{Build, BuildSteps, Catalog, Reason, explain};

use crate::fleet::{IN_23_PERCENT, answer, at, build, catalog_with, phone, release, version};

fn barrier(id: i64) -> Build {
    Build {
        steps: BuildSteps {
            barrier: true,
            min_from_version: None,
        },
        ..build(id)
    }
}

/// Build 5 is released to everybody; builds 2 and 4 are barriers.
fn behind_two() -> Catalog {
    catalog_with(
        vec![release(build(5))],
        &[build(1), barrier(2), build(3), barrier(4)],
    )
}

#[test]
fn each_device_takes_the_barriers_above_its_version_in_order() {
    let catalog = behind_two();
    let mut installed = 10;
    let mut taken = vec![];
    while let Ok(build) = answer(&catalog, &phone(IN_23_PERCENT, installed)) {
        taken.push(build);
        installed = 10 * build;
    }
    assert_eq!(taken, [2, 4, 5]);
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 25)),
        Ok(4),
        "one above the first barrier"
    );
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 45)), Ok(5));
}

#[test]
fn a_device_without_the_package_begins_with_the_released_build() {
    assert_eq!(answer(&behind_two(), &phone(IN_23_PERCENT, 0)), Ok(5));
}

#[test]
fn a_barrier_that_a_device_cannot_take_keeps_it_where_it_is() {
    let catalog = behind_two();
    let rejected = phone(IN_23_PERCENT, 10).gave_up(2, 1);
    assert_eq!(answer(&catalog, &rejected), Err(Reason::NeedsIntermediate));
    let steps = explain(&catalog, &rejected.poll(), at(0)).steps;
    let last = steps.last().unwrap();
    assert_eq!((last.rule, last.passed), ("intermediate", false));
    assert!(last.answer.contains("gave it up"), "{}", last.answer);
    let mut picky = barrier(2);
    picky.facts.min_sdk = 30;
    let catalog = catalog_with(vec![release(build(5))], &[picky]);
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 10).sdk(29)),
        Err(Reason::NeedsIntermediate)
    );
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 10).sdk(30)), Ok(2));
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 20).sdk(29)),
        Ok(5),
        "beyond the barrier"
    );
}

#[test]
fn a_build_may_ask_for_a_version_to_come_from() {
    let mut asking = release(build(5));
    Arc::make_mut(&mut asking.build).steps.min_from_version = Some(version(30));
    let alone = catalog_with(vec![asking.clone()], &[]);
    assert_eq!(
        answer(&alone, &phone(IN_23_PERCENT, 29)),
        Err(Reason::NeedsIntermediate)
    );
    assert_eq!(answer(&alone, &phone(IN_23_PERCENT, 30)), Ok(5));
    assert_eq!(answer(&alone, &phone(IN_23_PERCENT, 0)), Ok(5));
    let with_way = catalog_with(vec![asking], &[barrier(3)]);
    assert_eq!(answer(&with_way, &phone(IN_23_PERCENT, 29)), Ok(3));
}

#[test]
fn a_forced_roll_back_asks_for_nothing_in_between() {
    let mut back = release(build(2));
    back.rollout.spec.takes_back = Some(version(50));
    let catalog = catalog_with(vec![back], &[barrier(3), build(5)]);
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 50)), Ok(2));
}
