//! A command travels through somebody else's push service; the agent takes it only from us, once, and in time.

#![allow(clippy::disallowed_methods, reason = "a test may look at any clock")]

use chrono::Utc;
use proptest::prelude::*;
use serde::Deserialize;
use tidegate_signing::{
    Command, CommandError, CommandKey, CommandKeys, CommandMemory, CommandVerifier, Error, ExposeSecret,
    KeyRing, MasterKey, sign_command,
};

use crate::{DEVICE_IDS, KNOWN_TIME, at, bit_flips, device, fresh_ring, known_ring};

#[derive(Deserialize)]
struct Vectors {
    commands: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    key: String,
    #[serde(flatten)]
    command: Command,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../vectors/command-hmac.json");
    serde_json::from_str::<Vectors>(text).unwrap().commands
}

/// A key from the shared vectors, an agent that holds it, and a command for that agent.
fn key() -> CommandKey {
    CommandKey::from_text("test-secret").unwrap()
}

pub(crate) fn agent() -> CommandVerifier {
    CommandVerifier::new(device("abc123"), CommandKeys::one(key()))
}

pub(crate) fn update(request_id: &str, sent: i64) -> Command {
    sign_command(&key(), "update", request_id, &device("abc123"), at(sent)).unwrap()
}

#[test]
fn commands_sign_as_agents_in_the_field_expect() {
    for Vector { key, command } in vectors() {
        let key = CommandKey::from_text(&key).unwrap();
        let now = command.ts.parse().unwrap();
        let device = device(&command.device_id);
        let signed = sign_command(&key, &command.action, &command.request_id, &device, now).unwrap();
        assert_eq!(signed, command);
        assert_eq!(signed.hmac, command.hmac);
        let mut agent = CommandVerifier::new(device, CommandKeys::one(key));
        assert_eq!(agent.verify(&command, now), Ok(()));
    }
}

#[test]
fn a_command_travels_as_five_texts() {
    let json = serde_json::to_value(update("req-1", KNOWN_TIME)).unwrap();
    let fields = json.as_object().unwrap();
    assert!(fields.values().all(serde_json::Value::is_string));
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["action", "device_id", "hmac", "request_id", "ts"]
    );
    assert_eq!(fields["ts"], "2025-11-24T16:00:00Z");
}

#[test]
fn a_changed_field_is_forged() {
    let change: [fn(&mut Command); 4] = [
        |c| c.action = "wipe".to_owned(),
        |c| c.request_id = "req-2".to_owned(),
        |c| c.ts = "2025-11-24T16:00:01Z".to_owned(),
        |c| c.ts = "2025-11-24T16:00:00+00:00".to_owned(),
    ];
    for change in change {
        let mut command = update("req-1", KNOWN_TIME);
        change(&mut command);
        assert_eq!(
            agent().verify(&command, at(KNOWN_TIME)),
            Err(CommandError::Forged)
        );
    }
}

#[test]
fn a_flipped_bit_in_the_signature_is_forged() {
    let good = update("req-1", KNOWN_TIME);
    for hmac in bit_flips(&good.hmac) {
        let command = Command { hmac, ..good.clone() };
        assert_eq!(
            agent().verify(&command, at(KNOWN_TIME)),
            Err(CommandError::Forged)
        );
    }
}

#[test]
fn a_truncated_an_empty_or_an_upper_case_signature_is_forged() {
    let good = update("req-1", KNOWN_TIME);
    for hmac in [
        String::new(),
        good.hmac[..32].to_owned(),
        good.hmac[..63].to_owned(),
        good.hmac.to_uppercase(),
    ] {
        let command = Command { hmac, ..good.clone() };
        assert_eq!(
            agent().verify(&command, at(KNOWN_TIME)),
            Err(CommandError::Forged)
        );
    }
}

#[test]
fn another_key_is_forged() {
    let other = CommandKey::from_text("test-secret-2").unwrap();
    let command = sign_command(&other, "update", "req-1", &device("abc123"), at(KNOWN_TIME)).unwrap();
    assert_eq!(
        agent().verify(&command, at(KNOWN_TIME)),
        Err(CommandError::Forged)
    );
}

#[test]
fn another_devices_command_is_foreign_even_under_a_shared_key() {
    let command = sign_command(&key(), "update", "req-1", &device("abc124"), at(KNOWN_TIME)).unwrap();
    assert_eq!(
        agent().verify(&command, at(KNOWN_TIME)),
        Err(CommandError::Foreign)
    );
}

#[test]
fn an_id_that_only_looks_alike_is_foreign() {
    let composed = device("Gerät");
    let decomposed = device("Gera\u{308}t");
    let command = sign_command(&key(), "update", "req-1", &decomposed, at(KNOWN_TIME)).unwrap();
    let mut agent = CommandVerifier::new(composed.clone(), CommandKeys::one(key()));
    assert_eq!(agent.verify(&command, at(KNOWN_TIME)), Err(CommandError::Foreign));
    let relabelled = Command {
        device_id: composed.to_string(),
        ..command
    };
    assert_eq!(
        agent.verify(&relabelled, at(KNOWN_TIME)),
        Err(CommandError::Forged)
    );
}

