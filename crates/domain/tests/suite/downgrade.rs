//! Signers: who may be taken back to an older version, and which certificate each device is told of.

use tidegate_domain::{Decision, PollRequest, Reason, SignerFingerprint, SignerRange, Signers, decide};

use crate::decision::answer;
use crate::fleet::{IN_23_PERCENT, SIGNER, at, build, catalog, catalog_with, of, poll, release, with};

const OTHER_SIGNER: SignerFingerprint = SignerFingerprint([0xbb; 32]);

#[test]
fn a_newer_device_goes_back_only_by_force_and_to_the_same_known_signer() {
    let older = |force| with(release(build(2)), |spec| spec.settings.force_downgrade = force);
    let newer = build(3);
    let mut foreign = build(4);
    foreign.facts.signers = Signers::one(OTHER_SIGNER);
    let stored = [newer, foreign];
    let [plain, forced] = [false, true].map(|force| catalog_with(vec![older(force)], &stored));
    for (installed, expected) in [
        (10, Ok(2)),
        (20, Err(Reason::AlreadyCurrent)),
        (30, Ok(2)),
        (40, Err(Reason::AlreadyCurrent)),
        (99, Err(Reason::AlreadyCurrent)),
    ] {
        assert_eq!(
            answer(&forced, &poll(IN_23_PERCENT, installed)),
            expected,
            "forced, on {installed}"
        );
        let unforced = if installed < 20 {
            Ok(2)
        } else {
            Err(Reason::AlreadyCurrent)
        };
        assert_eq!(
            answer(&plain, &poll(IN_23_PERCENT, installed)),
            unforced,
            "not forced, on {installed}"
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
    for (sdk, signer) in [(None, SIGNER), (Some(30), SIGNER), (Some(33), OTHER_SIGNER)] {
        let request = PollRequest {
            sdk,
            ..poll(IN_23_PERCENT, 0)
        };
        let Decision::Offer(offer) = decide(&catalog, &request, at(0)) else {
            panic!("nothing was offered to {sdk:?}");
        };
        assert_eq!(offer.signer, signer, "API level {sdk:?}");
    }
}

#[test]
fn a_rotated_key_keeps_only_those_devices_from_going_back_that_see_it() {
    let older = with(release(build(2)), |spec| spec.settings.force_downgrade = true);
    let mut newer = build(3);
    newer.facts.signers = rotated();
    let catalog = catalog_with(vec![older], &[newer]);
    for (sdk, expected) in [(30, Ok(2)), (33, Err(Reason::AlreadyCurrent))] {
        let request = PollRequest {
            sdk: Some(sdk),
            ..poll(IN_23_PERCENT, 30)
        };
        assert_eq!(answer(&catalog, &request), expected, "API level {sdk}");
    }
}
