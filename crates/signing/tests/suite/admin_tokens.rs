//! An operator's token is a JWT of one kind. Every well-known way to fool a JWT check has its test here.

use chrono::TimeDelta;
use proptest::prelude::*;
use tidegate_domain::Role;
use tidegate_signing::{
    AdminClaims, Error, ExposeSecret, KeyRing, MAX_ADMIN_TOKEN_BYTES, MasterKey, TokenError,
};

use crate::{KNOWN_TIME, at, base64url, bit_flips, fresh_ring, hmac_sha256, known_ring, known_sub_key};

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &str = r#"{"iss":"tidegate","sub":"ada","role":"operator","iat":1764000000,"exp":1764000600,"jti":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
const KNOWN_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0aWRlZ2F0ZSIsInN1YiI6ImFkYSIsInJvbGUiOiJvcGVyYXRvciIsImlhdCI6MTc2NDAwMDAwMCwiZXhwIjoxNzY0MDAwNjAwLCJqdGkiOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBIn0.B3VVUDIA30lWnWo_zRSfFbNHTWHMvZJDtyxH2URXA-0";

/// A token of any header and claims, signed with our own key: what is refused here is refused for its content.
fn signed(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", base64url(header), base64url(claims));
    let tag = hmac_sha256(&known_sub_key("admin-jwt"), text.as_bytes());
    format!("{text}.{}", base64url(tag))
}

fn judged(token: &str) -> Result<AdminClaims, TokenError> {
    known_ring().verify_admin_token(token, at(KNOWN_TIME + 1))
}

fn refusal(token: &str) -> TokenError {
    judged(token).expect_err("the token is to be refused")
}

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

#[test]
fn the_documented_token_is_taken_and_read() {
    assert_eq!(signed(HS256, CLAIMS), KNOWN_TOKEN);
    let expected = AdminClaims {
        subject: "ada".to_owned(),
        role: Role::Operator,
        issued_at: at(KNOWN_TIME),
        expires_at: at(KNOWN_TIME + 600),
        token_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        generation: None,
    };
    assert_eq!(judged(KNOWN_TOKEN), Ok(expected));
}

#[test]
fn a_token_tells_its_generation_and_what_it_was_issued_as() {
    let issued = known_ring()
        .issue_admin_token("ada", Role::Operator, 7, minutes(10), at(KNOWN_TIME))
        .unwrap();
    assert_eq!(issued.claims.generation, Some(7));
    assert_eq!(judged(issued.token.expose_secret()), Ok(issued.claims));
    let negative = CLAIMS.replace("\"jti\"", "\"gen\":-1,\"jti\"");
    assert_eq!(refusal(&signed(HS256, &negative)), TokenError::Malformed);
}

#[test]
fn a_token_made_by_the_ring_carries_what_was_asked_and_its_own_id() {
    let ring = fresh_ring();
    let make = || {
        ring.admin_token("ci@fleet", Role::Admin, minutes(10), at(KNOWN_TIME))
            .unwrap()
    };
    let read = |token: &str| ring.verify_admin_token(token, at(KNOWN_TIME)).unwrap();
    let [first, second] = [make(), make()].map(|token| read(token.expose_secret()));
    assert_eq!((first.subject.as_str(), first.role), ("ci@fleet", Role::Admin));
    assert_eq!(first.expires_at, at(KNOWN_TIME + 600));
    assert_ne!(first.token_id, second.token_id);
    assert_eq!(first.token_id.len(), 22);
}

#[test]
fn it_ends_at_its_end_without_leeway() {
    let ring = known_ring();
    assert!(ring.verify_admin_token(KNOWN_TOKEN, at(KNOWN_TIME + 599)).is_ok());
    for late in [600, 601, 1_000_000] {
        let verdict = ring.verify_admin_token(KNOWN_TOKEN, at(KNOWN_TIME + late));
        assert_eq!(verdict, Err(TokenError::Expired));
    }
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_leeway() {
    let ring = known_ring();
    assert!(ring.verify_admin_token(KNOWN_TOKEN, at(KNOWN_TIME - 60)).is_ok());
    let early = ring.verify_admin_token(KNOWN_TOKEN, at(KNOWN_TIME - 61));
    assert_eq!(early, Err(TokenError::NotYetValid));
}

#[test]
fn alg_none_is_forged_with_and_without_a_signature() {
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        let bare = format!("{}.{}.", base64url(&header), base64url(CLAIMS));
        assert_eq!(refusal(&bare), TokenError::Forged);
        assert_eq!(refusal(&signed(&header, CLAIMS)), TokenError::Forged);
    }
}

