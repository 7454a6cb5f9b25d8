use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::ber::{self, BIT_STRING, Class, INTEGER, NULL, OID, SEQUENCE};

const MESSAGE: &[u8] = b"The quick brown fox signs an APK.\n";

struct Vector {
    key: String,
    spki: Vec<u8>,
    algorithm: Algorithm,
    signature: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    let mut key = (String::new(), Vec::new());
    for line in include_str!("vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split(' ').collect();
        let bytes = BASE64.decode(words[2]).unwrap();
        match words[0] {
            "key" => key = (words[1].to_owned(), bytes),
            _ => vectors.push(Vector {
                key: key.0.clone(),
                spki: key.1.clone(),
                algorithm: algorithm(words[1]),
                signature: bytes,
            }),
        }
    }
    vectors
}

fn algorithm(name: &str) -> Algorithm {
    let (scheme, digest) = name.split_once('-').unwrap();
    let digest = match digest {
        "md5" => Digest::Md5,
        "sha1" => Digest::Sha1,
        "sha224" => Digest::Sha224,
        "sha256" => Digest::Sha256,
        "sha384" => Digest::Sha384,
        "sha512" => Digest::Sha512,
        other => panic!("unknown digest {other}"),
    };
    match scheme {
        "pkcs1" => Algorithm::RsaPkcs1(digest),
        "pss" => Algorithm::RsaPss(digest),
        "ecdsa" => Algorithm::Ecdsa(digest),
        "dsa" => Algorithm::Dsa(digest),
        other => panic!("unknown scheme {other}"),
    }
}

#[test]
fn every_algorithm_of_every_platform_verifies_what_openssl_signed() {
    let vectors = vectors();
    assert!(vectors.len() > 40, "only {} vectors", vectors.len());
    for vector in vectors {
        let verdict = verify(&vector.spki, vector.algorithm, MESSAGE, &vector.signature);
        assert_eq!(verdict, Ok(()), "{} by {}", vector.algorithm, vector.key);
    }
}

#[test]
fn another_message_never_verifies() {
    for vector in vectors() {
        let verdict = verify(
            &vector.spki,
            vector.algorithm,
            b"another message",
            &vector.signature,
        );
        assert_eq!(
            verdict,
            Err(Fault::Mismatch),
            "{} by {}",
            vector.algorithm,
            vector.key
        );
    }
}

#[test]
fn a_changed_signature_never_verifies() {
    for mut vector in vectors() {
        let last = vector.signature.len() - 1;
        vector.signature[last] ^= 1;
        let verdict = verify(&vector.spki, vector.algorithm, MESSAGE, &vector.signature);
        assert!(verdict.is_err(), "{} by {}", vector.algorithm, vector.key);
    }
}

#[test]
fn a_swapped_digest_algorithm_never_verifies() {
    for vector in vectors() {
        let other = match vector.algorithm.digest() {
            Digest::Sha256 => Digest::Sha512,
            _ => Digest::Sha256,
        };
        let algorithm = match vector.algorithm {
            Algorithm::RsaPkcs1(_) => Algorithm::RsaPkcs1(other),
            Algorithm::RsaPss(_) => Algorithm::RsaPss(other),
            Algorithm::Ecdsa(_) => Algorithm::Ecdsa(other),
            Algorithm::Dsa(_) => Algorithm::Dsa(other),
        };
        let verdict = verify(&vector.spki, algorithm, MESSAGE, &vector.signature);
        assert!(
            verdict.is_err(),
            "{} read as {algorithm} by {}",
            vector.algorithm,
            vector.key
        );
    }
}