#[test]
fn a_separator_inside_a_field_is_not_signed() {
    for (action, request_id) in [
        ("update|x", "req-1"),
        ("update", "a|b"),
        ("", "req-1"),
        ("update", ""),
    ] {
        let refused = sign_command(&key(), action, request_id, &device("abc123"), at(0));
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{action:?} {request_id:?}"
        );
    }
}

#[test]
fn a_separator_spliced_into_a_field_is_not_taken() {
    // Both commands cover the text `a|abc123|update|…`; only one of them is the command that was signed.
    let good = update("a", KNOWN_TIME);
    let spliced = Command {
        request_id: "a|abc123".to_owned(),
        device_id: "update".to_owned(),
        action: good.ts.clone(),
        ts: String::new(),
        ..good.clone()
    };
    assert_eq!(
        agent().verify(&spliced, at(KNOWN_TIME)),
        Err(CommandError::Malformed)
    );
    let shifted = Command {
        action: format!("update|{}", good.ts),
        ..good
    };
    assert_eq!(
        agent().verify(&shifted, at(KNOWN_TIME)),
        Err(CommandError::Malformed)
    );
}

#[test]
fn a_field_that_is_no_time_or_too_long_is_malformed() {
    let good = update("req-1", KNOWN_TIME);
    let change: [fn(&mut Command); 6] = [
        |c| c.ts = "yesterday".to_owned(),
        |c| c.ts = "1764000000".to_owned(),
        |c| c.ts = format!("2025-11-24T16:00:00.{}Z", "0".repeat(1000)),
        |c| c.request_id = "a".repeat(65),
        |c| c.action = "a".repeat(33),
        |c| c.request_id = "a\nb".to_owned(),
    ];
    for change in change {
        let mut command = good.clone();
        change(&mut command);
        assert_eq!(
            agent().verify(&command, at(KNOWN_TIME)),
            Err(CommandError::Malformed)
        );
    }
}

#[test]
fn each_device_has_its_own_key() {
    let ring = known_ring();
    let keys = ring.command_keys(&device("Gerät-ü"), 0);
    let text = keys.primary.text().expose_secret();
    assert_eq!(
        text,
        "ba7a0b3fbcfb369fee1ac6d9547fd03d14b2e62f99693f86ffecabbdbef7f59f"
    );
    assert!(keys.rotation.is_none());
    let other = ring.command_keys(&device("Gerät-u"), 0);
    assert_ne!(other.primary.text().expose_secret(), text);
}

#[test]
fn each_enrolment_of_a_device_has_its_own_key() {
    let ring = known_ring();
    let key = |generation| {
        let keys = ring.command_keys(&device("Gerät-ü"), generation);
        keys.primary.text().expose_secret().to_owned()
    };
    let keys = [0, 1, 2, u32::MAX].map(key);
    for (n, one) in keys.iter().enumerate() {
        assert!(!keys[n + 1..].contains(one), "{n}");
    }
    assert_eq!(
        keys[1],
        "aea774beab4306fa5225f942aa371d8a4d4946072dd17a2ac0012b606c8502fd"
    );
}

#[test]
fn an_agent_that_enrolled_during_a_rotation_takes_both_sides_commands() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let phone = device("abc123");
    let announced = KeyRing::new(&old, Some(&new));
    let mut agent = CommandVerifier::new(phone.clone(), announced.command_keys(&phone, 0));
    let now = at(KNOWN_TIME);
    let mut send = |ring: &KeyRing, id: &str| {
        let keys = ring.command_keys(&phone, 0);
        agent.verify(
            &sign_command(&keys.primary, "update", id, &phone, now).unwrap(),
            now,
        )
    };
    assert_eq!(send(&announced, "before"), Ok(()));
    assert_eq!(send(&KeyRing::new(&new, Some(&old)), "swapped"), Ok(()));
    assert_eq!(send(&fresh_ring(), "stranger"), Err(CommandError::Forged));
}

#[test]
fn an_agent_that_enrolled_before_a_rotation_takes_commands_until_its_key_is_dropped() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let phone = device("abc123");
    let mut agent = CommandVerifier::new(phone.clone(), KeyRing::new(&old, None).command_keys(&phone, 0));
    let now = at(KNOWN_TIME);
    let mut send = |ring: &KeyRing, id: &str| {
        let keys = ring.command_keys(&phone, 0);
        let mut command = sign_command(&keys.primary, "update", id, &phone, now).unwrap();
        if let Some(rotation) = &keys.rotation {
            command = command.also_signed(rotation);
        }
        agent.verify(&command, now)
    };
    assert_eq!(send(&KeyRing::new(&old, Some(&new)), "announced"), Ok(()));
    assert_eq!(send(&KeyRing::new(&new, Some(&old)), "swapped"), Ok(()));
    let strangers = KeyRing::new(&MasterKey::generate().unwrap(), Some(&new));
    assert_eq!(send(&strangers, "strangers"), Err(CommandError::Forged));
    assert_eq!(
        send(&KeyRing::new(&new, None), "dropped"),
        Err(CommandError::Forged)
    );
}

