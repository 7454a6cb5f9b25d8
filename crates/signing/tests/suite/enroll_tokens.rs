//! Enrolment tokens: the operator sees the text once, the server keeps a hash.

use tidegate_signing::{
    ExposeSecret, enroll_token_hash, enrollment_key_hash, new_enroll_token, new_enrollment_key,
};

#[test]
fn the_text_leads_to_the_hash_that_was_stored() {
    let (text, hash) = new_enroll_token().unwrap();
    assert!(text.expose_secret().starts_with("tge1."));
    assert_eq!(text.expose_secret().len(), 48);
    assert_eq!(enroll_token_hash(text.expose_secret()), Some(hash));
}

#[test]
fn no_two_are_alike() {
    let [one, two] = [(); 2].map(|()| new_enroll_token().unwrap());
    assert_ne!(one.0.expose_secret(), two.0.expose_secret());
    assert_ne!(one.1, two.1);
}

#[test]
fn the_hash_is_the_sha_256_of_the_text() {
    let text = "tge1.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let expected = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    assert_eq!(enroll_token_hash(text).unwrap(), expected.as_ref());
}

#[test]
fn what_cannot_be_one_has_no_hash() {
    let (text, _) = new_enroll_token().unwrap();
    let text = text.expose_secret();
    for other in [
        "",
        "tge1.",
        &text[..47],
        &format!("{text}A"),
        &format!("{text} "),
        &text.replace("tge1", "tgd1"),
        &"A".repeat(1 << 20),
    ] {
        assert_eq!(enroll_token_hash(other), None, "{other:.60}");
    }
}

#[test]
fn a_key_that_was_drawn_is_one_and_others_need_128_bits() {
    let [one, two] = [(); 2].map(|()| new_enrollment_key().unwrap());
    let hash = |text: &str| enrollment_key_hash(text);
    assert_ne!(hash(one.expose_secret()), hash(two.expose_secret()));
    assert_eq!(hash(one.expose_secret()), hash(one.expose_secret()));
    // Sixteen bytes, as hex and as base64url.
    assert!(hash(&"0f".repeat(16)).is_ok());
    assert!(hash("AAECAwQFBgcICQoLDA0ODw").is_ok());
    for other in [
        "",
        &"a".repeat(21),
        &"a".repeat(129),
        &"a ".repeat(16),
        &"+/".repeat(16),
    ] {
        let refused = hash(other).unwrap_err().to_string();
        assert!(refused.starts_with("enrollment_key "), "{refused}");
        assert!(other.is_empty() || !refused.contains(other), "{refused}");
    }
}
