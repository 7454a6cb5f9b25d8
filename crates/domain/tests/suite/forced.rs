//! Forced roll-backs: which devices are taken back to an older version, and which certificate each is told of.

use tidegate_domain::{
    BuildId, Catalog, Decision, Reason, Release, RolloutState, SignerFingerprint, SignerRange, Signers,
    decide, explain,
};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, Phone, SIGNER, answer, at, build, catalog, catalog_with, of,
    percent, phone, release, those_of, version, with,
};
use crate::store::{BY_ADA, Store, keeping, to};

const OTHER_SIGNER: SignerFingerprint = SignerFingerprint([0xbb; 32]);

/// Build 1 was released to a half and build 2 to everybody; then build 2 was taken back by force.
fn taken_back() -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 50);
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    store
}

/// Whether the device is offered a build, and by force.
fn is_forced(catalog: &Catalog, device: &Phone) -> bool {
    match decide(catalog, &device.poll(), at(0)) {
        Decision::Offer(offer) => offer.forced,
        Decision::NoUpdate(_) => false,
    }
}

#[test]
fn a_forced_roll_back_takes_every_device_off_the_bad_build_whatever_the_share() {
    let catalog = taken_back().catalog();
    for device in [IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT] {
        assert_eq!(answer(&catalog, &phone(device, 20)), Ok(1), "{device}");
        assert!(is_forced(&catalog, &phone(device, 20)), "{device}");
    }
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 0)),
        Err(Reason::NotInCohort),
        "a device that does not run the bad build is judged by the share as ever"
    );
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 0)), Ok(1));
    assert!(!is_forced(&catalog, &phone(IN_7_PERCENT, 0)));
}

#[test]
fn a_forced_roll_back_takes_every_device_off_the_bad_build_whatever_the_audience() {
    let mut store = Store::with_builds(2);
    let mut germany = to(100);
    germany.settings.audience = those_of(&["DE"], &[]);
    store.promote(1, &germany).unwrap();
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    let catalog = store.catalog();
    for device in [phone(IN_23_PERCENT, 20).region("FR"), phone(IN_23_PERCENT, 20)] {
        assert_eq!(answer(&catalog, &device), Ok(1), "{device:?}");
    }
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 0).region("FR")),
        Err(Reason::NotInAudience)
    );
}

#[test]
fn a_forced_roll_back_concerns_no_device_of_a_higher_version_and_none_of_its_own() {
    let catalog = taken_back().catalog();
    for (installed, expected) in [
        (10, Err(Reason::AlreadyCurrent)),
        (15, Err(Reason::NewerInstalled)),
        (19, Err(Reason::NewerInstalled)),
        (20, Ok(1)),
        (21, Err(Reason::NewerInstalled)),
        (30, Err(Reason::NewerInstalled)),
    ] {
        assert_eq!(
            answer(&catalog, &phone(IN_7_PERCENT, installed)),
            expected,
            "on {installed}"
        );
    }
}

#[test]
fn a_forced_roll_back_is_asked_before_a_rollout_that_is_current_now() {
    let mut store = taken_back();
    store.promote(3, &keeping(10)).unwrap();
    let catalog = store.catalog();
    assert_eq!(
        answer(&catalog, &phone(IN_7_PERCENT, 20)),
        Ok(1),
        "the bad build goes first"
    );
    assert_eq!(
        answer(&catalog, &phone(IN_7_PERCENT, 10)),
        Ok(3),
        "then the device goes on"
    );
    assert_eq!(
        answer(&catalog, &phone(IN_7_PERCENT, 30)),
        Err(Reason::AlreadyCurrent)
    );
}

#[test]
fn a_forced_roll_back_that_is_stopped_ends_the_search_with_its_reason() {
    for (state, reason) in [
        (RolloutState::Paused, Reason::Paused),
        (RolloutState::Halted, Reason::Halted),
    ] {
        let mut store = taken_back();
        store.promote(3, &keeping(100)).unwrap();
        store
            .run(|track| match state {
                RolloutState::Paused => track.pause(BuildId(1), BY_ADA),
                _ => track.halt(BuildId(1), BY_ADA),
            })
            .unwrap();
        let catalog = store.catalog();
        assert_eq!(answer(&catalog, &phone(IN_90_PERCENT, 20)), Err(reason));
        assert_eq!(answer(&catalog, &phone(IN_90_PERCENT, 10)), Ok(3));
    }
}

/// Build 3 is current for everybody; build 2 takes devices back from version 40.
fn back_to(two: Release) -> Catalog {
    let two = with(two, |spec| spec.takes_back = Some(version(40)));
    catalog_with(vec![release(build(5)), two], &[build(4)])
}

