//! Our tree against the evaluation of `cel` itself, for random expressions and random devices.
//!
//! In `cel` an attribute that a device does not state is a variable that is not declared, and whatever depends on it is
//! an error; `&&` and `||` answer in spite of an error on one side where the other side decides. That is Kleene's logic
//! with "error" for "unknown", so the relation is equality: the tree says true where cel does, false where cel does, and
//! unknown exactly where cel fails. From it follows what an audience promises: a device that it takes would be taken
//! whatever the values that it does not state.

use cel::common::ast::Expr;
use cel::parser::Macro;
use cel::{Context, Env, Value};
use proptest::prelude::*;
use std::sync::Arc;
use tidegate_domain::{Audience, DeviceFacts, Subject, Tag, VersionCode};

use crate::property::check_often;

const TEXTS: [&str; 6] = ["north", "nor", "Pixel 8", "", "é漢", "13"];
const LISTED: [&str; 5] = ["canary", "kiosk", "arm64-v8a", "x86", "till-7"];

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TEXTS[..])
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn comparison() -> impl Strategy<Value = String> {
    let text_attribute = || prop::sample::select(vec!["model", "manufacturer", "region", "android"]);
    let number_attribute = || prop::sample::select(vec!["sdk", "version"]);
    let list_attribute = || prop::sample::select(vec!["tags", "device_tags", "abi"]);
    let order = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let number = || -1..6_i64;
    prop_oneof![
        3 => (text_attribute(), prop::sample::select(vec!["==", "!="]), text())
            .prop_map(|(name, sign, text)| format!("{name} {sign} {}", quoted(text))),
        2 => (text_attribute(), prop::collection::vec(text(), 0..12)).prop_map(|(name, texts)| {
            let texts: Vec<String> = texts.into_iter().map(quoted).collect();
            format!("{name} in [{}]", texts.join(", "))
        }),
        2 => (text_attribute(), prop::sample::select(vec!["startsWith", "endsWith", "contains"]), text())
            .prop_map(|(name, test, text)| format!("{name}.{test}({})", quoted(text))),
        3 => (number_attribute(), order(), number()).prop_map(|(name, sign, n)| format!("{name} {sign} {n}")),
        1 => (number(), order(), number_attribute()).prop_map(|(n, sign, name)| format!("{n} {sign} {name}")),
        1 => (number_attribute(), prop::collection::vec(number(), 0..4))
            .prop_map(|(name, numbers)| format!("{name} in {numbers:?}")),
        3 => (prop::sample::select(&LISTED[..]), list_attribute())
            .prop_map(|(entry, name)| format!("{} in {name}", quoted(entry))),
        1 => prop::sample::select(vec!["model", "region", "sdk", "abi", "device_tags"])
            .prop_map(|name| format!("has({name})")),
        1 => prop::sample::select(vec!["true", "false"]).prop_map(str::to_owned),
    ]
}

/// With and without brackets where they change nothing, so that what binds tighter is tested too.
fn expression() -> impl Strategy<Value = String> {
    comparison().prop_recursive(4, 24, 4, |inner| {
        let chain = |sign: &'static str| {
            prop::collection::vec(inner.clone(), 2..5).prop_map(move |parts| parts.join(sign))
        };
        prop_oneof![
            chain(" && "),
            chain("||"),
            inner.clone().prop_map(|part| format!("!({part})")),
            inner.prop_map(|part| format!("({part})")),
        ]
    })
}

#[derive(Clone, Debug)]
struct Device {
    facts: DeviceFacts<'static>,
    installed: VersionCode,
    tags: Vec<Tag>,
}

fn entries() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(&LISTED[..]), 0..4)
}

fn stated_in<T: std::fmt::Debug>(
    of_ten: u32,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    (0..10_u32, value).prop_map(move |(draw, value)| (draw < of_ten).then_some(value))
}

/// Devices that state an attribute in so many of ten cases.
fn devices(of_ten: u32) -> impl Strategy<Value = Device> {
    let texts = prop::collection::vec(stated_in(of_ten, text()), 4);
    let lists = prop::collection::vec(stated_in(of_ten, entries()), 2);
    (texts, lists, stated_in(of_ten, 0..5_u32), 0..5_i64, entries()).prop_map(
        |(texts, lists, sdk, installed, tags)| Device {
            facts: DeviceFacts {
                sdk,
                model: texts[0].map(Into::into),
                manufacturer: texts[1].map(Into::into),
                region: texts[2].map(Into::into),
                android: texts[3].map(Into::into),
                abis: lists[0].as_ref().map(|list| list.join(",").into()),
                tags: lists[1].as_ref().map(|list| list.join(", ").into()),
                ..DeviceFacts::default()
            },
            installed: VersionCode::new(installed).unwrap(),
            tags: tags.into_iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
        },
    )
}

/// `has` asks for a variable of another name, which is always declared.
fn environment() -> Env {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    let has = Macro::global("has", 1, |helper, _, args| {
        let Some(Expr::Ident(name)) = args.pop().map(|argument| argument.expr) else {
            panic!("has asks for a name");
        };
        Ok(Some(helper.next_expr(Expr::Ident(format!("has_{name}")))))
    });
    env.add_macro(has).unwrap();
    env
}

