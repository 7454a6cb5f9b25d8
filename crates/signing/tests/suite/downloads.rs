//! A download URL lets one device fetch one build for a while.

use proptest::prelude::*;
use tidegate_domain::{BuildId, RolloutId};
use tidegate_signing::{DownloadError, DownloadQuery, KeyRing, MasterKey};

use crate::{KNOWN_TIME, at, bit_flips, fresh_ring, known_ring};

const BUILD: BuildId = BuildId(42);
const ROLLOUT: RolloutId = RolloutId(7);

fn known_query() -> DownloadQuery {
    known_ring().sign_download(BUILD, ROLLOUT, "Gerät-ü", 1, at(KNOWN_TIME))
}

/// The verdict a second before the end, so that only what was altered can be at fault.
fn verdict(build: BuildId, query: &DownloadQuery) -> Result<(), DownloadError> {
    known_ring().verify_download(build, query, 1, at(KNOWN_TIME - 1))
}

#[test]
fn the_query_is_the_documented_one() {
    assert_eq!(
        known_query().to_string(),
        "device_id=Ger%C3%A4t-%C3%BC&rollout_id=7&expires=1764000000&signature=tLf52HvaRVjAGnpyUqoKMogDm2pHWFvidlK2onkQln4"
    );
    assert_eq!(verdict(BUILD, &known_query()), Ok(()));
}

/// As the version before signed it: what it handed out holds over an upgrade.
#[test]
fn a_url_that_names_no_rollout_is_accepted_as_before() {
    let earlier = DownloadQuery {
        device_id: "Gerät-ü".to_owned(),
        rollout_id: None,
        expires: KNOWN_TIME,
        signature: "x18CMZ0xmoe3g1aOfQVx6UTrLpM1TsUn08jnyT85xm8".to_owned(),
    };
    assert_eq!(verdict(BUILD, &earlier), Ok(()));
    let named = DownloadQuery {
        rollout_id: Some(7),
        ..earlier
    };
    assert_eq!(verdict(BUILD, &named), Err(DownloadError::Tampered));
}

#[test]
fn another_rollout_or_none_is_tampering() {
    for other in [None, Some(0), Some(8), Some(-7), Some(i64::MAX)] {
        let query = DownloadQuery {
            rollout_id: other,
            ..known_query()
        };
        assert_eq!(verdict(BUILD, &query), Err(DownloadError::Tampered), "{other:?}");
    }
}

#[test]
fn a_patchs_url_is_for_that_patch_and_no_file() {
    let base = BuildId(41);
    let query = known_ring().sign_patch((BUILD, base), ROLLOUT, "Gerät-ü", 1, at(KNOWN_TIME));
    let judged =
        |between, query: &DownloadQuery| known_ring().verify_patch(between, query, 1, at(KNOWN_TIME - 1));
    assert_eq!(judged((BUILD, base), &query), Ok(()));
    assert_eq!(verdict(BUILD, &query), Err(DownloadError::Tampered), "the file");
    assert_eq!(verdict(base, &query), Err(DownloadError::Tampered), "the base");
    for between in [
        (BUILD, BuildId(40)),
        (BuildId(43), base),
        (base, BUILD),
        (BUILD, BUILD),
    ] {
        assert_eq!(
            judged(between, &query),
            Err(DownloadError::Tampered),
            "{between:?}"
        );
    }
    assert_eq!(
        judged((BUILD, base), &known_query()),
        Err(DownloadError::Tampered),
        "a file's URL"
    );
    let other = DownloadQuery {
        device_id: "Gerät-u".to_owned(),
        ..query.clone()
    };
    assert_eq!(judged((BUILD, base), &other), Err(DownloadError::Tampered));
    let nobodys = DownloadQuery {
        rollout_id: None,
        ..query.clone()
    };
    assert_eq!(judged((BUILD, base), &nobodys), Err(DownloadError::Malformed));
    let late = known_ring().verify_patch((BUILD, base), &query, 1, at(KNOWN_TIME));
    assert_eq!(late, Err(DownloadError::Expired));
    let revoked = known_ring().verify_patch((BUILD, base), &query, 2, at(KNOWN_TIME - 1));
    assert_eq!(revoked, Err(DownloadError::Tampered));
}

#[test]
fn it_ends_with_the_tokens_of_its_generation() {
    let query = known_query();
    let judged = |generation| known_ring().verify_download(BUILD, &query, generation, at(KNOWN_TIME - 1));
    assert_eq!(judged(1), Ok(()));
    assert_eq!(judged(2), Err(DownloadError::Tampered));
}

#[test]
fn it_holds_until_the_second_named_and_not_in_it() {
    let ring = known_ring();
    let judged = |now| ring.verify_download(BUILD, &known_query(), 1, at(now));
    assert_eq!(judged(0), Ok(()));
    assert_eq!(judged(KNOWN_TIME - 1), Ok(()));
    assert_eq!(judged(KNOWN_TIME), Err(DownloadError::Expired));
    assert_eq!(judged(KNOWN_TIME + 86_400), Err(DownloadError::Expired));
}

