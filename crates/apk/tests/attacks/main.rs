//! Every way to be taken for the signer, one named test each. The files are built here, so that the tests
//! run on any clone; the Android project's own collection is tried in `suite.rs`.
#![allow(clippy::cast_possible_truncation, reason = "built files are small")]

mod anatomy;
mod archive;
mod builds;
mod faults;
mod formats;
mod install;
mod manifest;
mod readings;
mod rotation;
mod signers;

use anatomy::{Anatomy, V2, V3, V32, regions};
use tidegate_apk::build::{ApkBuilder, Signing, SigningKey};
use tidegate_apk::{Error, Rule, Scheme, SdkRange, Verification, WarningKind, verify};

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::generate(name).expect("a key")
}

pub(crate) fn app() -> ApkBuilder {
    ApkBuilder::new("com.example.app", 7)
        .lib("arm64-v8a", "libx.so", vec![1; 3000])
        .file("assets/text.txt", b"hello ".repeat(500))
}

/// The rule that refuses the file on some device from `min` on.
pub(crate) fn refused(apk: &[u8], min: u32) -> Rule {
    match verify(&apk, SdkRange::from(min)) {
        Ok(verification) => panic!("accepted: {verification:?}"),
        Err(error) => error.rule().unwrap_or_else(|| panic!("no rule: {error}")),
    }
}

pub(crate) fn accepted(apk: &[u8], min: u32) -> Verification {
    verify(&apk, SdkRange::from(min)).unwrap_or_else(|error: Error| panic!("{error}"))
}

#[test]
fn an_honest_file_is_accepted_under_each_scheme_and_names_its_signer() {
    let key = key("Release");
    let all = [Scheme::V1, Scheme::V2, Scheme::V3];
    for (min, schemes, verified) in [
        (24, &all[1..], "v2,v3"),
        (28, &all[1..], "v3"),
        (24, &all[1..2], "v2"),
        (28, &all[2..], "v3"),
        (21, &all[..], "v1,v2,v3"),
        (24, &all[..], "v2,v3"),
    ] {
        let apk = app().min_sdk(min).sign_with(&key, schemes).unwrap();
        let verification = accepted(&apk, min);
        assert_eq!(
            verification.schemes.to_string(),
            verified,
            "{schemes:?} from {min}"
        );
        assert!(verification.warnings.is_empty(), "{:?}", verification.warnings);
        for sdk in [min, 27, 28, 32, 33, 36].into_iter().filter(|sdk| *sdk >= min) {
            let seen: Vec<_> = verification.signers_at(sdk).map(|signer| signer.sha256).collect();
            assert_eq!(seen, [key.fingerprint()], "{schemes:?} at {sdk}");
        }
    }
}

#[test]
fn an_old_app_may_be_signed_with_v1_alone_by_two_signers() {
    let (one, two) = (key("One"), key("Two"));
    let plan = Signing::new(&one).and(&two).schemes(&[Scheme::V1]);
    let apk = app().min_sdk(21).target_sdk(29).sign_as(&plan).unwrap();
    let verification = accepted(&apk, 21);
    assert_eq!(verification.schemes.to_string(), "v1");
    assert_eq!(verification.signers_at(21).count(), 2);
}

#[test]
fn a_byte_flipped_in_the_entries() {
    let apk = app().sign(&key("Release")).unwrap();
    let [entries, ..] = regions(&apk);
    // Every 97th byte stands for all of them; the first is checked before any signature.
    for at in entries.step_by(97) {
        let mut forged = apk.clone();
        forged[at] ^= 1;
        assert!(verify(&forged, SdkRange::from(24)).is_err(), "byte {at}");
    }
    let mut forged = apk;
    let at = forged.windows(4).rposition(|bytes| bytes == [1; 4]).unwrap();
    forged[at] ^= 1;
    assert_eq!(refused(&forged, 24), Rule::ContentDigest);
}

#[test]
fn a_byte_flipped_in_the_central_directory() {
    let apk = app().sign(&key("Release")).unwrap();
    let [_, _, directory, _] = regions(&apk);
    for at in directory.clone() {
        let mut forged = apk.clone();
        forged[at] ^= 1;
        assert!(verify(&forged, SdkRange::from(24)).is_err(), "byte {at}");
    }
    // The time of day means nothing to a reader, but is signed.
    let mut forged = apk;
    forged[directory.start + 12] ^= 1;
    assert_eq!(refused(&forged, 24), Rule::ContentDigest);
}

