//! Keys that succeed one another: honest successions, and forged ones.

use tidegate_apk::build::{Lineage, Signing, SigningKey};
use tidegate_apk::{Capabilities, Rule, Scheme, SdkRange, WarningKind, verify};

use super::anatomy::{Anatomy, V3, V31};
use super::{accepted, app, key, refused};

const KEEP: Capabilities = Capabilities::DEFAULT;

fn keys(count: usize) -> Vec<SigningKey> {
    (0..count).map(|number| key(&format!("Key {number}"))).collect()
}

/// A lineage through all keys, each certified by the one before it.
fn lineage(keys: &[SigningKey]) -> Lineage {
    let start = Lineage::new(&keys[0], KEEP);
    keys.windows(2).fold(start, |line, pair| {
        line.then(&pair[0], &pair[1], KEEP).expect("it signs")
    })
}

#[test]
fn a_rotated_key_is_seen_by_android_9_and_up_and_the_original_one_below() {
    let keys = keys(3);
    let line = lineage(&keys);
    let apk = app().min_sdk(21).sign_as(
        &Signing::new(&keys[0])
            .schemes(&[Scheme::V1, Scheme::V2, Scheme::V3])
            .rotate(&keys[2], &line),
    );
    let verification = accepted(&apk.unwrap(), 21);
    assert_eq!(verification.schemes.to_string(), "v1,v2,v3");
    let at = |sdk| {
        verification
            .signers_at(sdk)
            .map(|signer| signer.sha256)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (at(23), at(27)),
        (vec![keys[0].fingerprint()], vec![keys[0].fingerprint()])
    );
    assert_eq!(
        (at(28), at(34)),
        (vec![keys[2].fingerprint()], vec![keys[2].fingerprint()])
    );
    let line: Vec<_> = verification.lineage.iter().map(|link| link.sha256).collect();
    assert_eq!(
        line,
        [
            keys[0].fingerprint(),
            keys[1].fingerprint(),
            keys[2].fingerprint()
        ]
    );
    assert!(verification.lineage[0].capabilities.installed_data);
    assert!(!verification.lineage[0].capabilities.rollback);
}

#[test]
fn an_update_is_accepted_from_any_key_of_the_lineage_that_hands_its_data_over() {
    let keys = keys(3);
    let drop = Capabilities {
        installed_data: false,
        ..KEEP
    };
    let line = Lineage::new(&keys[0], drop)
        .then(&keys[0], &keys[1], KEEP)
        .unwrap();
    let line = line.then(&keys[1], &keys[2], KEEP).unwrap();
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate(&keys[2], &line))
        .unwrap();
    let verification = accepted(&apk, 28);
    let from = |key: &SigningKey, sdk| verification.updates_from(&key.fingerprint(), sdk);
    assert!(from(&keys[2], 30), "the same key");
    assert!(from(&keys[1], 30), "its predecessor");
    assert!(!from(&keys[0], 30), "one that no longer hands its data over");
    assert!(!from(&key("Stranger"), 30));
    assert!(!from(&keys[2], 27), "outside of what was verified");
}

#[test]
fn with_v31_the_rotated_key_is_seen_from_the_chosen_level_on() {
    let keys = keys(2);
    let line = lineage(&keys);
    for from in [33, 34, 10_000] {
        let apk = app()
            .sign_as(&Signing::new(&keys[0]).rotate_from(from, &keys[1], &line))
            .unwrap();
        let verification = accepted(&apk, 24);
        assert_eq!(verification.schemes.to_string(), "v2,v3,v3.1");
        let at = |sdk| {
            verification
                .signers_at(sdk)
                .map(|signer| signer.sha256)
                .collect::<Vec<_>>()
        };
        for sdk in [24, 28, 32, from - 1] {
            assert_eq!(at(sdk), [keys[0].fingerprint()], "at {sdk}");
        }
        assert_eq!(at(from), [keys[1].fingerprint()]);
        // Devices before 33 accept the file without looking at the new block.
        assert!(verify(&apk, SdkRange { min: 24, max: 32 }).is_ok());
    }
}

#[test]
fn a_lineage_broken_at_each_link() {
    let (keys, evil) = (keys(4), key("Evil"));
    for broken in 0..3 {
        let mut line = Lineage::new(&keys[0], KEEP);
        for link in 0..3 {
            let by = if link == broken { &evil } else { &keys[link] };
            line = line.then(by, &keys[link + 1], KEEP).unwrap();
        }
        for from in [None, Some(33)] {
            let plan = Signing::new(&keys[0]);
            let plan = match from {
                None => plan.rotate(&keys[3], &line),
                Some(level) => plan.rotate_from(level, &keys[3], &line),
            };
            let error = verify(&app().sign_as(&plan).unwrap(), SdkRange::from(24)).unwrap_err();
            assert_eq!(error.rule(), Some(Rule::Lineage), "link {broken}");
            assert!(
                error.to_string().contains(&format!("link #{}", broken + 2)),
                "{error}"
            );
        }
    }
}

