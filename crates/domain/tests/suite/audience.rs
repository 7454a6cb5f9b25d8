//! Audiences that are made of two lists, as all of them once were: needs no reader of expressions.

use tidegate_domain::{Audience, DeviceFacts, MAX_AUDIENCE_ENTRIES, Subject};

use crate::fleet::{those_of, version};

fn device(region: Option<&'static str>, model: Option<&'static str>) -> DeviceFacts<'static> {
    DeviceFacts {
        region: region.map(Into::into),
        model: model.map(Into::into),
        ..DeviceFacts::default()
    }
}

fn takes(audience: &Audience, facts: &DeviceFacts<'_>) -> bool {
    audience.includes(&Subject {
        facts,
        installed: version(0),
        tags: &[],
    })
}

#[test]
fn two_lists_read_as_the_expression_that_says_the_same() {
    let audience = those_of(&["north", "so\"uth"], &["Pixel 8"]);
    assert_eq!(
        audience.as_str(),
        r#"region in ["north", "so\"uth"] && model in ["Pixel 8"]"#
    );
    assert_eq!(those_of(&[], &["P"]).as_str(), r#"model in ["P"]"#);
    assert_eq!(those_of(&[], &[]), Audience::everybody());
    assert_eq!(Audience::default().as_str(), "true");
    assert!(Audience::default().is_everybody() && !audience.is_everybody());
    let (regions, models) = audience.lists().unwrap();
    assert_eq!((regions.len(), models), (2, &["Pixel 8".to_owned()][..]));
}

#[test]
fn lists_ask_for_region_and_model_exactly_and_everybody_for_nothing() {
    let audience = those_of(&["north"], &["Pixel 8"]);
    assert!(takes(&audience, &device(Some("north"), Some("Pixel 8"))));
    for (region, model) in [
        (Some("north"), None),
        (None, Some("Pixel 8")),
        (Some("North"), Some("Pixel 8")),
        (Some("north"), Some("Pixel 8 Pro")),
    ] {
        assert!(!takes(&audience, &device(region, model)), "{region:?} {model:?}");
    }
    assert!(takes(&Audience::everybody(), &device(None, None)));
}

#[test]
fn a_long_list_finds_its_first_its_last_and_no_stranger() {
    // Not in the order in which they are searched.
    let regions: Vec<String> = (0..MAX_AUDIENCE_ENTRIES)
        .map(|n| format!("r{}", (n * 7) % 1_000))
        .collect();
    let audience = Audience::of_lists(regions.clone(), vec![]).unwrap();
    for region in &regions {
        let facts = DeviceFacts {
            region: Some(region.as_str().into()),
            ..DeviceFacts::default()
        };
        assert!(takes(&audience, &facts), "{region}");
    }
    assert!(!takes(&audience, &device(Some("r1000"), None)));
    assert!(!takes(&audience, &device(Some("r"), None)));
    assert_eq!(
        audience.lists().unwrap().0,
        regions,
        "in the order in which they were given"
    );
}

#[test]
fn lists_beyond_the_bound_are_refused() {
    let long = || vec!["x".to_owned(); MAX_AUDIENCE_ENTRIES + 1];
    for refused in [
        Audience::of_lists(long(), vec![]),
        Audience::of_lists(vec![], long()),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(
            (error.code(), error.field()),
            ("invalid_argument", Some("audience"))
        );
        assert!(error.to_string().contains("1000"), "{error}");
    }
}

#[test]
fn lists_are_stored_as_they_were_before_there_were_expressions() {
    let stored = r#"{"regions":["DE"],"models":[]}"#;
    let audience: Audience = serde_json::from_str(stored).unwrap();
    assert_eq!(audience, those_of(&["DE"], &[]));
    assert_eq!(serde_json::to_string(&audience).unwrap(), stored);
    assert_eq!(
        serde_json::from_str::<Audience>("{}").unwrap(),
        Audience::everybody()
    );
    for wrong in [r#"{"region":["DE"]}"#, r#"{"regions":"DE"}"#, "7", "null"] {
        assert!(serde_json::from_str::<Audience>(wrong).is_err(), "{wrong}");
    }
}
