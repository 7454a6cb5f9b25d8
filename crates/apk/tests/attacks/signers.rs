//! Signer records that are forged, malformed or too many.

use tidegate_apk::build::{Signing, SigningKey};
use tidegate_apk::{Rule, Scheme, SdkRange, WarningKind, verify};

use super::anatomy::{self, Anatomy, V2, V3, replace};
use super::{accepted, app, key, refused};

#[test]
fn a_digest_algorithm_swapped() {
    let apk = app().sign_with(&key("Release"), &[Scheme::V2]).unwrap();
    let (from, to) = (0x0201_u32.to_le_bytes(), 0x0202_u32.to_le_bytes());
    let anatomy = Anatomy::of(&apk);
    // In the signed digests: the signature no longer covers them.
    let mut forged = anatomy.clone();
    replace(forged.value(V2), &from, &to);
    assert_eq!(refused(&forged.build(), 24), Rule::SignatureMismatch);
    // In the signatures: the signature is not one of that algorithm.
    let mut forged = anatomy.clone();
    let value = forged.value(V2);
    let at = 12 + anatomy::u32_at(value, 8) as usize;
    replace(&mut value[at..], &from, &to);
    assert_eq!(refused(&forged.build(), 24), Rule::SignatureMismatch);
    // To one that nobody knows.
    let mut forged = anatomy;
    replace(&mut forged.value(V2)[at..], &from, &0x1122_u32.to_le_bytes());
    assert_eq!(refused(&forged.build(), 24), Rule::NoSupportedSignatures);
}

#[test]
fn a_huge_rsa_exponent() {
    // SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING { SEQUENCE { modulus, exponent } } }
    let der = |tag: u8, contents: &[u8]| {
        let len = contents.len() as u16;
        [&[tag, 0x82], &len.to_be_bytes()[..], contents].concat()
    };
    let modulus = der(0x02, &[&[0][..], &[0xc5; 256]].concat());
    let exponent = der(0x02, &[&[0][..], &[0xff; 255]].concat());
    let bits = der(
        0x03,
        &[&[0][..], &der(0x30, &[modulus, exponent].concat())].concat(),
    );
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let spki = der(0x30, &[&algorithm[..], &bits].concat());
    let key = key("Release");
    let plan = Signing::new(&key).public_key_bytes(spki).schemes(&[Scheme::V2]);
    let mut forged = Anatomy::of(&app().sign_as(&plan).unwrap());
    let value = forged.value(V2);
    let at = 12 + anatomy::u32_at(value, 8) as usize;
    replace(
        &mut value[at..],
        &0x0201_u32.to_le_bytes(),
        &0x0103_u32.to_le_bytes(),
    );
    assert_eq!(refused(&forged.build(), 24), Rule::MalformedPublicKey);
}

#[test]
fn a_truncated_certificate() {
    let key = key("Release");
    let whole = key.certificate_der();
    for len in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
        let plan = Signing::new(&key).certificate_bytes(&whole[..len]);
        assert_eq!(
            refused(&app().sign_as(&plan).unwrap(), 24),
            Rule::MalformedCertificate,
            "{len} bytes"
        );
    }
}

#[test]
fn a_certificate_of_somebody_else() {
    let (honest, evil) = (key("Release"), key("Evil"));
    let plan = Signing::new(&evil).certificate_bytes(honest.certificate_der());
    assert_eq!(
        refused(&app().sign_as(&plan).unwrap(), 24),
        Rule::PublicKeyMismatch
    );
    let plan = plan.public_key_bytes(honest.certificate().spki_der.clone());
    assert_eq!(
        refused(&app().sign_as(&plan).unwrap(), 24),
        Rule::SignatureMismatch
    );
}

#[test]
fn schemes_signed_by_different_keys() {
    let (honest, evil) = (key("Release"), key("Evil"));
    let v3 = Anatomy::of(&app().sign_with(&evil, &[Scheme::V3]).unwrap());
    let mut mixed = Anatomy::of(&app().sign_with(&honest, &[Scheme::V2]).unwrap());
    mixed.pairs.extend(v3.pairs);
    assert_eq!(refused(&mixed.build(), 24), Rule::SignerMismatch);
    // A second signer that v3 does not have.
    let plan = Signing::new(&honest).and(&evil);
    assert_eq!(refused(&app().sign_as(&plan).unwrap(), 24), Rule::SignerMismatch);
    // v1 by one, v2 by another: the archive with the v1 entries of one, under the block of the other.
    let base = || app().min_sdk(21).target_sdk(29);
    let v1 = base().sign_with(&honest, &[Scheme::V1]).unwrap();
    let mut forged = base();
    for name in ["MANIFEST.MF", "CERT.SF", "CERT.EC"] {
        let name = format!("META-INF/{name}");
        forged = forged.file(&name, tidegate_apk::read_entry(&v1, &name, 1 << 20).unwrap());
    }
    let forged = forged.sign_with(&evil, &[Scheme::V2]).unwrap();
    assert_eq!(refused(&forged, 21), Rule::SignerMismatch);
}

#[test]
fn eleven_signers() {
    let keys: Vec<SigningKey> = (0..11).map(|number| key(&format!("Signer {number}"))).collect();
    let plan = |count: usize| {
        keys[1..count]
            .iter()
            .fold(Signing::new(&keys[0]), |plan, key| plan.and(key))
            .schemes(&[Scheme::V2])
    };
    let ten = accepted(&app().sign_as(&plan(10)).unwrap(), 24);
    assert_eq!(ten.signers_at(24).count(), 10);
    assert_eq!(
        refused(&app().sign_as(&plan(11)).unwrap(), 24),
        Rule::TooManySigners
    );
}

#[test]
fn an_empty_list_of_signers() {
    for id in [V2, V3] {
        let mut forged = Anatomy::of(&app().sign(&key("Release")).unwrap());
        *forged.value(id) = 0_u32.to_le_bytes().to_vec();
        assert_eq!(refused(&forged.build(), 24), Rule::NoSigners);
        *forged.value(id) = Vec::new();
        assert_eq!(refused(&forged.build(), 24), Rule::MalformedSigners);
    }
}

#[test]
fn lengths_that_reach_beyond_the_block() {
    let apk = app().sign(&key("Release")).unwrap();
    for id in [V2, V3] {
        for at in [0, 4, 8, 12, 16] {
            for length in [u32::MAX, i32::MAX as u32, 0x00ff_ffff] {
                let mut forged = Anatomy::of(&apk);
                forged.value(id)[at..at + 4].copy_from_slice(&length.to_le_bytes());
                assert!(
                    verify(&forged.build(), SdkRange::from(24)).is_err(),
                    "{length} at {at}"
                );
            }
        }
    }
}

#[test]
fn a_debug_certificate_is_accepted_with_a_warning() {
    let verification = accepted(&app().sign(&key("Android Debug")).unwrap(), 24);
    assert_eq!(verification.warnings[0].kind, WarningKind::DebugCertificate);
}
