//! Signed attributes and certificates: what a block says about itself.

use super::kit::{CONTENT_TYPE, DATA, MESSAGE_DIGEST, SIGNED_DATA, attribute, primitive};
use super::*;
use crate::ber::{BIT_STRING, OCTET_STRING, OID};

const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const UNHEARD_OF: &[u8] = &[0x2a, 0x03, 0x04];

/// The archive with a block over these signed attributes; each is given the digest of the signature file.
fn with_attributes(key: &Key, attributes: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) -> Memory {
    let mut archive = signed(&[key], "");
    let digest = Digest::Sha256.compute(archive.text("META-INF/CERT0.SF").as_bytes());
    archive.set("META-INF/CERT0.EC", key.block_over(&attributes(digest)));
    archive
}

fn content_type(oid: &[u8]) -> Vec<u8> {
    attribute(CONTENT_TYPE, &[primitive(OID, oid)])
}

fn message_digest(digest: &[u8]) -> Vec<u8> {
    attribute(MESSAGE_DIGEST, &[primitive(OCTET_STRING, digest)])
}

#[test]
fn signed_attributes_vouch_for_the_signature_file() {
    let key = Key::new("a");
    let archive = with_attributes(&key, |digest| vec![content_type(DATA), message_digest(&digest)]);
    assert!(check(&archive).is_ok());
}

#[test]
fn signed_attributes_of_another_file_do_not_verify() {
    let archive = with_attributes(&Key::new("a"), |_| {
        vec![content_type(DATA), message_digest(&[0; 32])]
    });
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
}

#[test]
fn the_content_type_is_asked_for_since_android_7() {
    let archive = with_attributes(&Key::new("a"), |digest| vec![message_digest(&digest)]);
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
    assert!(verify(&archive, SdkRange { min: 19, max: 23 }, &[]).is_ok());
}

#[test]
fn another_content_type_does_not_verify() {
    let archive = with_attributes(&Key::new("a"), |digest| {
        vec![content_type(SIGNED_DATA), message_digest(&digest)]
    });
    assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
}

#[test]
fn a_missing_repeated_or_ambiguous_digest_is_refused() {
    let key = Key::new("a");
    let missing = with_attributes(&key, |_| vec![content_type(DATA)]);
    let repeated = with_attributes(&key, |digest| {
        vec![
            content_type(DATA),
            message_digest(&digest),
            message_digest(&digest),
        ]
    });
    let ambiguous = with_attributes(&key, |digest| {
        let values = [
            primitive(OCTET_STRING, &digest),
            primitive(OCTET_STRING, &[0; 32]),
        ];
        vec![content_type(DATA), attribute(MESSAGE_DIGEST, &values)]
    });
    for archive in [missing, repeated, ambiguous] {
        assert_eq!(refusal(&archive), broken(Rule::JarSignature, "META-INF/CERT0.EC"));
    }
}

#[test]
fn signed_attributes_are_refused_for_devices_that_do_not_check_them() {
    let archive = with_attributes(&Key::new("a"), |digest| {
        vec![content_type(DATA), message_digest(&digest)]
    });
    let place = broken(Rule::JarSignature, "META-INF/CERT0.EC");
    assert_eq!(refusal_at(&archive, SdkRange::from(18)), place);
}

#[test]
fn a_second_signer_in_a_block_counts_since_android_7() {
    let (good, bad) = (Key::new("a"), Key::new("b"));
    let mut archive = signed(&[&good], "");
    let file = archive.text("META-INF/CERT0.SF");
    let both = block(
        &[&good.certificate(), &bad.certificate()],
        &[
            &bad.signer_info(b"another file"),
            &good.signer_info(file.as_bytes()),
        ],
    );
    archive.set("META-INF/CERT0.EC", both);
    assert_eq!(
        check(&archive).unwrap().signers[0].certificates[0].der,
        good.certificate()
    );
    assert_eq!(refusal_at(&archive, SdkRange::from(23)).0, Rule::JarSignature);
}

#[test]
fn a_certificate_that_may_not_sign_is_refused() {
    // Key usage: key encipherment only.
    let key = Key::new("a").with_extension(KEY_USAGE, true, &primitive(BIT_STRING, &[5, 0x20]));
    let archive = signed(&[&key], "");
    assert_eq!(
        refusal(&archive),
        broken(Rule::JarCertificate, "META-INF/CERT0.EC")
    );
}

#[test]
fn a_certificate_for_signatures_or_non_repudiation_may_sign() {
    for usage in [0x80, 0x40] {
        let key = Key::new("a").with_extension(KEY_USAGE, true, &primitive(BIT_STRING, &[6, usage]));
        assert!(check(&signed(&[&key], "")).is_ok(), "usage {usage:#x}");
    }
}

#[test]
fn an_unknown_critical_extension_is_refused_and_an_uncritical_one_is_not() {
    let critical = Key::new("a").with_extension(UNHEARD_OF, true, b"?");
    let uncritical = Key::new("a").with_extension(UNHEARD_OF, false, b"?");
    assert_eq!(
        refusal(&signed(&[&critical], "")),
        broken(Rule::JarCertificate, "META-INF/CERT0.EC")
    );
    assert!(check(&signed(&[&uncritical], "")).is_ok());
}
