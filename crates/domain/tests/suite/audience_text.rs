//! How an expression is read: what it says, what is refused, and with which words.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a refusal takes is measured in real time"
)]

use std::time::{Duration, Instant};

use tidegate_domain::{
    Audience, DeviceFacts, Error, MAX_AUDIENCE_CHARS, MAX_AUDIENCE_DEPTH, MAX_AUDIENCE_NODES, Subject, Tag,
    VersionCode, explain,
};

use crate::fleet::{IN_23_PERCENT, at, build, catalog, phone, release, those_of, version, with};

fn read(text: &str) -> Audience {
    match Audience::parse(text) {
        Ok(audience) => audience,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn full() -> DeviceFacts<'static> {
    DeviceFacts {
        sdk: Some(34),
        model: Some("Pixel 8".into()),
        manufacturer: Some("Google".into()),
        region: Some("eu-north".into()),
        android: Some("14".into()),
        abis: Some("arm64-v8a, armeabi-v7a".into()),
        tags: Some("kiosk,floor 2".into()),
        ..DeviceFacts::default()
    }
}

fn takes(audience: &Audience, facts: &DeviceFacts<'_>, installed: i64, tags: &[&str]) -> bool {
    let tags: Vec<Tag> = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    audience.includes(&Subject {
        facts,
        installed: VersionCode::new(installed).unwrap(),
        tags: &tags,
    })
}

#[test]
fn every_attribute_and_operator_says_what_it_says() {
    for holds in [
        r#"region in ["eu-north"] && sdk >= 30 && "canary" in tags"#,
        r#"model == "Pixel 8" && manufacturer != "Samsung""#,
        r#"model.startsWith("Pixel") && model.endsWith("8") && model.contains("xel")"#,
        r#"android in ["13", "14"]"#,
        r#""armeabi-v7a" in abi && !("x86" in abi)"#,
        r#""floor 2" in device_tags"#,
        "version < 8 && 7 <= version && version > 6 && version in [9, 7]",
        "30 <= sdk && sdk != 33 && !(sdk == 33)",
        r#"has(region) && has(abi) && (sdk == 1 || region == "eu-north")"#,
        "region == 'eu-north'",
        "sdk > -1\n\t&& true",
        r#"region == "eu\u002dnorth""#,
    ] {
        assert!(takes(&read(holds), &full(), 7, &["canary"]), "{holds}");
    }
    for fails in [
        r#""canary" in device_tags"#,
        r#""kiosk" in tags"#,
        "sdk < 34",
        r#"region == "EU-NORTH""#,
        r#""arm64" in abi"#,
        "sdk in []",
        "false",
        r#"model.startsWith("pixel")"#,
    ] {
        assert!(!takes(&read(fails), &full(), 7, &["canary"]), "{fails}");
    }
}

#[test]
fn what_a_device_does_not_tell_is_neither_true_nor_false() {
    let silent = DeviceFacts::default();
    for unknown in [
        r#"region == "north""#,
        r#"region != "north""#,
        r#"!(region == "north")"#,
        r#"region in ["north"] || sdk < 30"#,
        r#"!("x" in device_tags)"#,
        r#"!("x86" in abi)"#,
        r#"version == 0 && sdk >= 1"#,
    ] {
        assert!(!takes(&read(unknown), &silent, 0, &[]), "{unknown}");
        assert!(
            !takes(&read(&format!("!({unknown})")), &silent, 0, &[]),
            "not {unknown}"
        );
    }
    for certain in [
        "!has(region) && !has(sdk) && !has(device_tags)",
        r#"region == "north" || version == 0"#,
        r#"!(sdk > 30 && version > 0)"#,
        r#"!("canary" in tags)"#,
    ] {
        assert!(takes(&read(certain), &silent, 0, &[]), "{certain}");
    }
}

#[test]
fn what_two_lists_say_is_known_as_lists_and_nothing_else_is() {
    let lists = r#"region in ["DE", "AT"] && model in ["Pixel 8"]"#;
    assert_eq!(read(lists), those_of(&["DE", "AT"], &["Pixel 8"]));
    assert!(read(lists).lists().is_some());
    assert_eq!(read(" true\n"), Audience::everybody());
    for other in [
        r#"region in ["DE","AT"]"#,
        r#"model in ["P"] && region in ["DE"]"#,
        r#"region in ["DE"] || model in ["P"]"#,
        "region in []",
        "sdk in [30]",
        r#"manufacturer in ["DE"]"#,
        "true && true",
    ] {
        let audience = read(other);
        assert_eq!(audience.lists(), None, "{other}");
        let stored = serde_json::to_string(&audience).unwrap();
        assert_eq!(
            stored,
            serde_json::to_string(other).unwrap(),
            "stored as its text"
        );
        assert_eq!(serde_json::from_str::<Audience>(&stored).unwrap(), audience);
    }
    let texts = ["\u{0}\u{1f}\u{7f}\u{85}", "a\\b\"c\n", "é漢🦀'", "\u{2028}"];
    let written = those_of(&texts, &[]);
    assert_eq!(
        read(written.as_str()).lists(),
        written.lists(),
        "whatever is in the texts"
    );
}

/// Where, what (a part of it), and what was meant.
fn refusal(text: &str) -> (usize, String, Option<String>) {
    match Audience::parse(text) {
        Err(Error::Audience {
            position,
            fault,
            suggestion,
        }) => (position, fault, suggestion),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_slip_is_told_with_its_place_and_what_was_meant() {
    let mut wrong = Vec::new();
    for (text, position, part, meant) in [
        (r#"regoin == "north""#, 1, "no attribute regoin", Some("region")),
        (
            r#"sdk >= 30 && modell == "P""#,
            14,
            "no attribute modell",
            Some("model"),
        ),
        ("foo > 3", 1, "there are model, manufacturer", None),
        ("sdk = 30", 5, "does not compare", Some("==")),
        ("sdk >= 30 and version > 1", 11, "`and`", Some("&&")),
        ("sdk >= 30 or version > 1", 11, "`or`", Some("||")),
        ("not has(sdk)", 1, "`not`", Some("!")),
        ("sdk => 30", 5, "`=>`", Some(">=")),
        ("sdk <> 30", 5, "`<>`", Some("!=")),
        ("sdk >= 30 & version > 1", 11, "`&`", Some("&&")),
        ("region == north", 11, "quotation marks", Some("\"north\"")),
        ("region in [north]", 12, "quotation marks", Some("\"north\"")),
        ("region == “north”", 11, "quotation mark", Some("\"")),
        (r#"region == "north"#, 11, "has no end", None),
        (r#"sdk == "30""#, 5, "sdk is a number", Some("sdk == 30")),
        (r#"sdk in ["30"]"#, 5, "sdk is a number", None),
        (
            "android == 13",
            9,
            "android is a text",
            Some(r#"android == "13""#),
        ),
        (
            "android in [13]",
            9,
            "android is a text",
            Some(r#"android in ["13"]"#),
        ),
        (r#"android >= "13""#, 9, "an order in sdk", None),
        (r#"tags == "x""#, 6, "tags is a list", Some(r#""x" in tags"#)),
        (r#"tags != "x""#, 6, "tags is a list", Some(r#"!("x" in tags)"#)),
        (
            r#"tags.contains("x")"#,
            14,
            "tags is a list",
            Some(r#""x" in tags"#),
        ),
        (
            r#"tags in ["a", "b"]"#,
            6,
            "list itself",
            Some(r#""a" in tags || "b" in tags"#),
        ),
        (r#""north" in region"#, 9, "no list", Some(r#"region == "north""#)),
        (
            r#"region in "north""#,
            8,
            "stands a list",
            Some(r#"region in ["north"]"#),
        ),
        ("region == model", 11, "not with another attribute", None),
        (
            r#"model.startswith("P")"#,
            17,
            "no function startswith",
            Some("startsWith"),
        ),
        (r#"model.matches("P.*")"#, 14, "no function matches", None),
        ("size(region) > 2", 5, "no function size", None),
        ("sdk", 1, "no condition", Some("sdk >= 30")),
        ("30", 1, "no condition", None),
        ("1 == 1", 3, "one side of a comparison is an attribute", None),
        (
            "has(sdk) == true",
            10,
            "one side of a comparison is an attribute",
            None,
        ),
        ("has(version)", 5, "always known", Some("version > 0")),
        ("sdk > 29.5", 7, "whole", None),
        ("sdk > 0x1e", 7, "whole", None),
        ("sdk + 1 > 30", 5, "does not calculate", None),
        ("sdk > 30 > 20", 10, "compared already", None),
        ("sdk > 30 ? true : false", 10, "no meaning", None),
        ("(sdk > 30", 1, "never closed", None),
        ("sdk > 30)", 9, "closes nothing", None),
        ("sdk > 30 &&", 12, "a condition is missing", None),
        ("&& sdk > 30", 1, "a condition is missing", None),
        ("sdk >", 6, "ends where something is missing", None),
        ("sdk > 30 version > 1", 10, "`version` does not fit", None),
        (r#"region in ["a" "b"]"#, 16, "does not fit here", None),
        (r#"region in ["a", 1]"#, 17, "either texts or numbers", None),
        (r#""é漢" in tags && foo"#, 17, "no attribute foo", None),
        ("", 1, "is empty", Some("true")),
        (" \n", 1, "is empty", Some("true")),
        ("sdk > 99999999999999999999", 7, "", None),
        (r#"region == "\q""#, 12, "a backslash", None),
        (r#"region == """a""""#, 13, "something is missing", None),
        (r#"region == r"a""#, 12, "something is missing", None),
        ("device.region == 1", 7, "a dot", None),
        ("tags[0] == 1", 5, "begins a list", None),
        ("sdk == null", 8, "", None),
        ("sdk == 30u", 8, "whole", None),
        (
            "tags > 3",
            6,
            "tags is a list, which is asked by `in`",
            Some("\"…\" in tags"),
        ),
        (
            r#"tags > "x""#,
            6,
            "tags is a list, which is asked by `in`",
            Some("\"…\" in tags"),
        ),
        (
            "android > 13",
            9,
            "compared by == and in only; Android's versions",
            None,
        ),
        ("model > 13", 7, "compared by == and in only", None),
        ("3 in tags", 3, "tags is a list of texts", None),
        ("3 in sdk", 3, "`in` asks whether", None),
        (r#""30" in sdk"#, 6, "`in` asks whether", None),
        ("region in [model]", 12, "a list has texts or whole numbers", None),
        ("above(sdk, 30)", 6, "there is no function above", None),
        (
            "has(sdk, model)",
            4,
            "has is written otherwise",
            Some("has(region)"),
        ),
        (
            r#"startsWith(model, "P")"#,
            11,
            "startsWith is written otherwise",
            Some(r#"model.startsWith("Pixel")"#),
        ),
        ("has(tags)", 5, "tags are always known", None),
        ("sdk == in", 8, "compares what was compared already", None),
        ("sdk == for", 8, "`for` does not fit here", None),
        ("sdk > ,", 7, "`,` does not fit here", None),
        ("has(sdk,)", 9, "`)` does not fit here", None),
        ("sdk > 3 in_x", 9, "`in_x` does not fit here: join", None),
        ("sdk > 3 30", 9, "`30` does not fit here: join", None),
        ("sdk > 3 5", 9, "`5` does not fit here: join", None),
        ("sdk > 3 x", 9, "`x` does not fit here: join", None),
        ("sdk > @", 7, "`@` has no meaning here", None),
        ("sdk >\u{a0}3", 6, "U+00A0 has no place here", None),
        ("sdk >\u{1}3", 6, "U+0001 has no place here", None),
        ("region == \"a\tb\"", 13, "U+0009 is written as \\u0009", None),
        ("sdk >= 30 | version > 1", 11, "`|` is no operator", Some("||")),
        ("sdk > - 3", 7, "does not calculate", None),
        ("sdk > 3 -1", 9, "does not calculate", None),
        ("sdk -1 > 3", 5, "does not calculate", None),
        (r#""P".startsWith("x")"#, 4, "a dot stands between", None),
        (r#"model.("x")"#, 6, "a dot stands between", None),
        ("model.contains", 6, "a dot stands between", None),
        (r#"region IN ["a"]"#, 8, "`IN`", Some("in")),
        ("[1] == sdk", 5, "a list stands behind `in`", None),
    ] {
        let (at, fault, suggestion) = refusal(text);
        if (at, suggestion.as_deref()) != (position, meant) || !fault.contains(part) {
            wrong.push(format!("{text}: character {at}: {fault}; {suggestion:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_reads_as_a_sentence_and_names_its_field() {
    let error = Audience::parse("sdk = 30").unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("invalid_argument", Some("audience"))
    );
    assert_eq!(
        error.to_string(),
        "audience, character 5: `=` does not compare; did you mean =="
    );
}

#[test]
fn the_bounds_are_where_they_are_said_to_be() {
    let padded = |chars: usize| format!("{}sdk > 1", " ".repeat(chars - "sdk > 1".len()));
    read(&padded(MAX_AUDIENCE_CHARS));
    assert_eq!(refusal(&padded(MAX_AUDIENCE_CHARS + 1)).0, MAX_AUDIENCE_CHARS + 1);
    let wide = format!("region == \"{}\"", "漢".repeat(MAX_AUDIENCE_CHARS - 12));
    read(&wide);
    let nested = |depth: usize| format!("{}sdk > 1{}", "(".repeat(depth), ")".repeat(depth));
    read(&nested(MAX_AUDIENCE_DEPTH));
    assert_eq!(refusal(&nested(MAX_AUDIENCE_DEPTH + 1)).0, MAX_AUDIENCE_DEPTH + 1);
    let denied = |times: usize| format!("{}has(sdk)", "!".repeat(times));
    read(&denied(MAX_AUDIENCE_DEPTH));
    assert_eq!(refusal(&denied(MAX_AUDIENCE_DEPTH + 1)).0, MAX_AUDIENCE_DEPTH + 1);
    // One node is the `||` itself.
    let many = |conditions: usize| vec!["sdk<9"; conditions].join("||");
    read(&many(MAX_AUDIENCE_NODES - 1));
    assert!(refusal(&many(MAX_AUDIENCE_NODES)).1.contains("more than 200"));
    let spread = vec!["sdk<9"; MAX_AUDIENCE_NODES + 1].join("&&");
    assert!(
        refusal(&spread).1.contains("more than 200"),
        "counted over all clauses"
    );
}

#[test]
fn hostile_input_is_refused_before_it_costs_anything() {
    let list = |entries: usize| format!("sdk in [{}]", vec!["1"; entries].join(","));
    for hostile in [
        "a".repeat(MAX_AUDIENCE_CHARS),
        "(".repeat(10_000),
        "[".repeat(10_000),
        "!".repeat(10_000),
        format!("sdk in {}", "[".repeat(900)),
        "-".repeat(1_900),
        "!(".repeat(900),
        "a.".repeat(900),
        "a[".repeat(900),
        "sdk<".repeat(400),
        "1+".repeat(900),
        "a?".repeat(900),
        "{a:".repeat(600),
        r#""\q"#.to_owned() + &"(".repeat(1_900),
        r#""""a""#.to_owned() + &"(".repeat(1_900),
        "//".to_owned() + &"(".repeat(1_900),
        "has(".repeat(400),
        "((,".repeat(10) + &"))".repeat(10),
        "in ".repeat(600),
        ",".repeat(1_900),
        list(1_001),
        "sdk > 1 && ".repeat(100_000),
        "漢".repeat(1 << 20),
        "\"".repeat(1 << 20),
    ] {
        let began = Instant::now();
        assert!(Audience::parse(&hostile).is_err(), "{}…", &hostile[..3]);
        let took = began.elapsed();
        // Ten milliseconds are promised of a release build; this one is not optimized and shares its processor.
        let allowed = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });
        assert!(
            took < allowed,
            "{took:?} for {}…",
            &hostile.chars().take(9).collect::<String>()
        );
    }
}

#[test]
fn the_deepest_expression_reads_on_a_small_stack() {
    let deep = format!(
        "{}sdk > 1{}",
        "!(true && (false || ".repeat(MAX_AUDIENCE_DEPTH / 2),
        "))".repeat(MAX_AUDIENCE_DEPTH / 2)
    );
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let reads = small.spawn(move || Audience::parse(&deep).is_ok()).unwrap();
    assert!(reads.join().unwrap());
}

#[test]
fn a_clause_tells_what_it_saw() {
    let audience = read(
        r#"region in ["eu-north"] && (sdk >= 35 || has(model)) && "canary" in tags && abi == abi"#
            .trim_end_matches(" && abi == abi"),
    );
    let mut facts = full();
    facts.region = None;
    let subject = Subject {
        facts: &facts,
        installed: version(3),
        tags: &[],
    };
    let clauses = audience.clauses(&subject);
    let told: Vec<_> = clauses.iter().map(|clause| (clause.text, clause.holds)).collect();
    assert_eq!(
        told,
        [
            (r#"region in ["eu-north"]"#, None),
            ("(sdk >= 35 || has(model))", Some(true)),
            (r#""canary" in tags"#, Some(false)),
        ]
    );
    assert_eq!(clauses[0].values, [("region", None)]);
    assert_eq!(
        clauses[1].values,
        [
            ("sdk", Some("34".to_owned())),
            ("model", Some("Pixel 8".to_owned()))
        ]
    );
    let either = read("sdk > 40 || version == 3");
    assert_eq!(
        either.clauses(&subject).len(),
        1,
        "an outermost || has no parts that must all hold"
    );
    assert!(either.asks_for_version() && !audience.asks_for_version());
}

#[test]
fn an_explanation_shows_each_clause_with_its_value() {
    let catalog = catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = read(r#"sdk >= 30 && region == "north" && !("x86" in abi)"#);
    })]);
    let rule = |device: &crate::fleet::Phone| {
        let steps = explain(&catalog, &device.poll(), at(0)).steps;
        steps.into_iter().find(|step| step.rule == "audience").unwrap()
    };
    let device = phone(IN_23_PERCENT, 0).sdk(34).abis("arm64-v8a");
    let step = rule(&device);
    let inputs: Vec<_> = step
        .inputs
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        inputs,
        [
            ("clause 1", "true: sdk >= 30; sdk: 34"),
            ("clause 2", r#"unknown: region == "north"; region: not stated"#),
            ("clause 3", r#"true: !("x86" in abi); abi: arm64-v8a"#),
        ]
    );
    assert!(
        !step.passed && step.answer.contains("not state enough"),
        "{}",
        step.answer
    );
    assert_eq!(
        rule(&device.clone().region("south")).answer,
        "the device is not addressed"
    );
    assert_eq!(rule(&device.region("north")).answer, "the device is addressed");
}
