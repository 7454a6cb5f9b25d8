//! What a device says of itself: its bounds, its form as it is kept, and which of its words count.

use std::borrow::Cow;

use proptest::prelude::*;
use tidegate_domain::{Device, DeviceFacts, DeviceId, Error, MAX_ATTRIBUTE_BYTES, MAX_TAGS};

use crate::fleet::at;

/// A device that states all that it can.
fn full() -> DeviceFacts<'static> {
    DeviceFacts {
        sdk: Some(34),
        model: Some("Pixel 8".into()),
        manufacturer: Some("Google".into()),
        region: Some("DE".into()),
        android: Some("14".into()),
        abis: Some("arm64-v8a,armeabi-v7a".into()),
        tags: Some("till, spare".into()),
        zone: Some("Europe/Berlin".into()),
        protocol: 2,
        dense: true,
    }
}

fn refused_field(facts: &DeviceFacts<'_>) -> Option<&'static str> {
    match facts.check() {
        Ok(()) => None,
        Err(Error::Invalid { field, .. }) => Some(field),
        Err(other) => panic!("{other:?}"),
    }
}

type Text = for<'a> fn(&'a mut DeviceFacts<'static>) -> &'a mut Option<Cow<'static, str>>;

/// The free texts but the tags, by their names in the protocol.
const TEXTS: [(&str, Text); 6] = [
    ("model", |facts| &mut facts.model),
    ("manufacturer", |facts| &mut facts.manufacturer),
    ("region", |facts| &mut facts.region),
    ("android", |facts| &mut facts.android),
    ("abi", |facts| &mut facts.abis),
    ("zone", |facts| &mut facts.zone),
];

#[test]
fn what_a_device_says_of_itself_is_bounded() {
    assert_eq!(refused_field(&DeviceFacts::default()), None);
    assert_eq!(refused_field(&full()), None);
    for (name, text) in TEXTS {
        let mut facts = full();
        *text(&mut facts) = Some("a".repeat(MAX_ATTRIBUTE_BYTES).into());
        assert_eq!(refused_field(&facts), None, "{name}");
        *text(&mut facts) = Some("a".repeat(MAX_ATTRIBUTE_BYTES + 1).into());
        assert_eq!(refused_field(&facts), Some(name));
        *text(&mut facts) = Some("ü".repeat(MAX_ATTRIBUTE_BYTES / 2 + 1).into());
        assert_eq!(refused_field(&facts), Some(name), "bytes are counted");
    }
}

#[test]
fn tags_are_bounded_in_number_and_length() {
    let longest = "t".repeat(MAX_ATTRIBUTE_BYTES);
    let with = |tags: String| DeviceFacts {
        tags: Some(tags.into()),
        ..full()
    };
    let most = vec![longest.clone(); MAX_TAGS].join(",");
    assert_eq!(refused_field(&with(most)), None);
    for refused in [
        vec!["t"; MAX_TAGS + 1].join(","),
        format!("{longest}t"),
        format!("a,{longest}t,b"),
        ",".repeat(MAX_TAGS * (MAX_ATTRIBUTE_BYTES + 1) + 1),
    ] {
        assert_eq!(refused_field(&with(refused)), Some("tags"));
    }
    let commas = ",".repeat(MAX_TAGS * (MAX_ATTRIBUTE_BYTES + 1));
    assert_eq!(refused_field(&with(commas)), None, "no tag at all");
}

#[test]
fn tags_are_told_one_by_one_without_blanks() {
    for (tags, expected) in [
        (None, vec![]),
        (Some(""), vec![]),
        (Some(" , ,,"), vec![]),
        (Some("till"), vec!["till"]),
        (
            Some(" till ,, spare part,till"),
            vec!["till", "spare part", "till"],
        ),
    ] {
        let facts = DeviceFacts {
            tags: tags.map(Cow::Borrowed),
            ..DeviceFacts::default()
        };
        assert_eq!(facts.tags().collect::<Vec<_>>(), expected, "{tags:?}");
    }
}

#[test]
fn facts_that_are_kept_are_short_and_leave_out_what_is_not_known() {
    let json = |facts: &DeviceFacts<'_>| serde_json::to_string(facts).unwrap();
    assert_eq!(json(&DeviceFacts::default()), "{}");
    let some = DeviceFacts {
        sdk: Some(34),
        region: Some("DE".into()),
        ..DeviceFacts::default()
    };
    assert_eq!(json(&some), r#"{"sdk":34,"region":"DE"}"#);
    let all: serde_json::Value = serde_json::from_str(&json(&full())).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 10);
    assert_eq!(
        (&all["protocol"], &all["dense"]),
        (&serde_json::json!(2), &serde_json::json!(true))
    );
}

#[test]
fn facts_of_another_version_are_read_as_far_as_they_are_known() {
    let read = |json: &str| serde_json::from_str::<DeviceFacts<'_>>(json);
    assert_eq!(read("{}").unwrap(), DeviceFacts::default());
    let some = read(r#"{"sdk": 34, "colour": "blue", "nested": {"a": [1]}, "model": null}"#).unwrap();
    let expected = DeviceFacts {
        sdk: Some(34),
        ..DeviceFacts::default()
    };
    assert_eq!(some, expected);
    assert!(read(r#"{"sdk": "34"}"#).is_err(), "a known field has its form");
}

/// A device that enrolled with all that it can state.
fn device(polled: Option<DeviceFacts<'static>>) -> Device {
    Device {
        id: DeviceId::parse("abc123").unwrap(),
        alias: Some("till 3".to_owned()),
        enrolled: full(),
        polled,
        has_fcm_token: false,
        token_generation: 1,
        has_enrolled: true,
        enrolment_allowed_until: None,
        duplicate_seen_at: None,
        installed: vec![],
        enrolled_at: at(0),
        last_seen_at: None,
        retired_at: None,
        inactive_at: None,
    }
}

#[test]
fn before_its_first_poll_a_device_is_judged_by_its_enrolment() {
    let device = device(None);
    assert_eq!(device.facts(), &full());
    assert_eq!(device.shown(), full());
}

#[test]
fn once_it_has_polled_a_device_is_judged_by_its_last_poll_alone() {
    let polled = DeviceFacts {
        sdk: Some(35),
        ..DeviceFacts::default()
    };
    let device = device(Some(polled.clone()));
    assert_eq!(device.facts(), &polled, "what it left out is unknown");
    let silent = self::device(Some(DeviceFacts::default()));
    assert_eq!(silent.facts(), &DeviceFacts::default());
}

#[test]
fn people_are_shown_what_the_last_poll_left_out() {
    let silent = device(Some(DeviceFacts::default()));
    let expected = DeviceFacts {
        protocol: 0,
        dense: false,
        ..full()
    };
    assert_eq!(
        silent.shown(),
        expected,
        "what an agent can do is a matter of the agent that polls now"
    );
    let other = DeviceFacts {
        sdk: Some(35),
        model: Some("Pixel 9".into()),
        manufacturer: Some("Goo".into()),
        region: Some("FR".into()),
        android: Some("15".into()),
        abis: Some("x86_64".into()),
        tags: Some("".into()),
        zone: Some("Europe/Paris".into()),
        protocol: 3,
        dense: false,
    };
    assert_eq!(
        device(Some(other.clone())).shown(),
        other,
        "the last poll's words win"
    );
}

fn facts() -> impl Strategy<Value = DeviceFacts<'static>> {
    let text = || prop::option::of("\\PC{0,20}".prop_map(Cow::<str>::Owned));
    let texts = (text(), text(), text(), text(), text(), text(), text());
    (prop::option::of(any::<u32>()), texts, any::<u32>(), any::<bool>()).prop_map(
        |(sdk, (model, manufacturer, region, android, abis, tags, zone), protocol, dense)| DeviceFacts {
            sdk,
            model,
            manufacturer,
            region,
            android,
            abis,
            tags,
            zone,
            protocol,
            dense,
        },
    )
}

proptest! {
    #[test]
    fn facts_read_back_as_they_were_written(facts in facts()) {
        let json = serde_json::to_string(&facts).unwrap();
        prop_assert_eq!(&serde_json::from_str::<DeviceFacts<'_>>(&json).unwrap(), &facts);
        prop_assert_eq!(facts.clone().into_owned(), facts);
    }
}