#[test]
fn a_signature_of_another_length_is_malformed() {
    for vector in vectors().into_iter().filter(|vector| vector.key == "rsa2048") {
        let short = &vector.signature[1..];
        let verdict = verify(&vector.spki, vector.algorithm, MESSAGE, short);
        assert!(matches!(verdict, Err(Fault::Malformed { .. })), "{verdict:?}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let vectors = vectors();
    let key = |name: &str| vectors.iter().find(|vector| vector.key == name).unwrap();
    let signature = &key("rsa2048").signature;
    for (name, algorithm) in [
        ("p256", Algorithm::RsaPkcs1(Digest::Sha256)),
        ("rsa2048", Algorithm::Ecdsa(Digest::Sha256)),
        ("p521", Algorithm::Dsa(Digest::Sha1)),
    ] {
        let verdict = verify(&key(name).spki, algorithm, MESSAGE, signature);
        assert!(
            matches!(verdict, Err(Fault::Unsupported(_))),
            "{name}: {verdict:?}"
        );
    }
}

#[test]
fn a_truncated_key_is_malformed_at_every_length() {
    for vector in vectors().into_iter().filter(|vector| vector.key != "rsa16384") {
        for end in 0..vector.spki.len() {
            assert!(
                PublicKey::parse(&vector.spki[..end]).is_err(),
                "{} cut at {end}",
                vector.key
            );
        }
    }
}

/// An RSA key with these positive numbers.
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    rsa_key_as_written(&[&[0], modulus].concat(), exponent)
}

fn rsa_key_as_written(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let sequence = |parts: &[&[u8]]| ber::write(Class::Universal, true, SEQUENCE, &parts.concat());
    let number = |bytes: &[u8]| ber::write(Class::Universal, false, INTEGER, bytes);
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let algorithm = sequence(&[
        &ber::write(Class::Universal, false, OID, &oid),
        &ber::write(Class::Universal, false, NULL, &[]),
    ]);
    let key = sequence(&[&number(modulus), &number(exponent)]);
    let bits = ber::write(
        Class::Universal,
        false,
        BIT_STRING,
        &[&[0], key.as_slice()].concat(),
    );
    sequence(&[&algorithm, &bits])
}

#[test]
fn a_huge_rsa_exponent_is_refused_before_any_arithmetic() {
    let modulus = vec![0xff; 2048];
    let verdict = verify(
        &rsa_key(&modulus, &[0xff; 2048]),
        Algorithm::RsaPkcs1(Digest::Sha256),
        MESSAGE,
        &modulus,
    );
    assert_eq!(
        verdict,
        Err(Fault::Unsupported(
            "an RSA exponent of 16384 bits, not 2 to 33".into()
        )),
    );
}

#[test]
fn an_absurd_rsa_modulus_is_refused_before_any_arithmetic() {
    for bytes in [63, 1 << 20] {
        let modulus = vec![0xff; bytes];
        let key = rsa_key(&modulus, &[1, 0, 1]);
        let verdict = verify(&key, Algorithm::RsaPss(Digest::Sha256), MESSAGE, &modulus);
        assert!(
            matches!(verdict, Err(Fault::Unsupported(_))),
            "{bytes} bytes: {verdict:?}"
        );
    }
}

#[test]
fn an_even_modulus_or_exponent_is_malformed() {
    let mut even = vec![0xff; 256];
    even[255] = 0xfe;
    let odd = vec![0xff; 256];
    for key in [rsa_key(&even, &[1, 0, 1]), rsa_key(&odd, &[1, 0, 0])] {
        let verdict = verify(&key, Algorithm::RsaPkcs1(Digest::Sha1), MESSAGE, &odd);
        assert!(matches!(verdict, Err(Fault::Malformed { .. })), "{verdict:?}");
    }
}

#[test]
fn an_oversized_dsa_prime_is_refused() {
    let vector = vectors()
        .into_iter()
        .find(|vector| vector.key == "dsa2048-256")
        .unwrap();
    let Ok(PublicKey::Dsa(mut key)) = PublicKey::parse(&vector.spki) else {
        panic!("not a DSA key");
    };
    key.p = vec![0xff; 4096];
    let verdict = dsa::verify(&key, Digest::Sha256, MESSAGE, &vector.signature);
    assert!(matches!(verdict, Err(Fault::Unsupported(_))), "{verdict:?}");
}

#[test]
fn a_modulus_written_as_a_negative_number_is_the_same_key() {
    let modulus = vec![0xf1; 128];
    let negative = rsa_key_as_written(&modulus, &[1, 0, 1]);
    let read = ber::Element::first(&negative, "key").and_then(canonical_key);
    assert_eq!(read, Ok(rsa_key(&modulus, &[1, 0, 1])));
}

#[test]
fn digests_agree_with_their_published_vectors() {
    let hex = |bytes: Vec<u8>| {
        bytes
            .iter()
            .fold(String::new(), |out, byte| out + &format!("{byte:02x}"))
    };
    for (digest, expected) in [
        (Digest::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (Digest::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Digest::Sha224,
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            Digest::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ] {
        assert_eq!(hex(digest.compute(b"abc")), expected, "{digest}");
        assert_eq!(digest.bytes() * 2, expected.len());
    }
    assert!(hex(Digest::Sha384.compute(b"abc")).starts_with("cb00753f45a35e8b"));
    assert!(hex(Digest::Sha512.compute(b"abc")).starts_with("ddaf35a193617aba"));
}
