//! A device shows its token with every poll; nobody else can make one.

use proptest::prelude::*;
use tidegate_signing::{ExposeSecret, KeyRing, MAX_DEVICE_TOKEN_BYTES, MasterKey, TokenError};

use crate::{DEVICE_IDS, base64url, bit_flips, device, fresh_ring, hmac_sha256, known_ring, known_sub_key};

const KNOWN_TOKEN: &str = "tgd1.AAAAB0dlcsOkdC3DvA.m4-KN5vIZjYRzvdx5454X2fb7YI6CkG0A1vLp9m9GAM";

fn signed_by_us(payload: &[u8]) -> String {
    let tag = hmac_sha256(&known_sub_key("device-token"), payload);
    format!("tgd1.{}.{}", base64url(payload), base64url(tag))
}

#[test]
fn the_token_is_the_documented_one() {
    let token = known_ring().device_token(&device("Gerät-ü"), 7);
    assert_eq!(token.expose_secret(), KNOWN_TOKEN);
    let claims = known_ring().verify_device_token(KNOWN_TOKEN).unwrap();
    assert_eq!((claims.device(), claims.generation()), ("Gerät-ü", 7));
    assert_eq!(claims.to_device_id(), Ok(device("Gerät-ü")));
}

#[test]
fn the_longest_id_makes_the_longest_token() {
    let ring = fresh_ring();
    let longest = device(&"a".repeat(128));
    let token = ring.device_token(&longest, u32::MAX);
    assert_eq!(token.expose_secret().len(), MAX_DEVICE_TOKEN_BYTES);
    let claims = ring.verify_device_token(token.expose_secret()).unwrap();
    assert_eq!(claims.to_device_id(), Ok(longest));
    assert_eq!(claims.generation(), u32::MAX);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for token in bit_flips(KNOWN_TOKEN) {
        assert!(known_ring().verify_device_token(&token).is_err(), "{token}");
    }
}

#[test]
fn a_token_of_another_master_key_is_forged() {
    let token = fresh_ring().device_token(&device("abc123"), 1);
    let verdict = known_ring().verify_device_token(token.expose_secret());
    assert_eq!(verdict.unwrap_err(), TokenError::Forged);
}

#[test]
fn another_devices_id_under_a_good_tag_is_forged() {
    let (_, tag) = KNOWN_TOKEN.rsplit_once('.').unwrap();
    let payload = base64url([&[0, 0, 0, 7], "Gerät-u".as_bytes()].concat());
    let verdict = known_ring().verify_device_token(&format!("tgd1.{payload}.{tag}"));
    assert_eq!(verdict.unwrap_err(), TokenError::Forged);
}

#[test]
fn a_revoked_token_with_its_generation_raised_is_forged() {
    let (_, tag) = KNOWN_TOKEN.rsplit_once('.').unwrap();
    let payload = base64url([&[0, 0, 0, 8], "Gerät-ü".as_bytes()].concat());
    let verdict = known_ring().verify_device_token(&format!("tgd1.{payload}.{tag}"));
    assert_eq!(verdict.unwrap_err(), TokenError::Forged);
}

#[test]
fn a_truncated_tag_is_malformed_at_every_length() {
    let start = KNOWN_TOKEN.rfind('.').unwrap() + 1;
    for end in start..KNOWN_TOKEN.len() {
        let verdict = known_ring().verify_device_token(&KNOWN_TOKEN[..end]);
        assert_eq!(verdict.unwrap_err(), TokenError::Malformed, "cut at {end}");
    }
}

#[test]
fn a_tag_made_for_another_purpose_is_forged() {
    let payload = [&[0, 0, 0, 7], "abc123".as_bytes()].concat();
    for purpose in ["download-url", "admin-jwt", "command"] {
        let tag = hmac_sha256(&known_sub_key(purpose), &payload);
        let token = format!("tgd1.{}.{}", base64url(&payload), base64url(tag));
        assert_eq!(
            known_ring().verify_device_token(&token).unwrap_err(),
            TokenError::Forged
        );
    }
}

