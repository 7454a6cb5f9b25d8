//! The record's secret: who can open it, and what its signature covers.

use tidegate_signing::{Head, KeyRing, MasterKey, RecordSecret};

use crate::fresh_ring;

fn opened(ring: &KeyRing, wrapped: &[(String, Vec<u8>)]) -> Option<[u8; 32]> {
    let parts = wrapped
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let secret = ring.open_record(parts)?;
    Some(*secret.mac_key())
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
