//! The master key's text, as it stands in a file or a variable.

use proptest::prelude::*;
use tidegate_signing::{Error, ExposeSecret, KeyRing, MasterKey};

use crate::{KNOWN_MASTER, base64url, device};

fn fault(text: &str) -> String {
    match MasterKey::from_text(text) {
        Err(
            error @ Error::Invalid {
                what: "master_key", ..
            },
        ) => error.to_string(),
        other => panic!("{text:?} made {other:?}"),
    }
}

/// Two texts are the same key when they make the same token.
fn token(key: &MasterKey) -> String {
    let ring = KeyRing::new(key, None);
    ring.device_token(&device("abc123"), 1).expose_secret().to_owned()
}

#[test]
fn one_key_may_be_written_in_many_ways() {
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let known = token(&MasterKey::from_text(KNOWN_MASTER).unwrap());
    for text in [
        hex,
        &hex.to_uppercase(),
        KNOWN_MASTER.trim_end_matches('='),
        &format!("  {KNOWN_MASTER}\r\n"),
    ] {
        assert_eq!(token(&MasterKey::from_text(text).unwrap()), known, "{text}");
    }
    let both = ["+/".repeat(22), "-_".repeat(22)].map(|text| MasterKey::from_text(&text).unwrap());
    assert_eq!(token(&both[0]), token(&both[1]));
}

#[test]
fn a_key_file_reads_back_what_it_was_given() {
    let key = MasterKey::generate().unwrap();
    let read = MasterKey::from_text(key.to_text().expose_secret()).unwrap();
    assert_eq!(token(&read), token(&key));
    assert_ne!(token(&MasterKey::generate().unwrap()), token(&key));
}

#[test]
fn a_key_that_protects_nothing_is_refused_with_its_fault() {
    assert_eq!(fault(""), "master_key is empty");
    assert_eq!(fault(" \n"), "master_key is empty");
    assert_eq!(
        fault("c2hvcnQ="),
        "master_key has only 5 bytes; it needs 32 or more"
    );
    assert_eq!(
        fault(&"ab".repeat(31)),
        "master_key has only 31 bytes; it needs 32 or more"
    );
    assert_eq!(fault(&"00".repeat(32)), "master_key is one byte repeated");
    assert_eq!(fault(&"ab".repeat(65)), "master_key is longer than 64 bytes");
    assert_eq!(fault(&"A".repeat(1 << 20)), "master_key is longer than 64 bytes");
}

#[test]
fn what_is_neither_hex_nor_base64_is_refused_and_not_repeated() {
    let odd = "abc".repeat(21);
    for text in ["correct horse battery staple, again and again", "schlüssel", &odd] {
        let fault = fault(text);
        assert!(
            fault.starts_with("master_key is neither hex nor base64"),
            "{fault}"
        );
        assert!(!fault.contains(text));
    }
}

#[test]
fn the_two_keys_of_a_rotation_are_not_interchangeable_when_signing() {
    let [a, b] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let token = |ring: KeyRing| ring.device_token(&device("abc123"), 1).expose_secret().to_owned();
    assert_eq!(token(KeyRing::new(&a, Some(&b))), token(KeyRing::new(&a, None)));
    assert_ne!(
        token(KeyRing::new(&a, Some(&b))),
        token(KeyRing::new(&b, Some(&a)))
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        drop(MasterKey::from_text(&text));
    }
}

#[test]
fn the_longest_key_is_taken_and_a_longer_one_is_called_too_long() {
    let hex = |bytes: u8| -> String { (0..bytes).map(|byte| format!("{byte:02x}")).collect() };
    let base64 = |bytes: u8| base64url((0..bytes).collect::<Vec<u8>>());
    assert!(MasterKey::from_text(&hex(64)).is_ok());
    assert!(MasterKey::from_text(&base64(64)).is_ok());
    let too_long = fault(&hex(65));
    assert_eq!(fault(&base64(65)), too_long);
    assert_eq!(fault(&"+".repeat(129)), too_long, "it is not even read");
}
