//! Nothing secret prints itself, however deep in somebody's `{:?}` it lies.

use chrono::TimeDelta;
use tidegate_domain::{BuildId, Role, RolloutId};
use tidegate_signing::{
    BcryptHash, CommandKey, CommandKeys, CommandVerifier, ExposeSecret, MasterKey, new_enroll_token,
    sign_command,
};

use crate::passwords::OF_ANOTHER_SERVER;
use crate::{KNOWN_MASTER, at, device, known_ring, known_sub_key};

/// The value's debug text, plain and pretty, must contain none of the secrets, in text, hex or bytes.
fn assert_silent(value: &dyn std::fmt::Debug, secrets: &[&str]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for secret in secrets {
            let bytes = format!("{:?}", secret.as_bytes());
            let shown = [*secret, bytes.trim_matches(['[', ']'])];
            assert!(!shown.iter().any(|s| text.contains(s)), "{text} shows a secret");
        }
    }
}

#[test]
fn a_master_key_is_silent() {
    let key = MasterKey::from_text(KNOWN_MASTER).unwrap();
    assert_silent(&key, &[KNOWN_MASTER.trim_end_matches('='), "1, 2, 3", "000102"]);
    assert_silent(&key.to_text(), &[KNOWN_MASTER.trim_end_matches('=')]);
}

#[test]
fn a_key_ring_is_silent() {
    let derived = format!("{:?}", known_sub_key("device-token"));
    let ring = known_ring();
    let commands = ring.command_keys(&device("abc123"), 0);
    let text = commands.primary.text().expose_secret().to_owned();
    assert_silent(&ring, &[KNOWN_MASTER, &derived]);
    assert_silent(&commands, &[&text]);
    let shared = known_ring().with_shared_command_keys(commands);
    assert_silent(&shared, &[&text]);
}

#[test]
fn command_keys_and_those_who_hold_them_are_silent() {
    let key = CommandKey::from_text("test-secret").unwrap();
    assert_silent(&key, &["test-secret"]);
    assert_silent(key.text(), &["test-secret"]);
    let command = sign_command(&key, "update", "req-1", &device("abc123"), at(0)).unwrap();
    assert_silent(&command, &[&command.hmac]);
    let agent = CommandVerifier::new(device("abc123"), CommandKeys::one(key));
    assert_silent(&agent, &["test-secret"]);
}

#[test]
fn tokens_are_silent() {
    let ring = known_ring();
    let phone = device("abc123");
    let (enroll, _) = new_enroll_token().unwrap();
    let admin = ring
        .admin_token("ada", Role::Admin, TimeDelta::hours(1), at(0))
        .unwrap();
    for token in [ring.device_token(&phone, 1), enroll, admin] {
        assert_silent(&token, &[token.expose_secret()]);
    }
    let query = ring.sign_download(BuildId(1), RolloutId(7), "abc123", 1, at(100));
    assert_silent(&query, &[&query.signature]);
}

#[test]
fn an_error_does_not_repeat_what_it_refuses() {
    let refused = MasterKey::from_text("c2VjcmV0").unwrap_err();
    assert_silent(&refused, &["c2VjcmV0"]);
    assert!(!refused.to_string().contains("c2VjcmV0"));
}

/// What prints nothing at all would be silent, too, and of no help to who reads a log.
#[test]
fn what_holds_a_secret_still_says_what_it_is() {
    let ring = known_ring();
    let phone = device("abc123");
    let token = ring.device_token(&phone, 7);
    let claims = ring.verify_device_token(token.expose_secret()).unwrap();
    let key = CommandKey::from_text("test-secret").unwrap();
    let command = sign_command(&key, "update", "req-1", &phone, at(0)).unwrap();
    let query = ring.sign_download(BuildId(1), RolloutId(7), "abc123", 1, at(100));
    let master = MasterKey::from_text(KNOWN_MASTER).unwrap();
    let hash = BcryptHash::parse(OF_ANOTHER_SERVER).unwrap();
    assert_silent(&hash, &[OF_ANOTHER_SERVER, &OF_ANOTHER_SERVER[7..]]);
    for (text, words) in [
        (format!("{hash:?}"), "BcryptHash(…)"),
        (format!("{master:?}"), "MasterKey(…)"),
        (format!("{key:?}"), "CommandKey(…)"),
        (format!("{ring:?}"), "KeyRing { rotating: false"),
        (
            format!("{claims:?}"),
            "DeviceTokenClaims { device: \"abc123\", generation: 7 }",
        ),
        (
            format!("{command:?}"),
            "Command { action: \"update\", request_id: \"req-1\"",
        ),
        (
            format!("{query:?}"),
            "DownloadQuery { device_id: \"abc123\", rollout_id: Some(7), expires: 100",
        ),
    ] {
        assert!(text.starts_with(words), "{text}");
    }
}