/// What `cel` makes of it. Nothing is shared with our reading but the text.
fn by_cel(text: &str, device: &Device) -> Option<bool> {
    let env = Arc::new(environment());
    let program = env.compile(text).unwrap();
    let mut context = Context::with_env(Arc::clone(&env));
    let mut declare = |name: &str, value: Option<Value>| {
        context.add_variable_from_value(format!("has_{name}"), value.is_some());
        if let Some(value) = value {
            context.add_variable_from_value(name.to_owned(), value);
        }
    };
    let facts = &device.facts;
    let list = |texts: Vec<&str>| Value::from(texts.into_iter().map(Value::from).collect::<Vec<Value>>());
    let split = |texts: &str| {
        let entries = texts.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        list(entries.collect())
    };
    declare("model", facts.model.as_deref().map(Value::from));
    declare("manufacturer", facts.manufacturer.as_deref().map(Value::from));
    declare("region", facts.region.as_deref().map(Value::from));
    declare("android", facts.android.as_deref().map(Value::from));
    declare("sdk", facts.sdk.map(|sdk| Value::Int(sdk.into())));
    declare("abi", facts.abis.as_deref().map(split));
    declare("device_tags", facts.tags.as_deref().map(split));
    declare("version", Some(Value::Int(device.installed.get())));
    declare("tags", Some(list(device.tags.iter().map(Tag::as_str).collect())));
    match program.execute(&context) {
        Ok(Value::Bool(answer)) => Some(answer),
        Ok(other) => panic!("{text} is {other:?}"),
        Err(_) => None,
    }
}

/// The tree's answer to the whole: `!!(…)` is one clause.
fn by_tree(text: &str, device: &Device) -> Option<bool> {
    let whole = Audience::parse(&format!("!!({text})")).unwrap();
    let clauses = whole.clauses(&subject(device));
    assert_eq!(clauses.len(), 1);
    clauses[0].holds
}

fn subject(device: &Device) -> Subject<'_> {
    Subject {
        facts: &device.facts,
        installed: device.installed,
        tags: &device.tags,
    }
}

fn agree(text: &str, device: &Device) -> Result<Option<bool>, TestCaseError> {
    let expected = by_cel(text, device);
    prop_assert_eq!(by_tree(text, device), expected, "{}", text);
    let audience = Audience::parse(text).unwrap();
    prop_assert_eq!(
        audience.includes(&subject(device)),
        expected == Some(true),
        "{}",
        text
    );
    Ok(expected)
}

#[test]
fn a_device_that_states_everything_is_answered_as_cel_answers() {
    check_often(200, &(expression(), devices(10)), |(text, device)| {
        let answer = agree(&text, &device)?;
        prop_assert!(answer.is_some(), "nothing is unknown: {}", text);
        Ok(answer == Some(true))
    });
}

#[test]
fn what_a_device_does_not_state_is_unknown_exactly_where_cel_fails() {
    check_often(150, &(expression(), devices(5)), |(text, device)| {
        Ok(agree(&text, &device)?.is_none())
    });
}

/// The promise of an audience, checked without the argument that it follows from.
#[test]
fn a_device_that_is_taken_would_be_taken_whatever_it_does_not_state() {
    check_often(
        150,
        &(expression(), devices(5), devices(10)),
        |(text, device, rest)| {
            let audience = Audience::parse(&text).unwrap();
            if text.contains("has(") || !audience.includes(&subject(&device)) {
                return Ok(false);
            }
            let (known, filled) = (&device.facts, rest.facts);
            let completed = Device {
                facts: DeviceFacts {
                    sdk: known.sdk.or(filled.sdk),
                    model: known.model.clone().or(filled.model),
                    manufacturer: known.manufacturer.clone().or(filled.manufacturer),
                    region: known.region.clone().or(filled.region),
                    android: known.android.clone().or(filled.android),
                    abis: known.abis.clone().or(filled.abis),
                    tags: known.tags.clone().or(filled.tags),
                    ..DeviceFacts::default()
                },
                ..device.clone()
            };
            prop_assert_eq!(by_cel(&text, &completed), Some(true), "{}", text);
            Ok(true)
        },
    );
}

#[test]
fn any_text_is_read_or_refused_and_never_more_than_that() {
    let words = [
        "sdk",
        "region",
        "tags",
        "==",
        "!=",
        "in",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "\"",
        "'",
        "\\",
        "-",
        "30",
        "true",
        "has",
        "startsWith",
        "\"north\"",
        " ",
        "?",
        "{",
        "漢",
        "\n",
        "\u{0}",
    ];
    let soup =
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat());
    check_often(
        3,
        &prop_oneof![4 => soup, 1 => any::<String>(), 1 => expression()],
        |text| {
            let Ok(audience) = Audience::parse(&text) else {
                return Ok(false);
            };
            prop_assert_eq!(Audience::parse(audience.as_str()), Ok(audience), "reads back");
            Ok(true)
        },
    );
}