#[test]
fn a_device_that_cannot_install_the_older_build_is_judged_by_the_other_rollouts() {
    let picky = of(release(build(2)), |facts| {
        facts.min_sdk = 30;
        facts.abis = vec!["arm64-v8a".to_owned()];
    });
    let stopped = with(picky.clone(), |spec| spec.state = RolloutState::Paused);
    let able = phone(IN_90_PERCENT, 40).sdk(30).abis("arm64-v8a");
    for (two, untouched) in [(picky, Ok(2)), (stopped, Err(Reason::Paused))] {
        let catalog = back_to(two);
        assert_eq!(answer(&catalog, &able), untouched);
        for unable in [
            able.clone().sdk(29),
            able.clone().abis("x86"),
            able.clone().gave_up(2, 1),
        ] {
            assert_eq!(answer(&catalog, &unable), Ok(5), "{unable:?}");
        }
    }
}

#[test]
fn a_device_that_cannot_install_the_older_build_stays_where_it_is_when_nothing_else_serves() {
    let catalog = taken_back().catalog();
    let unable = phone(IN_7_PERCENT, 20).gave_up(1, 1);
    assert_eq!(answer(&catalog, &unable), Err(Reason::NewerInstalled));
    let steps = explain(&catalog, &unable.poll(), at(0)).steps;
    let asked: Vec<_> = steps.iter().map(|step| (step.rule, step.passed)).collect();
    assert_eq!(
        asked,
        [
            ("current_rollout", true),
            ("forced_roll_back", true),
            ("state", true),
            ("rejection", false),
            ("audience", true),
            ("cohort", true),
            ("version", false),
        ]
    );
}

#[test]
fn an_ordinary_roll_back_takes_no_device_back() {
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.roll_back(false).unwrap();
    let catalog = store.catalog();
    assert_eq!(
        answer(&catalog, &phone(IN_7_PERCENT, 20)),
        Err(Reason::NewerInstalled)
    );
}

#[test]
fn a_newer_device_goes_back_only_by_force_and_to_the_same_known_signer() {
    let older = |taken: Option<i64>| with(release(build(2)), |spec| spec.takes_back = taken.map(version));
    let mut foreign = build(4);
    foreign.facts.signers = Signers::one(OTHER_SIGNER);
    let stored = [build(3), foreign];
    for (taken, installed, expected) in [
        (None, 30, Err(Reason::NewerInstalled)),
        (Some(30), 30, Ok(2)),
        (Some(40), 40, Err(Reason::NewerInstalled)),
        (Some(99), 99, Err(Reason::NewerInstalled)),
    ] {
        let catalog = catalog_with(vec![older(taken)], &stored);
        assert_eq!(
            answer(&catalog, &phone(IN_23_PERCENT, installed)),
            expected,
            "taking back {taken:?}"
        );
    }
}

/// A build whose v3.1 block shows a new certificate from API level 33 on.
fn rotated() -> Signers {
    let range = |fingerprint, from_sdk, to_sdk| SignerRange {
        fingerprint,
        from_sdk,
        to_sdk,
    };
    Signers::new(vec![range(SIGNER, 24, 32), range(OTHER_SIGNER, 33, u32::MAX)]).unwrap()
}

#[test]
fn the_signer_is_the_one_that_this_device_sees() {
    let rotated_build = of(release(build(2)), |facts| facts.signers = rotated());
    let catalog = catalog(vec![rotated_build]);
    let unstated = phone(IN_23_PERCENT, 0);
    for (device, signer) in [
        (unstated.clone(), SIGNER),
        (unstated.clone().sdk(30), SIGNER),
        (unstated.sdk(33), OTHER_SIGNER),
    ] {
        let Decision::Offer(offer) = decide(&catalog, &device.poll(), at(0)) else {
            panic!("nothing was offered to {device:?}");
        };
        assert_eq!(offer.signer, signer, "{device:?}");
    }
}

#[test]
fn a_rotated_key_keeps_only_those_devices_from_going_back_that_see_it() {
    let older = with(release(build(2)), |spec| spec.takes_back = Some(version(30)));
    let mut newer = build(3);
    newer.facts.signers = rotated();
    let catalog = catalog_with(vec![older], &[newer]);
    for (sdk, expected) in [(30, Ok(2)), (33, Err(Reason::NewerInstalled))] {
        let device = phone(IN_23_PERCENT, 30).sdk(sdk);
        assert_eq!(answer(&catalog, &device), expected, "API level {sdk}");
    }
}

#[test]
fn a_share_that_is_changed_afterwards_does_not_matter_to_the_devices_taken_back() {
    let mut store = taken_back();
    store
        .run(|track| track.adjust(BuildId(1), percent(1), BY_ADA))
        .unwrap();
    assert_eq!(answer(&store.catalog(), &phone(IN_90_PERCENT, 20)), Ok(1));
}
