//! Manifests that lie, or that no reader could finish.

use tidegate_apk::build::{ApkBuilder, ManifestForm, XmlValue};
use tidegate_apk::{Error, Inspection, Rule, inspect, read_entry};

use super::anatomy::replace;

const MANIFEST: &str = "AndroidManifest.xml";
const DEBUGGABLE: [u8; 4] = 0x0101_000f_u32.to_le_bytes();

fn app() -> ApkBuilder {
    ApkBuilder::new("com.example.app", 7).debuggable(true)
}

fn manifest_of(apk: ApkBuilder) -> Vec<u8> {
    read_entry(&apk.unsigned(), MANIFEST, 1 << 20).expect("a built APK has a manifest")
}

fn read(manifest: Vec<u8>) -> Result<Inspection, Error> {
    inspect(&ApkBuilder::new("a.b", 1).raw_manifest(manifest).unsigned())
}

fn rule(manifest: Vec<u8>) -> Rule {
    match read(manifest) {
        Err(Error::Manifest(refusal)) => refusal.rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_that_is_nothing() {
    assert_eq!(rule(Vec::new()), Rule::MalformedXml);
}

#[test]
fn a_manifest_cut_off_anywhere() {
    let whole = manifest_of(app());
    for len in 0..whole.len() {
        assert_eq!(rule(whole[..len].to_vec()), Rule::MalformedXml, "at {len}");
    }
}

#[test]
fn any_byte_changed_is_an_answer_and_never_a_panic() {
    let whole = manifest_of(app());
    for (start, change) in [0x01, 0x80, 0xff].into_iter().enumerate() {
        // Every third byte for each change: together they meet all.
        for at in (start..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let _ = read(changed);
        }
    }
}

#[test]
fn lengths_and_counts_of_4_gib() {
    let whole = manifest_of(app());
    for at in (0..whole.len() - 4).step_by(4) {
        let mut changed = whole.clone();
        changed[at..at + 4].fill(0xff);
        let _ = read(changed);
    }
}

#[test]
fn an_attribute_that_is_debuggable_by_name_and_not_by_its_resource_id() {
    assert!(read(manifest_of(app())).unwrap().debuggable);
    let mut decoy = manifest_of(app());
    replace(&mut decoy, &DEBUGGABLE, &[0; 4]);
    assert_eq!(rule(decoy), Rule::TwoReadings);
}

#[test]
fn an_attribute_given_twice() {
    let twice = app().edit_manifest(|root| {
        let again = root.attribute("versionCode").unwrap().clone();
        root.attributes.push(again);
    });
    assert_eq!(rule(manifest_of(twice)), Rule::MalformedXml);
}

#[test]
fn a_package_that_is_no_name() {
    for package in [
        "",
        "../../etc",
        "com.exa mple",
        "com..example",
        "com.1app",
        "com.example|app",
        "nodot",
        "com._app",
        "com.example.ä",
    ] {
        let error = inspect(&ApkBuilder::new(package, 1).unsigned()).unwrap_err();
        assert_eq!(error.rule(), Some(Rule::PackageName), "{package:?}");
    }
    let longest = format!("com.{}", "a".repeat(219));
    assert!(inspect(&ApkBuilder::new(&longest, 1).unsigned()).is_ok());
    let error = inspect(&ApkBuilder::new(&format!("{longest}a"), 1).unsigned()).unwrap_err();
    assert_eq!(error.rule(), Some(Rule::PackageName));
}

#[test]
fn a_package_that_is_missing() {
    let mut without = manifest_of(app());
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    replace(&mut without, &utf16("package"), &utf16("pack4ge"));
    assert_eq!(rule(without), Rule::MissingAttribute);
}

#[test]
fn levels_that_are_no_levels() {
    let with = |value: XmlValue| {
        manifest_of(app().edit_manifest(|root| {
            root.child("uses-sdk")
                .unwrap()
                .attribute("minSdkVersion")
                .unwrap()
                .value = value;
        }))
    };
    let text = |level: &str| XmlValue::Text(level.to_owned());
    assert_eq!(read(with(XmlValue::Integer(21))).unwrap().min_sdk, 21);
    // A codename stands for the level before its release.
    assert_eq!(read(with(text("O!"))).unwrap().min_sdk, 25);
    assert_eq!(read(with(text("T!"))).unwrap().min_sdk, 30);
    // To devices a number that is text is a codename that they don't have, and so is a reference.
    for level in ["-1", "??", "n1", "21", ""] {
        assert_eq!(rule(with(text(level))), Rule::AttributeType, "{level}");
    }
    for value in [
        XmlValue::Integer(-1),
        XmlValue::Reference(0x7f01_0000),
        XmlValue::Typed(4, 0x41a8_0000),
        XmlValue::Typed(0, 0),
    ] {
        assert_eq!(rule(with(value.clone())), Rule::AttributeType, "{value:?}");
    }
}

#[test]
fn references_without_a_table_or_into_nowhere() {
    let manifest = manifest_of(app().manifest_form(ManifestForm::References));
    match read(manifest.clone()) {
        Err(Error::Archive(refusal)) => assert_eq!(refusal.rule, Rule::MissingEntry),
        other => panic!("{other:?}"),
    }
    let with_table = |edit: &dyn Fn(&mut Vec<u8>)| {
        let honest = app().manifest_form(ManifestForm::References).unsigned();
        let mut table = read_entry(&honest, "resources.arsc", 1 << 20).unwrap();
        edit(&mut table);
        let apk = ApkBuilder::new("a.b", 1).raw_manifest(manifest.clone());
        inspect(&apk.stored_file("resources.arsc", table).unsigned())
    };
    assert_eq!(with_table(&|_| {}).unwrap().version_code, 7);
    // Another package id.
    let renamed = with_table(&|table| replace(table, &0x7f_u32.to_le_bytes(), &0x7e_u32.to_le_bytes()));
    assert_eq!(renamed.unwrap_err().rule(), Some(Rule::Unresolved));
    // The flag refers to itself.
    let value = |kind: u8, data: u32| [&[8, 0, 0, kind], &data.to_le_bytes()[..]].concat();
    let looped = with_table(&|table| replace(table, &value(0x12, u32::MAX), &value(0x01, 0x7f01_0001)));
    assert_eq!(looped.unwrap_err().rule(), Some(Rule::Unresolved));
    // A changed byte of the table is an answer and never a panic.
    let len = read_entry(
        &app().manifest_form(ManifestForm::References).unsigned(),
        "resources.arsc",
        1 << 20,
    );
    for at in (0..len.unwrap().len()).step_by(5) {
        let _ = with_table(&|table| table[at] ^= 0xff);
    }
}