#[test]
fn a_byte_flipped_in_the_end_record() {
    let apk = app().sign(&key("Release")).unwrap();
    let [.., end] = regions(&apk);
    for at in end {
        let mut forged = apk.clone();
        forged[at] ^= 1;
        assert!(verify(&forged, SdkRange::from(24)).is_err(), "byte {at}");
    }
}

#[test]
fn a_byte_flipped_in_the_signed_data() {
    let apk = app().sign_with(&key("Release"), &[Scheme::V3]).unwrap();
    let mut anatomy = Anatomy::of(&apk);
    // Signers' length, signer's length, signed data's length, then the signed data.
    let value = anatomy.value(V3);
    let len = anatomy::u32_at(value, 8) as usize;
    for at in 12..12 + len {
        let mut forged = anatomy.clone();
        forged.value(V3)[at] ^= 1;
        assert_eq!(refused(&forged.build(), 28), Rule::SignatureMismatch, "byte {at}");
    }
}

#[test]
fn a_byte_flipped_in_the_signing_block() {
    let apk = app().sign(&key("Release")).unwrap();
    let [_, block, ..] = regions(&apk);
    let padding = block.clone().find(|at| apk[*at..].starts_with(b"werB")).unwrap();
    for at in block
        .clone()
        .filter(|at| *at < padding - 8 || *at >= block.end - 24)
        .step_by(2)
    {
        let mut forged = apk.clone();
        forged[at] ^= 1;
        // A v2 signature under another name is none: v3 still holds, but older devices see no signer.
        let no_v2 = |seen: &Verification| !seen.schemes.v2 && seen.signers_at(24).next().is_none();
        let kind = WarningKind::UncoveredLevels;
        match verify(&forged, SdkRange::from(24)) {
            Err(_) => {}
            Ok(seen) => assert!(
                no_v2(&seen) && seen.warnings[0].kind == kind,
                "byte {at} of {block:?}"
            ),
        }
    }
}

#[test]
fn v2_stripped() {
    let key = key("Release");
    let apk = app()
        .min_sdk(21)
        .target_sdk(29)
        .sign_with(&key, &[Scheme::V1, Scheme::V2])
        .unwrap();
    accepted(&apk, 21);
    let forged = Anatomy::of(&apk).without(V2).build();
    assert_eq!(refused(&forged, 21), Rule::JarStripped);
    let without_block = Anatomy {
        pairs: Vec::new(),
        ..Anatomy::of(&apk)
    }
    .build();
    assert_eq!(refused(&without_block, 21), Rule::JarStripped);
}

#[test]
fn v3_stripped() {
    let apk = app().sign(&key("Release")).unwrap();
    let forged = Anatomy::of(&apk).without(V3).build();
    assert_eq!(refused(&forged, 24), Rule::Stripped);
    // Renamed instead of removed, as padding is.
    let mut forged = Anatomy::of(&apk);
    forged
        .pairs
        .iter_mut()
        .filter(|(id, _)| *id == V3)
        .for_each(|(id, _)| *id = 0x4272_6577);
    assert_eq!(refused(&forged.build(), 24), Rule::Stripped);
}

#[test]
fn all_signatures_stripped_from_an_app_without_v1() {
    let apk = app().sign(&key("Release")).unwrap();
    let forged = Anatomy {
        pairs: Vec::new(),
        ..Anatomy::of(&apk)
    }
    .build();
    assert_eq!(refused(&forged, 24), Rule::Unsigned);
    assert_eq!(refused(&app().unsigned(), 24), Rule::Unsigned);
}

#[test]
fn two_signing_blocks() {
    let (honest, evil) = (key("Release"), key("Evil"));
    let apk = app().sign(&honest).unwrap();
    let forged = app().debuggable(true).sign(&evil).unwrap();
    // Two values of one scheme in a block, the honest one first or last.
    for order in [[&apk, &forged], [&forged, &apk]] {
        let mut both = Anatomy::of(order[0]);
        both.pairs.extend(Anatomy::of(order[1]).pairs);
        assert_eq!(refused(&both.build(), 24), Rule::MalformedBlock);
    }
    // Two blocks, one before the other.
    let [_, block, ..] = regions(&forged);
    let mut both = Anatomy::of(&apk);
    both.entries.extend(&forged[block]);
    assert_eq!(refused(&both.build(), 24), Rule::ContentDigest);
}

