//! What depends on the level of the platform: algorithms, digests, announced schemes.

use super::super::algorithms::{Family, SignatureId, unsupported};
use super::super::digests::{Expected, expected};
use super::*;

fn gaps(digest: Digest, signature: SignatureId, min: u32, max: u32) -> String {
    let gaps = unsupported(digest, signature, SdkRange { min, max });
    gaps.iter().map(SdkRange::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn algorithms_come_and_go_with_the_levels() {
    use Digest::{Md5, Sha1, Sha224, Sha256, Sha384, Sha512};
    use Family::{Dsa, Ecdsa, Rsa};
    use SignatureId::{Plain, With};

    let open = SdkRange::OPEN;
    for (digest, signature, min, max, expected) in [
        (Sha1, Plain(Rsa), 1, open, ""),
        (Md5, With(Rsa, Md5), 1, open, "9-20"),
        (Md5, With(Rsa, Md5), 21, open, ""),
        (Sha256, Plain(Rsa), 1, open, "9-17"),
        (Sha256, Plain(Rsa), 18, open, ""),
        (Sha224, With(Rsa, Sha224), 9, open, "9-20"),
        (Sha512, Plain(Rsa), 9, 30, "9-17"),
        (Sha512, With(Rsa, Sha512), 18, open, "18-20"),
        (Sha384, With(Rsa, Sha1), 1, open, "1-20 24+"),
        (Sha384, With(Rsa, Sha1), 21, 23, ""),
        (Sha256, With(Rsa, Sha1), 21, 23, "22-23"),
        (Sha224, With(Rsa, Sha256), 21, 23, "22-23"),
        (Sha512, With(Rsa, Sha384), 21, 23, "22-23"),
        (Sha1, Plain(Dsa), 1, open, ""),
        (Sha1, With(Dsa, Sha1), 1, open, "1-8"),
        (Sha256, Plain(Dsa), 1, open, "1-21"),
        (Sha256, With(Dsa, Sha256), 21, open, ""),
        (Sha512, With(Dsa, Sha256), 21, open, "24+"),
        (Sha512, Plain(Dsa), 24, open, "24+"),
        (Sha1, Plain(Ecdsa), 17, open, "17"),
        (Sha224, Plain(Ecdsa), 18, open, "18-20"),
        (Sha256, With(Ecdsa, Sha256), 18, open, "18-20"),
        (Sha1, With(Ecdsa, Sha1), 18, open, ""),
        (Md5, Plain(Ecdsa), 18, open, "18+"),
        (Md5, With(Ecdsa, Sha512), 21, 24, "24"),
    ] {
        assert_eq!(
            gaps(digest, signature, min, max),
            expected,
            "{digest}, {signature:?}, {min}-{max}"
        );
    }
}

#[test]
fn elliptic_curves_are_refused_before_android_4_3() {
    let archive = signed(&[&Key::new("a")], "");
    let place = broken(Rule::JarAlgorithm, "META-INF/CERT0.EC");
    assert_eq!(refusal_at(&archive, SdkRange::from(17)), place);
    assert!(verify(&archive, SdkRange::from(18), &[]).is_ok());
}

#[test]
fn announced_schemes_count_only_for_devices_that_know_them() {
    let archive = signed(&[&Key::new("a")], "X-Android-APK-Signed: 2, 3\r\n");
    assert!(verify(&archive, SdkRange { min: 18, max: 23 }, &[]).is_ok());
    let nougat = verify(&archive, SdkRange { min: 24, max: 27 }, &[2]).unwrap();
    let file = "META-INF/CERT0.SF".to_owned();
    assert_eq!(nougat.warnings, [JarWarning::UnknownScheme { file, scheme: 3 }]);
}

fn looked_at(section: &str, min: u32, max: u32) -> Vec<(Digest, Vec<u8>)> {
    let found = expected(section.as_bytes(), "-Digest", SdkRange { min, max }, "x").unwrap();
    found
        .into_iter()
        .map(|Expected { digest, value }| (digest, value))
        .collect()
}

#[test]
fn new_devices_look_at_the_strongest_digest_and_old_ones_at_the_listed_one() {
    let both = "Name: x\nSHA1-Digest: AAAA\nSHA-256-Digest: AQEB\nSHA-512-Digest: AgIC\n";
    let (sha1, sha512) = ((Digest::Sha1, vec![0; 3]), (Digest::Sha512, vec![2; 3]));
    assert_eq!(looked_at(both, 18, 30), std::slice::from_ref(&sha512));
    assert_eq!(looked_at(both, 9, 17), std::slice::from_ref(&sha1));
    assert_eq!(looked_at(both, 9, 30), [sha1.clone(), sha512]);
    assert_eq!(looked_at("Name: x\nSHA1-Digest: AAAA\n", 9, 30), [sha1]);
}

#[test]
fn old_devices_follow_the_list_in_the_section() {
    let listed = "Name: x\nDigest-Algorithms: TIGER SHA-384 MD5\nMD5-Digest: AAAA\nSHA-384-Digest: AQEB\n";
    assert_eq!(looked_at(listed, 8, 8), [(Digest::Md5, vec![0; 3])]);
    assert_eq!(looked_at(listed, 9, 17), [(Digest::Sha384, vec![1; 3])]);
    assert_eq!(looked_at(listed, 18, 30), [(Digest::Sha384, vec![1; 3])]);
}

#[test]
fn a_digest_that_old_devices_cannot_find_is_no_digest() {
    assert_eq!(looked_at("Name: x\nSHA-256-Digest: AAAA\n", 17, 30), []);
    assert_eq!(looked_at("Name: x\nMD5-Digest: AAAA\n", 18, 30), []);
}

#[test]
fn a_digest_may_lack_its_padding() {
    let (padded, bare) = ("Name: x\nSHA1-Digest: AQ==\n", "Name: x\nSHA1-Digest: AQ\n");
    assert_eq!(looked_at(padded, 18, 30), looked_at(bare, 18, 30));
    let half = expected(b"Name: x\nSHA1-Digest: AQ=\n", "-Digest", SdkRange::from(18), "x");
    assert_eq!(half.unwrap_err().rule(), Some(Rule::JarMalformed));
}
