//! Operators' passwords.

use tidegate_signing::{Error, SecretString, hash_password, verify_password};

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[test]
fn a_password_is_kept_as_argon2id_and_recognised() {
    let hash = hash_password(&secret("pässword-1")).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(verify_password(&secret("pässword-1"), Some(&hash)));
    assert!(!verify_password(&secret("pässword-2"), Some(&hash)));
    assert!(!verify_password(&secret(""), Some(&hash)));
}

#[test]
fn the_same_password_is_never_kept_alike() {
    let [one, two] = [(); 2].map(|()| hash_password(&secret("password-1")).unwrap());
    assert_ne!(one, two);
}

#[test]
fn nobody_logs_in_as_a_user_who_does_not_exist() {
    assert!(!verify_password(&secret("password-1"), None));
    assert!(
        !verify_password(&secret("nobody"), None),
        "not even with the stand-in's own password"
    );
}

#[test]
fn a_stored_hash_that_is_none_lets_nobody_in() {
    for hash in [
        "",
        "password-1",
        "$argon2id$",
        "$plain$password-1",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$",
    ] {
        assert!(!verify_password(&secret("password-1"), Some(hash)), "{hash}");
    }
}

#[test]
fn a_password_that_is_too_short_or_too_long_is_refused() {
    for text in ["", "hunter2", &"a".repeat(257)] {
        let refused = hash_password(&secret(text)).unwrap_err();
        let expected = Error::Invalid {
            what: "password",
            fault: "must have 8 to 256 bytes".to_owned(),
        };
        assert_eq!(refused, expected);
    }
    let hash = hash_password(&secret("password-1")).unwrap();
    assert!(!verify_password(&secret(&"a".repeat(1 << 20)), Some(&hash)));
}

#[test]
fn the_longest_password_is_recognised() {
    let longest = secret(&"a".repeat(256));
    let hash = hash_password(&longest).unwrap();
    assert!(verify_password(&longest, Some(&hash)));
}
