//! Manifests that lie, or that no reader could finish.

use tidegate_apk::build::{ApkBuilder, ManifestForm};
use tidegate_apk::{Error, Inspection, Rule, inspect, read_entry};

use super::anatomy::replace;

const MANIFEST: &str = "AndroidManifest.xml";
const DEBUGGABLE: [u8; 4] = 0x0101_000f_u32.to_le_bytes();
const VERSION_CODE: [u8; 4] = 0x0101_021b_u32.to_le_bytes();
const VERSION_NAME: [u8; 4] = 0x0101_021c_u32.to_le_bytes();

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
fn a_manifest_that_is_text() {
    assert_eq!(rule(b"<manifest package='a.b'/>".to_vec()), Rule::MalformedXml);
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
fn an_attribute_that_only_looks_like_debuggable_means_nothing() {
    assert!(read(manifest_of(app())).unwrap().debuggable);
    let mut decoy = manifest_of(app());
    replace(&mut decoy, &DEBUGGABLE, &[0; 4]);
    assert!(!read(decoy).unwrap().debuggable);
}

#[test]
fn an_attribute_given_twice() {
    let mut twice = manifest_of(app());
    replace(&mut twice, &VERSION_NAME, &VERSION_CODE);
    assert_eq!(rule(twice), Rule::MalformedXml);
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
    ] {
        let error = inspect(&ApkBuilder::new(package, 1).unsigned()).unwrap_err();
        assert_eq!(error.rule(), Some(Rule::AttributeType), "{package:?}");
    }
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
    let app = || {
        ApkBuilder::new("a.b", 1)
            .version_name("x")
            .min_sdk(77)
            .manifest_form(ManifestForm::Text)
    };
    let with = |level: &str| {
        let mut manifest = manifest_of(app().utf8_strings());
        replace(
            &mut manifest,
            b"\x0277\0",
            &[b"\x02", level.as_bytes(), b"\0"].concat(),
        );
        manifest
    };
    assert_eq!(read(with("21")).unwrap().min_sdk, 21);
    // A codename stands for the level before its release.
    assert_eq!(read(with("O!")).unwrap().min_sdk, 25);
    assert_eq!(read(with("T!")).unwrap().min_sdk, 30);
    for level in ["-1", "??", "n1"] {
        assert_eq!(rule(with(level)), Rule::AttributeType, "{level}");
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
    // The version code refers to itself.
    let value = |kind: u8, data: u32| [&[8, 0, 0, kind], &data.to_le_bytes()[..]].concat();
    let looped = with_table(&|table| replace(table, &value(0x10, 7), &value(0x01, 0x7f01_0000)));
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
