//! The edges of ids and numbers: what is just taken, and what is just refused.

use proptest::prelude::*;
use tidegate_domain::{
    BuildId, DeviceId, Error, MAX_DEVICE_ID_BYTES, MAX_PACKAGE_NAME_BYTES, PackageName, Percent, VersionCode,
};

use crate::property::check_often;

fn is_invalid<T>(result: &Result<T, Error>, name: &str) -> bool {
    matches!(result, Err(Error::Invalid { field, .. }) if *field == name)
}

#[test]
fn a_device_id_is_any_short_text_without_separators_and_controls() {
    let longest = "a".repeat(MAX_DEVICE_ID_BYTES);
    let longest_in_bytes = "ü".repeat(MAX_DEVICE_ID_BYTES / 2);
    for id in [
        "a",
        "f2a74de452e6b438",
        "Gerät-ü",
        "two words",
        "...",
        "{6c1f6f0e}",
        "📱",
        &longest,
        &longest_in_bytes,
    ] {
        assert_eq!(DeviceId::parse(id).map(|id| id.to_string()), Ok(id.to_owned()));
    }
    let too_long = format!("{longest}a");
    let too_long_in_bytes = format!("{longest_in_bytes}ü");
    for id in [
        "",
        " ",
        "a|b",
        "|",
        " a",
        "a ",
        "a\u{a0}",
        "a\nb",
        "a\0",
        "a\u{7f}",
        "a\u{85}b",
        ".",
        "..",
        &too_long,
        &too_long_in_bytes,
    ] {
        assert!(is_invalid(&DeviceId::parse(id), "device_id"), "{id:?}");
    }
}

#[test]
fn a_package_name_follows_androids_rules() {
    let longest = format!("a.{}", "b".repeat(MAX_PACKAGE_NAME_BYTES - 2));
    for name in ["a.b", "com.example.app", "com.Example.App_2", "a1.b_", &longest] {
        assert!(PackageName::parse(name).is_ok(), "{name}");
    }
    let too_long = format!("{longest}b");
    for name in [
        "", "app", ".", "a.", ".a", "a..b", "1a.b", "a.1b", "a._b", "a.b-c", "a.b c", "ä.b", "a.b/../c",
        &too_long,
    ] {
        assert!(is_invalid(&PackageName::parse(name), "package_name"), "{name}");
    }
}

#[test]
fn a_percentage_is_from_0_to_100_with_up_to_two_decimals() {
    for share in [0, 1, 99, 100] {
        assert_eq!(
            Percent::new(share).map(|percent| i64::from(percent.hundredths())),
            Ok(100 * share)
        );
    }
    for share in [-1, 101, 256, 356, i64::MIN, i64::MAX] {
        let refused = Percent::new(share);
        assert!(is_invalid(&refused, "rollout_percent"), "{share}");
        assert!(refused.unwrap_err().to_string().contains(&share.to_string()));
    }
    for (decimal, hundredths, rounded_up, text) in [
        (0.0, 0, 0, "0 %"),
        (0.01, 1, 1, "0.01 %"),
        (0.07, 7, 1, "0.07 %"),
        (0.5, 50, 1, "0.5 %"),
        (29.29, 2_929, 30, "29.29 %"),
        (100.0, 10_000, 100, "100 %"),
    ] {
        let percent = Percent::of_decimal(decimal).unwrap();
        assert_eq!(
            (percent.hundredths(), percent.rounded_up()),
            (hundredths, rounded_up),
            "{decimal}"
        );
        assert_eq!(percent.to_string(), text);
        assert_eq!(
            serde_json::from_str::<Percent>(&serde_json::to_string(&percent).unwrap()).unwrap(),
            percent
        );
    }
    for decimal in [0.001, 99.999, -0.01, 100.01, f64::NAN, f64::INFINITY] {
        assert!(
            is_invalid(&Percent::of_decimal(decimal), "rollout_percent"),
            "{decimal}"
        );
    }
    assert_eq!(serde_json::to_string(&Percent::EVERYBODY).unwrap(), "100");
    assert_eq!(
        serde_json::to_string(&Percent::of_hundredths(50).unwrap()).unwrap(),
        "0.5"
    );
}

#[test]
fn a_version_code_is_not_negative_and_may_have_a_major_half() {
    for code in [0, 1, i64::from(i32::MAX), 7 << 32 | 42, i64::MAX] {
        assert_eq!(VersionCode::new(code).map(VersionCode::get), Ok(code));
    }
    assert_eq!(VersionCode::new(42).unwrap().to_string(), "42");
    for code in [-1, i64::MIN] {
        assert!(is_invalid(&VersionCode::new(code), "version_code"), "{code}");
    }
    assert!(VersionCode::new(1 << 32).unwrap() > VersionCode::new(i64::from(u32::MAX)).unwrap());
}

#[test]
fn json_is_checked_like_everything_else() {
    assert_eq!(
        serde_json::from_str::<DeviceId>("\"abc123\"").unwrap().as_str(),
        "abc123"
    );
    assert!(serde_json::from_str::<DeviceId>("\"a|b\"").is_err());
    assert!(serde_json::from_str::<PackageName>("\"app\"").is_err());
    assert!(serde_json::from_str::<Percent>("101").is_err());
    assert!(serde_json::from_str::<Percent>("\"ten\"").is_err());
    assert!(serde_json::from_str::<Percent>("10.505").is_err());
    assert!(serde_json::from_str::<VersionCode>("-1").is_err());
    assert_eq!(serde_json::to_string(&Percent::EVERYBODY).unwrap(), "100");
    assert_eq!(serde_json::to_string(&BuildId(42)).unwrap(), "42");
}

#[test]
fn an_id_that_is_taken_reads_back_and_holds_no_separator() {
    check_often(250, &"\\PC{0,140}", |text| {
        let Ok(id) = DeviceId::parse(&text) else {
            return Ok(false);
        };
        prop_assert_eq!(id.as_str(), &text);
        prop_assert!(!text.contains('|') && !text.is_empty() && text.len() <= MAX_DEVICE_ID_BYTES);
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), id);
        Ok(true)
    });
}

#[test]
fn maps_of_ids_are_asked_by_text() {
    let id = DeviceId::parse("abc123").unwrap();
    let devices = std::collections::BTreeSet::from([id]);
    assert!(devices.contains("abc123") && !devices.contains("abc124"));
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,300}") {
        drop(DeviceId::parse(&text));
        drop(PackageName::parse(&text));
        drop(tidegate_domain::Sha256::parse(&text));
        drop(tidegate_domain::SignerFingerprint::parse(&text));
    }
}