#[test]
fn a_signer_that_is_not_in_its_lineage() {
    let (keys, evil) = (keys(3), key("Evil"));
    let line = lineage(&keys);
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate(&evil, &line))
        .unwrap();
    assert_eq!(refused(&apk, 24), Rule::Lineage);
    // In it, but not at its end: a past key with somebody else's succession.
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate(&keys[1], &line))
        .unwrap();
    assert_eq!(refused(&apk, 24), Rule::Lineage);
}

#[test]
fn a_lineage_that_does_not_start_with_the_key_that_older_devices_see() {
    let (keys, evil) = (keys(2), key("Evil"));
    let apk = app()
        .sign_as(&Signing::new(&evil).rotate(&keys[1], &lineage(&keys)))
        .unwrap();
    assert_eq!(refused(&apk, 24), Rule::SignerMismatch);
    // From its middle is as bad: older devices could be given back to a key that was retired.
    let three = self::keys(3);
    let apk = app()
        .sign_as(&Signing::new(&three[1]).rotate(&three[2], &lineage(&three)))
        .unwrap();
    assert_eq!(refused(&apk, 24), Rule::SignerMismatch);
}

#[test]
fn a_key_that_occurs_twice_in_its_lineage() {
    let keys = keys(2);
    let line = lineage(&keys).then(&keys[1], &keys[0], KEEP).unwrap();
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate(&keys[0], &line))
        .unwrap();
    assert_eq!(refused(&apk, 24), Rule::Lineage);
}

#[test]
fn v31_stripped() {
    let keys = keys(2);
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate_from(33, &keys[1], &lineage(&keys)))
        .unwrap();
    assert_eq!(
        refused(&Anatomy::of(&apk).without(V31).build(), 24),
        Rule::Stripped
    );
}

#[test]
fn v3_stripped_from_under_v31() {
    let keys = keys(2);
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate_from(33, &keys[1], &lineage(&keys)))
        .unwrap();
    assert_eq!(
        refused(&Anatomy::of(&apk).without(V3).build(), 24),
        Rule::RotationTarget
    );
}

#[test]
fn v31_exchanged_for_one_that_rotates_later() {
    let keys = keys(2);
    let line = lineage(&keys);
    let [early, late] = [33, 34].map(|from| {
        app()
            .sign_as(&Signing::new(&keys[0]).rotate_from(from, &keys[1], &line))
            .unwrap()
    });
    let mut forged = Anatomy::of(&early);
    *forged.value(V31) = Anatomy::of(&late).value(V31).clone();
    assert_eq!(refused(&forged.build(), 24), Rule::RotationTarget);
}

#[test]
fn v31_added_to_a_file_that_announces_none_is_accepted_only_with_a_proof_and_a_warning() {
    let (keys, evil) = (keys(2), key("Evil"));
    let line = lineage(&keys);
    let honest = app().sign(&keys[0]).unwrap();
    // The v3 signer is for all levels, so a v3.1 block beside it is odd, but devices take it.
    let rotated = app()
        .sign_as(&Signing::new(&keys[0]).rotate_from(33, &keys[1], &line))
        .unwrap();
    let mut added = Anatomy::of(&honest);
    added.pairs.push((V31, Anatomy::of(&rotated).value(V31).clone()));
    let verification = accepted(&added.build(), 24);
    assert!(
        verification
            .warnings
            .iter()
            .any(|warning| warning.kind == WarningKind::NoStrippingProtection)
    );
    // By somebody whom no lineage leads to.
    let forged_line = Lineage::new(&keys[0], KEEP).then(&evil, &evil, KEEP).unwrap();
    let rotated = app()
        .sign_as(&Signing::new(&keys[0]).rotate_from(33, &evil, &forged_line))
        .unwrap();
    let mut forged = Anatomy::of(&honest);
    forged.pairs.push((V31, Anatomy::of(&rotated).value(V31).clone()));
    assert_eq!(refused(&forged.build(), 24), Rule::Lineage);
}

#[test]
fn a_past_key_that_may_take_the_app_back_is_worth_a_warning() {
    let keys = keys(2);
    let line = Lineage::new(
        &keys[0],
        Capabilities {
            rollback: true,
            ..KEEP
        },
    );
    let line = line.then(&keys[0], &keys[1], KEEP).unwrap();
    let apk = app()
        .sign_as(&Signing::new(&keys[0]).rotate(&keys[1], &line))
        .unwrap();
    assert_eq!(accepted(&apk, 24).warnings[0].kind, WarningKind::RollbackAllowed);
}