#[test]
fn another_algorithm_is_forged_even_under_our_key() {
    for alg in [
        "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256", "HS256 ",
    ] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        assert_eq!(refusal(&signed(&header, CLAIMS)), TokenError::Forged);
    }
}

#[test]
fn a_header_that_names_a_key_is_forged_even_under_our_key() {
    for extra in [
        r#""kid":"../../dev/null""#,
        r#""kid":"0' UNION SELECT ''""#,
        r#""jku":"https://attacker.example/keys""#,
        r#""jwk":{"kty":"oct","k":"AA"}"#,
        r#""x5u":"https://attacker.example/cert""#,
        r#""crit":["b64"],"b64":false"#,
        r#""alg":"none""#,
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":"JWT",{extra}}}"#);
        assert_eq!(refusal(&signed(&header, CLAIMS)), TokenError::Forged);
    }
}

#[test]
fn a_claim_that_is_missing_is_malformed() {
    for name in ["iss", "sub", "role", "iat", "exp", "jti"] {
        let mut claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
        claims.as_object_mut().unwrap().remove(name);
        let token = signed(HS256, &claims.to_string());
        assert_eq!(refusal(&token), TokenError::Malformed, "without {name}");
    }
}

#[test]
fn a_claim_of_the_wrong_kind_or_value_is_malformed() {
    for (name, value) in [
        ("iss", r#""somebody""#),
        ("role", r#""root""#),
        ("role", r#"["admin"]"#),
        ("exp", "null"),
        ("exp", r#""1764000600""#),
        ("exp", "1e30"),
        ("exp", "9223372036854775807"),
        ("iat", "true"),
        ("sub", "7"),
        ("nbf", "0"),
    ] {
        let mut claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
        claims[name] = serde_json::from_str(value).unwrap();
        let token = signed(HS256, &claims.to_string());
        assert_eq!(refusal(&token), TokenError::Malformed, "{name} = {value}");
    }
    let twice = CLAIMS.replace(r#""role":"operator""#, r#""role":"viewer","role":"admin""#);
    assert_eq!(refusal(&signed(HS256, &twice)), TokenError::Malformed);
}

#[test]
fn a_raised_role_is_forged() {
    let mut parts: Vec<&str> = KNOWN_TOKEN.split('.').collect();
    let raised = base64url(CLAIMS.replace("operator", "admin"));
    parts[1] = &raised;
    assert_eq!(refusal(&parts.join(".")), TokenError::Forged);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for token in bit_flips(KNOWN_TOKEN) {
        assert!(judged(&token).is_err(), "{token}");
    }
}

#[test]
fn a_truncated_signature_is_malformed_at_every_length() {
    let start = KNOWN_TOKEN.rfind('.').unwrap() + 1;
    for end in start..KNOWN_TOKEN.len() {
        assert_eq!(refusal(&KNOWN_TOKEN[..end]), TokenError::Malformed);
    }
}

#[test]
fn another_key_is_forged_and_so_is_a_device_tokens() {
    let foreign = fresh_ring()
        .admin_token("ada", Role::Admin, minutes(1), at(KNOWN_TIME))
        .unwrap();
    assert_eq!(refusal(foreign.expose_secret()), TokenError::Forged);
    let text = format!("{}.{}", base64url(HS256), base64url(CLAIMS));
    for purpose in ["device-token", "download-url", "command"] {
        let tag = hmac_sha256(&known_sub_key(purpose), text.as_bytes());
        assert_eq!(refusal(&format!("{text}.{}", base64url(tag))), TokenError::Forged);
    }
}

#[test]
fn what_is_no_jwt_or_too_long_is_malformed() {
    let long = signed(HS256, &format!("{CLAIMS}{}", " ".repeat(MAX_ADMIN_TOKEN_BYTES)));
    for text in ["", "..", "a.b", &KNOWN_TOKEN.replace('.', ""), &long] {
        assert!(
            matches!(refusal(text), TokenError::Malformed | TokenError::Forged),
            "{text}"
        );
    }
    assert_eq!(refusal(&long), TokenError::Malformed);
    let nested = KNOWN_TOKEN.replacen('.', "..", 1);
    assert_eq!(refusal(&nested), TokenError::Forged);
}

#[test]
fn the_old_key_is_taken_while_a_rotation_lasts() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let token = KeyRing::new(&old, None)
        .admin_token("ada", Role::Viewer, minutes(5), at(0))
        .unwrap();
    let verdict = |ring: KeyRing| {
        ring.verify_admin_token(token.expose_secret(), at(1))
            .map(|c| c.role)
    };
    assert_eq!(verdict(KeyRing::new(&new, Some(&old))), Ok(Role::Viewer));
    assert_eq!(verdict(KeyRing::new(&new, None)), Err(TokenError::Forged));
}

#[test]
fn a_token_without_an_owner_or_an_end_is_not_made() {
    let ring = known_ring();
    let fault = |subject: &str, ttl| match ring.admin_token(subject, Role::Viewer, ttl, at(0)) {
        Err(Error::Invalid { what, .. }) => what,
        other => panic!("{subject:?} for {ttl} made {other:?}"),
    };
    assert_eq!(fault("", minutes(1)), "subject");
    assert_eq!(fault(&"a".repeat(129), minutes(1)), "subject");
    assert_eq!(fault("ada\nrole: admin", minutes(1)), "subject");
    assert_eq!(fault("ada", TimeDelta::zero()), "ttl");
    assert_eq!(fault("ada", minutes(-5)), "ttl");
    assert_eq!(fault("ada", TimeDelta::days(367)), "ttl");
}

proptest! {
    #[test]
    fn every_subject_role_and_life_comes_back(
        subject in "\\PC{1,32}",
        role in prop::sample::select(&Role::ALL[..]),
        ttl in 1..31_622_400_i64,
        now in 0..4_000_000_000_i64,
    ) {
        let ring = known_ring();
        let token = ring.admin_token(&subject, role, TimeDelta::seconds(ttl), at(now)).unwrap();
        prop_assert!(token.expose_secret().len() <= MAX_ADMIN_TOKEN_BYTES);
        let claims = ring.verify_admin_token(token.expose_secret(), at(now + ttl - 1)).unwrap();
        prop_assert_eq!((claims.subject, claims.role), (subject, role));
        let after = ring.verify_admin_token(token.expose_secret(), at(now + ttl));
        prop_assert_eq!(after, Err(TokenError::Expired));
    }
}

#[test]
fn the_longest_subject_fits_however_json_escapes_it() {
    let ring = known_ring();
    let subject = "\"".repeat(128);
    let token = ring
        .admin_token(&subject, Role::Operator, TimeDelta::days(366), at(KNOWN_TIME))
        .unwrap();
    assert_eq!(judged(token.expose_secret()).unwrap().subject, subject);
}

#[test]
fn a_token_may_hold_for_a_second_and_not_for_less() {
    let ring = known_ring();
    let made = |ttl| ring.admin_token("ada", Role::Viewer, ttl, at(KNOWN_TIME));
    assert!(made(TimeDelta::seconds(1)).is_ok());
    assert!(made(TimeDelta::milliseconds(999)).is_err());
}

#[test]
fn the_longest_token_is_read_and_a_longer_one_is_not() {
    let of_length = |length: usize| {
        let padded = (0..length).map(|blanks| signed(HS256, &format!("{CLAIMS}{}", " ".repeat(blanks))));
        padded.into_iter().find(|token| token.len() >= length).unwrap()
    };
    let longest = of_length(MAX_ADMIN_TOKEN_BYTES);
    assert_eq!(longest.len(), MAX_ADMIN_TOKEN_BYTES);
    assert!(judged(&longest).is_ok());
    let longer = of_length(MAX_ADMIN_TOKEN_BYTES + 1);
    assert_eq!(refusal(&longer), TokenError::Malformed);
}