#[test]
fn a_signature_taken_from_another_build() {
    let key = key("Release");
    let (old, new) = (
        app().sign(&key).unwrap(),
        app().debuggable(true).sign(&key).unwrap(),
    );
    let forged = Anatomy {
        pairs: Anatomy::of(&old).pairs,
        ..Anatomy::of(&new)
    };
    assert_eq!(refused(&forged.build(), 24), Rule::ContentDigest);
}

#[test]
fn an_entry_added_after_signing() {
    let key = key("Release");
    let mut forged = Anatomy::of(&app().sign(&key).unwrap());
    forged.add_entry("classes2.dex", b"evil");
    assert_eq!(refused(&forged.build(), 24), Rule::ContentDigest);
    // Under v1 the contents are covered one by one: the new one by nobody.
    let v1 = app()
        .min_sdk(21)
        .target_sdk(29)
        .sign_with(&key, &[Scheme::V1])
        .unwrap();
    let mut forged = Anatomy::of(&v1);
    forged.add_entry("classes2.dex", b"evil");
    assert_eq!(refused(&forged.build(), 21), Rule::JarUnsignedEntry);
}

#[test]
fn a_v1_file_with_an_unsigned_entry_below_meta_inf_is_accepted_with_a_warning() {
    let apk = app()
        .min_sdk(21)
        .target_sdk(29)
        .sign_with(&key("Release"), &[Scheme::V1])
        .unwrap();
    let mut forged = Anatomy::of(&apk);
    forged.add_entry("META-INF/services/evil", b"anybody can write this");
    let verification = accepted(&forged.build(), 21);
    let warning = &verification.warnings[0];
    assert_eq!(
        (warning.kind, warning.place.as_str()),
        (WarningKind::UnprotectedEntry, "META-INF/services/evil")
    );
}

#[test]
fn a_v1_file_with_a_changed_entry() {
    let apk = app()
        .min_sdk(21)
        .target_sdk(29)
        .sign_with(&key("Release"), &[Scheme::V1])
        .unwrap();
    let mut forged = apk.clone();
    let at = apk.windows(4).rposition(|bytes| bytes == [1; 4]).unwrap();
    forged[at] ^= 1;
    match verify(&forged, SdkRange::from(21)) {
        Err(Error::Signature(refusal)) => {
            assert_eq!(
                (refusal.rule, refusal.place.as_str()),
                (Rule::JarEntryDigest, "lib/arm64-v8a/libx.so")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_duplicate_entry_name() {
    let key = key("Release");
    for schemes in [&[Scheme::V1][..], &[Scheme::V2, Scheme::V3]] {
        let apk = app()
            .file("classes.dex", b"good".to_vec())
            .file("classes.dex", b"evil".to_vec());
        let apk = apk.min_sdk(21).target_sdk(29).sign_with(&key, schemes).unwrap();
        assert_eq!(refused(&apk, 24), Rule::DuplicateEntry);
    }
}

#[test]
fn an_app_for_android_11_needs_more_than_v1() {
    let apk = app()
        .min_sdk(21)
        .target_sdk(30)
        .sign_with(&key("Release"), &[Scheme::V1])
        .unwrap();
    assert_eq!(refused(&apk, 21), Rule::SchemeTooOld);
    // Devices that are older than the target don't know the rule.
    assert!(verify(&apk, SdkRange { min: 21, max: 29 }).is_ok());
}

#[test]
fn a_file_without_v1_is_refused_where_devices_know_nothing_else() {
    let apk = app().min_sdk(23).sign(&key("Release")).unwrap();
    assert_eq!(refused(&apk, 23), Rule::JarManifest);
    accepted(&apk, 24);
}

#[test]
fn a_hybrid_block_is_reported_and_not_judged() {
    let mut apk = Anatomy::of(&app().sign(&key("Release")).unwrap());
    apk.pairs
        .insert(0, (V32, b"whatever a post-quantum signer writes".to_vec()));
    let verification = accepted(&apk.build(), 24);
    assert!(verification.schemes.v32_present);
    assert!(
        verification
            .warnings
            .iter()
            .any(|warning| warning.kind == WarningKind::HybridBlock)
    );
}
