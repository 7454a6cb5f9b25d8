//! Any text is read or refused, and never more than that. What is read reads back as the same, from its text and from
//! what is stored of it, and answers for a device that tells everything and for one that tells nothing; a refusal points
//! into the text or right behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_domain::{Audience, DeviceFacts, Error, MAX_AUDIENCE_CHARS, Subject, Tag, VersionCode};

fuzz_target!(|text: &str| {
    let audience = match Audience::parse(text) {
        Ok(audience) => audience,
        Err(Error::Audience { position, .. }) => {
            assert!((1..=text.chars().count().min(MAX_AUDIENCE_CHARS) + 1).contains(&position));
            return;
        }
        Err(other) => panic!("{other}"),
    };
    assert_eq!(Audience::parse(audience.as_str()).as_ref(), Ok(&audience));
    if let Some((regions, models)) = audience.lists() {
        assert_eq!(Audience::of_lists(regions.to_vec(), models.to_vec()).as_ref(), Ok(&audience));
    }
    let (full, tags) = (full(), [Tag::parse("canary").expect("a tag")]);
    let installed = VersionCode::new(7).expect("a version");
    for facts in [&full, &DeviceFacts::default()] {
        let subject = Subject {
            facts,
            installed,
            tags: &tags,
        };
        let clauses = audience.clauses(&subject);
        let all = clauses.iter().all(|clause| clause.holds == Some(true));
        assert_eq!(audience.includes(&subject), all);
    }
});

fn full() -> DeviceFacts<'static> {
    DeviceFacts {
        sdk: Some(34),
        model: Some("Pixel 8".into()),
        manufacturer: Some("Google".into()),
        region: Some("north".into()),
        android: Some("14".into()),
        abis: Some("arm64-v8a,armeabi-v7a".into()),
        tags: Some("kiosk".into()),
        ..DeviceFacts::default()
    }
}