#[test]
fn a_fleet_with_a_shared_key_uses_it_for_every_device() {
    let ring = fresh_ring().with_shared_command_keys(CommandKeys::one(key()));
    for id in ["abc123", "dev-001"] {
        let keys = ring.command_keys(&device(id), 0);
        assert_eq!(keys.primary.text().expose_secret(), "test-secret");
    }
}

#[test]
fn a_command_key_that_is_too_short_or_too_long_is_refused_without_being_repeated() {
    for text in ["", "hunter2", &"h".repeat(257)] {
        let fault = CommandKey::from_text(text).unwrap_err().to_string();
        assert_eq!(fault, "command_key must have 8 to 256 bytes");
    }
}

proptest! {
    #[test]
    fn every_command_is_taken_by_its_agent_and_by_no_other(
        id in DEVICE_IDS,
        other in DEVICE_IDS,
        action in "[a-z_]{1,32}",
        request_id in "[^|\\p{C}]{1,16}",
        sent in 0..4_000_000_000_i64,
    ) {
        let ring = known_ring();
        let phone = device(&id);
        let keys = ring.command_keys(&phone, 0);
        let command = sign_command(&keys.primary, &action, &request_id, &phone, at(sent)).unwrap();
        let mut agent = CommandVerifier::new(phone, keys);
        prop_assert_eq!(agent.verify(&command, at(sent)), Ok(()));
        if other != id {
            let mut stranger = CommandVerifier::new(device(&other), ring.command_keys(&device(&other), 0));
            prop_assert_eq!(stranger.verify(&command, at(sent)), Err(CommandError::Foreign));
            let relabelled = Command { device_id: other, ..command };
            prop_assert_eq!(stranger.verify(&relabelled, at(sent)), Err(CommandError::Forged));
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(fields in prop::array::uniform5("\\PC{0,40}")) {
        let [request_id, ts, action, hmac, rotation] = fields;
        let hmac_rotation = Some(rotation);
        let command = Command { action, request_id, device_id: "abc123".to_owned(), ts, hmac, hmac_rotation };
        prop_assert!(agent().verify(&command, Utc::now()).is_err());
    }
}

/// An agent that keeps its memory over a restart refuses what it took before; one that lost it takes nothing that
/// could have been taken.
#[test]
fn a_memory_outlives_the_verifier_that_made_it() {
    let now = at(KNOWN_TIME);
    let mut before = agent();
    assert_eq!(before.verify(&update("req-1", KNOWN_TIME), now), Ok(()));
    let kept = serde_json::to_string(before.memory()).unwrap();

    let memory: CommandMemory = serde_json::from_str(&kept).unwrap();
    assert_eq!(&memory, before.memory());
    let mut after = agent().with_memory(memory);
    assert_eq!(
        after.verify(&update("req-1", KNOWN_TIME), now),
        Err(CommandError::Replayed)
    );
    assert_eq!(after.verify(&update("req-2", KNOWN_TIME), now), Ok(()));

    let mut forgetful = agent().with_memory(CommandMemory::lost(now));
    assert_eq!(
        forgetful.verify(&update("req-1", KNOWN_TIME), now),
        Err(CommandError::Stale)
    );
    assert_eq!(forgetful.verify(&update("req-3", KNOWN_TIME + 1), now), Ok(()));
}

#[test]
fn a_time_of_any_precision_is_read_up_to_its_longest_spelling() {
    let with_digits = |digits: usize| {
        let mut command = update("req-1", KNOWN_TIME);
        command.ts = format!("2025-11-24T16:00:00.{}+00:00", "0".repeat(digits));
        let text = format!("req-1|abc123|update|{}", command.ts);
        let tag = crate::hmac_sha256(b"test-secret", text.as_bytes());
        command.hmac = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        (command.ts.len(), agent().verify(&command, at(KNOWN_TIME)))
    };
    assert_eq!(with_digits(9), (35, Ok(())));
    assert_eq!(with_digits(14), (40, Ok(())));
    assert_eq!(with_digits(15), (41, Err(CommandError::Malformed)));
}

#[test]
fn a_command_that_bears_two_good_signatures_is_taken() {
    let twice = update("req-1", KNOWN_TIME).also_signed(&key());
    assert_eq!(agent().verify(&twice, at(KNOWN_TIME)), Ok(()));
}
