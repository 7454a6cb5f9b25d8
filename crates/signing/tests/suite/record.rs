//! The record's secret: who can open it, and what its signature covers.

use tidegate_signing::{Head, KeyRing, MasterKey, RecordSecret};

use crate::{KNOWN_TIME, base64url, fresh_ring, known_ring};

/// By what the known ring's master key is named.
const KNOWN_NAME: &str = "484646445b3ad3aa";

/// The record's secret of the fixed example, the bytes 64 to 127, as the known ring's master key encrypts it under a
/// nonce of sevens.
const KNOWN_WRAPPED: [u8; 92] = [
    0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x7b, 0x30, 0xe8, 0x78, 0x9a,
    0x67, 0x44, 0xb4, 0xb3, 0x30, 0xa5, 0x1a, 0xae, 0xca, 0x41, 0xf4, 0x35, 0xcc, 0xed, 0xbd, 0x60, 0x97,
    0x11, 0x84, 0x36, 0xc1, 0x78, 0x6a, 0x9d, 0x6e, 0x60, 0x56, 0xd1, 0x50, 0x04, 0xd2, 0x5b, 0x79, 0x86,
    0x87, 0xd1, 0x85, 0x93, 0x08, 0x7a, 0x35, 0x71, 0x7c, 0x13, 0x4a, 0x91, 0x1a, 0xdd, 0x29, 0x13, 0x64,
    0x80, 0x28, 0x3c, 0xac, 0xe1, 0x24, 0xd0, 0x4a, 0x4d, 0x25, 0x76, 0x26, 0xa7, 0x45, 0x80, 0x5c, 0x6f,
    0x84, 0xf7, 0x5f, 0x27, 0x0b, 0x01, 0x27,
];

fn opened(ring: &KeyRing, wrapped: &[(String, Vec<u8>)]) -> Option<[u8; 32]> {
    let parts = wrapped
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let secret = ring.open_record(parts)?;
    Some(*secret.mac_key())
}

#[test]
fn what_was_encrypted_once_can_always_be_opened_and_verified() {
    assert_eq!(known_ring().master_key_names(), [KNOWN_NAME]);
    let secret = known_ring()
        .open_record([(KNOWN_NAME, &KNOWN_WRAPPED[..])])
        .unwrap();
    let first_half: Vec<u8> = (64..96).collect();
    assert_eq!(secret.mac_key()[..], first_half[..]);
    assert_eq!(
        base64url(secret.public_key()),
        "F0VTtFbd38aQjsqxwQH-arIeK6oGF3lbfUOmNIKZP9U"
    );
    let head = Head {
        seq: 7,
        hash: [1; 32],
        signed_at: KNOWN_TIME,
    };
    assert_eq!(
        base64url(secret.sign(&head)),
        "RVCizUUrRYtTSa4Pl04cPBPR-Cj4SCIK-l1fI0nQxbEbqvgYa00bP-MjaAOCynfo869NTAomfq396Y9QE0WlCw"
    );
}

#[test]
fn each_secret_is_drawn_anew() {
    let secrets = [(); 2].map(|()| RecordSecret::generate().unwrap());
    assert_ne!(secrets[0].mac_key(), secrets[1].mac_key());
    assert_ne!(secrets[0].public_key(), secrets[1].public_key());
}

#[test]
fn master_keys_are_told_apart_by_their_names_and_the_primary_comes_first() {
    let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let name = |key| KeyRing::new(key, None).master_key_names()[0].to_owned();
    assert_ne!(name(&old), name(&new));
    for (primary, rotation) in [(&old, &new), (&new, &old)] {
        let ring = KeyRing::new(primary, Some(rotation));
        assert_eq!(ring.master_key_names(), [name(primary), name(rotation)]);
    }
}

#[test]
fn each_master_key_of_the_ring_opens_the_secret_and_no_other() {
    let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let secret = RecordSecret::generate().unwrap();
    let both = KeyRing::new(&old, Some(&new));
    let wrapped = both.wrap_record(&secret).unwrap();
    assert_eq!(wrapped.len(), 2);
    for ring in [KeyRing::new(&old, None), KeyRing::new(&new, None), both] {
        assert_eq!(opened(&ring, &wrapped), Some(*secret.mac_key()));
    }
    assert_eq!(opened(&fresh_ring(), &wrapped), None);
    // Under another's name.
    let other = fresh_ring();
    let renamed = [(other.master_key_names()[0].to_owned(), wrapped[0].1.clone())];
    assert_eq!(opened(&other, &renamed), None);
}

#[test]
fn a_changed_byte_closes_the_secret() {
    let ring = fresh_ring();
    let wrapped = ring.wrap_record(&RecordSecret::generate().unwrap()).unwrap();
    for at in 0..wrapped[0].1.len() {
        let mut changed = wrapped.clone();
        changed[0].1[at] ^= 1;
        assert_eq!(opened(&ring, &changed), None, "byte {at}");
    }
    for length in [0, 11, 12, 40, 91] {
        let cut = [(wrapped[0].0.clone(), wrapped[0].1[..length].to_vec())];
        assert_eq!(opened(&ring, &cut), None, "{length} bytes");
    }
}

#[test]
fn a_signature_is_of_one_head_and_one_secret() {
    let secret = RecordSecret::generate().unwrap();
    let head = Head {
        seq: 7,
        hash: [1; 32],
        signed_at: 1_800_000_000,
    };
    let signature = secret.sign(&head);
    assert!(head.is_signed(&secret.public_key(), &signature));
    for other in [
        Head { seq: 8, ..head },
        Head {
            hash: [2; 32],
            ..head
        },
        Head { signed_at: 0, ..head },
    ] {
        assert!(!other.is_signed(&secret.public_key(), &signature), "{other:?}");
    }
    let stranger = RecordSecret::generate().unwrap();
    assert!(!head.is_signed(&stranger.public_key(), &signature));
    assert!(!head.is_signed(&[], &signature) && !head.is_signed(&secret.public_key(), b""));
    assert_eq!(format!("{secret:?}"), "RecordSecret(…)");
}
