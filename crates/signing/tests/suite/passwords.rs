//! Operators' passwords.

use tidegate_signing::{
    BcryptHash, Error, PreviousTokenHash, SecretString, hash_password, is_imported_password, verify_password,
};

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

/// Of "correct horse", made by another implementation's bcrypt at the cost 4.
pub(crate) const OF_ANOTHER_SERVER: &str = "$2b$04$T37bvSSHMNFM3.OggtCDEOvisCxuUY8PcACbgB5liVgfHenDH0hA2";

#[test]
fn a_password_of_another_server_is_checked_by_its_bcrypt_hash() {
    let right = SecretString::from("correct horse");
    let wrong = SecretString::from("correct house");
    assert!(verify_password(&right, Some(OF_ANOTHER_SERVER)));
    assert!(!verify_password(&wrong, Some(OF_ANOTHER_SERVER)));
    assert!(is_imported_password(OF_ANOTHER_SERVER));
    assert!(!is_imported_password(&hash_password(&right).unwrap()));
}

#[test]
fn a_bcrypt_hash_that_would_keep_the_server_busy_is_not_taken() {
    let of_cost = |cost: &str| OF_ANOTHER_SERVER.replace("$04$", &format!("${cost}$"));
    for cost in ["04", "10", "14"] {
        assert!(BcryptHash::parse(&of_cost(cost)).is_ok(), "{cost}");
    }
    for other in [
        of_cost("03"),
        of_cost("15"),
        of_cost("31"),
        of_cost("99"),
        OF_ANOTHER_SERVER.replace("$2b$", "$2x$"),
        OF_ANOTHER_SERVER[..59].to_owned(),
        String::new(),
        "$argon2id$v=19$m=19456,t=2,p=1$AAAA$BBBB".to_owned(),
    ] {
        let refused = BcryptHash::parse(&other).unwrap_err().to_string();
        assert!(refused.starts_with("bcrypt "), "{refused}");
        assert!(
            !verify_password(&SecretString::from("correct horse"), Some(&other)),
            "{other}"
        );
    }
}

#[test]
fn a_previous_token_is_known_by_either_hash() {
    let sha256 = "a2f2ed4f8ebc2cbb4c21a29dc40ab61d4df6a26d2f3a1f1dfbd7bd0cbb0cf2b0";
    let other = PreviousTokenHash::from_hex(sha256).unwrap();
    assert!(!other.verify("old-token") && !other.is_slow());
    let of_token = ring::digest::digest(&ring::digest::SHA256, b"old-token");
    let hex: String = of_token
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let hash = PreviousTokenHash::from_hex(&hex).unwrap();
    assert!(hash.verify("old-token") && !hash.verify("old-token "));
    let slow = PreviousTokenHash::from_bcrypt(OF_ANOTHER_SERVER).unwrap();
    assert!(slow.verify("correct horse") && slow.is_slow() && !slow.verify(""));
    for hash in [hash, slow] {
        assert_eq!(
            PreviousTokenHash::from_stored(&hash.to_stored()),
            Ok(hash.clone())
        );
        assert_eq!(format!("{hash:?}"), "PreviousTokenHash(…)");
    }
    for other in ["", "sha256:", "xyz", &sha256[..63]] {
        assert!(PreviousTokenHash::from_hex(other).is_err(), "{other}");
        assert!(PreviousTokenHash::from_stored(other).is_err(), "{other}");
    }
}