#[test]
fn a_second_spelling_of_a_good_token_is_refused() {
    for token in [
        format!("{KNOWN_TOKEN}="),
        format!(" {KNOWN_TOKEN}"),
        format!("{KNOWN_TOKEN}\n"),
        KNOWN_TOKEN.replacen("tgd1", "TGD1", 1),
        KNOWN_TOKEN.replacen("tgd1.", "tgd1..", 1),
        format!("{KNOWN_TOKEN}.{KNOWN_TOKEN}"),
    ] {
        assert_eq!(
            known_ring().verify_device_token(&token).unwrap_err(),
            TokenError::Malformed,
            "{token}"
        );
    }
}

#[test]
fn what_is_no_token_is_malformed_and_a_huge_one_is_not_read() {
    let mega = format!("tgd1.{}.{}", "A".repeat(1_000_000), "A".repeat(43));
    let texts = [
        "",
        ".",
        "tgd1.",
        "tgd1..",
        "tge1.AAAA.AAAA",
        "tgd1.AAAAB0dl",
        "tgd1.é.é",
        &mega,
    ];
    for text in texts {
        assert_eq!(
            known_ring().verify_device_token(text).unwrap_err(),
            TokenError::Malformed
        );
    }
}

#[test]
fn a_payload_without_an_id_or_without_utf_8_is_malformed_even_when_signed() {
    for payload in [&b""[..], b"\0\0\0", b"\0\0\0\x01", b"\0\0\0\x01\xff\xfe"] {
        assert_eq!(
            known_ring()
                .verify_device_token(&signed_by_us(payload))
                .unwrap_err(),
            TokenError::Malformed
        );
    }
    let claims = known_ring()
        .verify_device_token(&signed_by_us(b"\0\0\0\x01a|b"))
        .unwrap();
    assert_eq!(claims.to_device_id(), Err(TokenError::Malformed));
}

#[test]
fn a_rotation_turns_no_device_away() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let phone = device("abc123");
    let before = KeyRing::new(&old, None).device_token(&phone, 1);
    let announced = KeyRing::new(&old, Some(&new));
    let swapped = KeyRing::new(&new, Some(&old));
    let after = swapped.device_token(&phone, 1);
    for ring in [&announced, &swapped] {
        assert!(ring.verify_device_token(before.expose_secret()).is_ok());
        assert!(ring.verify_device_token(after.expose_secret()).is_ok());
    }
    let done = KeyRing::new(&new, None);
    assert!(done.verify_device_token(after.expose_secret()).is_ok());
    assert_eq!(
        done.verify_device_token(before.expose_secret()).unwrap_err(),
        TokenError::Forged
    );
}

proptest! {
    #[test]
    fn every_id_and_generation_comes_back(id in DEVICE_IDS, generation: u32) {
        let ring = known_ring();
        let token = ring.device_token(&device(&id), generation);
        let claims = ring.verify_device_token(token.expose_secret()).unwrap();
        prop_assert_eq!(claims.device(), id);
        prop_assert_eq!(claims.generation(), generation);
    }

    #[test]
    fn no_text_makes_the_check_panic_or_pass(text in "(tgd1\\.)?[A-Za-z0-9_.-]{0,240}") {
        prop_assert!(known_ring().verify_device_token(&text).is_err());
    }
}

#[test]
fn an_erased_id_is_known_by_a_tag_of_each_master_key() {
    let known = hmac_sha256(&known_sub_key("erased-device"), b"abc123");
    let known = <[u8; 32]>::try_from(known).unwrap();
    assert_eq!(base64url(known), "6U03Fu_exKRxW266nu1Di4XOoKubfSdesdEwqzKMjJU");
    assert_eq!(known_ring().erased_tags("abc123"), [known]);
    assert_ne!(known_ring().erased_tags("abc124"), [known]);
    let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let tag = |key| KeyRing::new(key, None).erased_tags("abc123")[0];
    let both = KeyRing::new(&new, Some(&old));
    assert_eq!(both.erased_tags("abc123"), [tag(&new), tag(&old)]);
    assert_ne!(tag(&new), tag(&old));
}