#[test]
fn another_build_is_tampering() {
    for other in [0, 41, 43, -42, i64::MAX] {
        assert_eq!(
            verdict(BuildId(other), &known_query()),
            Err(DownloadError::Tampered)
        );
    }
}

#[test]
fn another_device_is_tampering() {
    for other in ["Gerät-u", "Gerät-ü ", "gerät-ü", "Gera\u{308}t-ü", "x"] {
        let query = DownloadQuery {
            device_id: other.to_owned(),
            ..known_query()
        };
        assert_eq!(verdict(BUILD, &query), Err(DownloadError::Tampered), "{other}");
    }
}

#[test]
fn a_later_end_is_tampering_and_so_it_is_after_the_end() {
    let query = DownloadQuery {
        expires: KNOWN_TIME + 1,
        ..known_query()
    };
    assert_eq!(verdict(BUILD, &query), Err(DownloadError::Tampered));
    let late = known_ring().verify_download(BUILD, &query, 1, at(KNOWN_TIME + 5));
    assert_eq!(
        late,
        Err(DownloadError::Tampered),
        "an end that we never set is not called expired"
    );
}

#[test]
fn a_flipped_bit_in_the_signature_is_refused() {
    for signature in bit_flips(&known_query().signature) {
        let query = DownloadQuery {
            signature,
            ..known_query()
        };
        assert!(verdict(BUILD, &query).is_err(), "{}", query.signature);
    }
}

#[test]
fn a_truncated_or_padded_signature_is_malformed() {
    let good = known_query().signature;
    for signature in [
        String::new(),
        good[..42].to_owned(),
        format!("{good}="),
        "A".repeat(1 << 20),
    ] {
        let query = DownloadQuery {
            signature,
            ..known_query()
        };
        assert_eq!(verdict(BUILD, &query), Err(DownloadError::Malformed));
    }
}

#[test]
fn a_signature_of_another_master_key_is_tampering() {
    let foreign = fresh_ring().sign_download(BUILD, RolloutId(7), "Gerät-ü", 1, at(KNOWN_TIME));
    assert_eq!(verdict(BUILD, &foreign), Err(DownloadError::Tampered));
}

#[test]
fn fields_cannot_be_spliced_into_one_another() {
    let ring = known_ring();
    let query = ring.sign_download(BuildId(1), RolloutId(7), "2|3", 1, at(KNOWN_TIME));
    for (build, device_id) in [(12, "3"), (1, "2"), (1, "2|3|4"), (1, "|2|3")] {
        let spliced = DownloadQuery {
            device_id: device_id.to_owned(),
            ..query.clone()
        };
        assert_eq!(verdict(BuildId(build), &spliced), Err(DownloadError::Tampered));
    }
}

#[test]
fn a_device_id_of_no_possible_length_is_malformed() {
    for device_id in [String::new(), "a".repeat(129)] {
        let query = DownloadQuery {
            device_id,
            ..known_query()
        };
        assert_eq!(verdict(BUILD, &query), Err(DownloadError::Malformed));
    }
}

#[test]
fn a_url_from_before_a_rotation_still_downloads() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate().unwrap());
    let query = KeyRing::new(&old, None).sign_download(BUILD, RolloutId(7), "abc123", 1, at(100));
    let verdict = |ring: KeyRing| ring.verify_download(BUILD, &query, 1, at(50));
    assert_eq!(verdict(KeyRing::new(&new, Some(&old))), Ok(()));
    assert_eq!(verdict(KeyRing::new(&new, None)), Err(DownloadError::Tampered));
}

/// Reads `%XX` as RFC 3986 says, written apart from the code under test.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn every_permission_holds_and_survives_a_url(build: i64, id in "\\PC{1,32}", end in 1..4_000_000_000_i64) {
        let ring = known_ring();
        let text = ring.sign_download(BuildId(build), RolloutId(7), &id, 1, at(end)).to_string();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%=&".contains(&b)));
        let fields: Vec<_> = text.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let query = DownloadQuery {
            device_id: decoded(fields[0].1),
            rollout_id: Some(fields[1].1.parse().unwrap()),
            expires: fields[2].1.parse().unwrap(),
            signature: fields[3].1.to_owned(),
        };
        prop_assert_eq!(&query.device_id, &id);
        prop_assert_eq!(ring.verify_download(BuildId(build), &query, 1, at(end - 1)), Ok(()));
    }
}

#[test]
fn the_longest_device_id_may_download() {
    let longest = "a".repeat(128);
    let query = known_ring().sign_download(BUILD, ROLLOUT, &longest, 1, at(KNOWN_TIME));
    assert_eq!(verdict(BUILD, &query), Ok(()));
}
