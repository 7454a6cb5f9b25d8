//! Where a file installs: one named test for each reason that devices have to refuse it.

use tidegate_apk::build::{ApkBuilder, XmlAttribute, XmlElement, XmlValue};
use tidegate_apk::{
    FindingCode, Installability, Levels, Profile, Scheme, inspect, survey, survey_from, update_findings,
};

use super::anatomy::{Anatomy, V2, V3};
use super::key;

const EXTRACT_NATIVE_LIBS: u32 = 0x0101_04ea;

pub(crate) fn app() -> ApkBuilder {
    ApkBuilder::new("com.example.app", 7)
}

pub(crate) fn judged(apk: ApkBuilder) -> Installability {
    profile(apk).installability
}

fn profile(apk: ApkBuilder) -> Profile {
    survey(&apk.sign(&key("Release")).expect("as it is built here"))
        .expect("as it is built here")
        .profile
}

/// The levels, as `24-29,34+`.
pub(crate) fn levels(found: &Installability) -> String {
    let shown: Vec<String> = found.installs_on.iter().map(Levels::to_string).collect();
    shown.join(",")
}

/// The finding of this kind: whether it blocks, and where.
fn finding(found: &Installability, code: FindingCode) -> Option<(bool, String)> {
    let of_code = found.findings.iter().find(|finding| finding.code == code)?;
    Some((of_code.blocks, of_code.levels.to_string()))
}

pub(crate) fn codes(found: &Installability) -> Vec<FindingCode> {
    found.findings.iter().map(|finding| finding.code).collect()
}

/// The app with native libraries that are to be run out of the file.
fn in_place(apk: ApkBuilder) -> ApkBuilder {
    apk.edit_manifest(|root| {
        let attribute =
            XmlAttribute::android(EXTRACT_NATIVE_LIBS, "extractNativeLibs", XmlValue::Boolean(false));
        root.child("application")
            .expect("as it is built here")
            .attributes
            .push(attribute);
    })
}

#[test]
fn a_good_file_installs_from_its_minimum_on() {
    let found = judged(app().lib("arm64-v8a", "libx.so", vec![1; 5000]));
    assert_eq!(levels(&found), "24+");
    assert_eq!(codes(&found), [FindingCode::BelowMinSdk]);
    assert_eq!(
        finding(&found, FindingCode::BelowMinSdk),
        Some((true, "1-23".to_owned()))
    );
    assert!(!found.installs_at(23) && found.installs_at(24) && found.installs_from(30));
    assert_eq!(found.blocking_at(20).count(), 1);
}

#[test]
fn a_compressed_resource_table() {
    let with = |target: u32| judged(app().target_sdk(target).file("resources.arsc", vec![0; 5000]));
    let found = with(34);
    assert_eq!(levels(&found), "24-29");
    assert_eq!(
        finding(&found, FindingCode::ResourcesCompressed),
        Some((true, "30+".to_owned()))
    );
    let finding = found.blocking_at(33).next().unwrap();
    assert_eq!(
        (finding.file.as_str(), finding.levels),
        ("resources.arsc", Levels::from(30))
    );
    assert_eq!(levels(&with(29)), "24+");
}

#[test]
fn an_unaligned_resource_table() {
    let found = judged(
        app()
            .target_sdk(30)
            .unaligned_file("resources.arsc", vec![0; 5000]),
    );
    assert_eq!(levels(&found), "24-29");
    assert!(codes(&found).contains(&FindingCode::ResourcesUnaligned));
    assert_eq!(
        levels(&judged(app().stored_file("resources.arsc", vec![0; 5000]))),
        "24+"
    );
}

#[test]
fn a_compressed_library_that_is_not_unpacked() {
    let compressed = || app().min_sdk(21).file("lib/arm64-v8a/libx.so", vec![0; 5000]);
    let found = survey(
        &in_place(compressed())
            .sign_with(&key("Release"), &[Scheme::V1, Scheme::V2])
            .unwrap(),
    );
    let found = found.unwrap().profile.installability;
    assert_eq!(levels(&found), "21-22");
    assert_eq!(
        finding(&found, FindingCode::LibraryCompressed),
        Some((true, "23+".to_owned()))
    );
    // Unpacked, it may be compressed; and a fault of one ABI leaves the others.
    assert_eq!(levels(&judged(compressed().min_sdk(24))), "24+");
    let mixed = judged(in_place(compressed().min_sdk(24).lib(
        "x86_64",
        "libx.so",
        vec![0; 50],
    )));
    assert_eq!(levels(&mixed), "24+");
    assert_eq!(
        finding(&mixed, FindingCode::LibraryCompressed),
        Some((false, "23+".to_owned()))
    );
}

#[test]
fn an_unaligned_library_that_is_not_unpacked() {
    let found = judged(in_place(
        app().unaligned_file("lib/arm64-v8a/libx.so", vec![0; 500]),
    ));
    assert_eq!(levels(&found), "");
    assert_eq!(
        finding(&found, FindingCode::LibraryUnaligned),
        Some((true, "23+".to_owned()))
    );
}

#[test]
fn a_release_in_development() {
    for (element, attribute) in [("uses-sdk", "minSdkVersion"), ("uses-sdk", "targetSdkVersion")] {
        let found = judged(app().edit_manifest(|root| {
            let level = root.child(element).unwrap().attribute(attribute).unwrap();
            level.value = XmlValue::Text("Q".to_owned());
        }));
        assert_eq!(levels(&found), "", "{attribute}");
        assert!(codes(&found).contains(&FindingCode::CodenameSdk), "{attribute}");
    }
}

#[test]
fn a_target_that_newer_devices_refuse() {
    let with = |target: u32| judged(app().min_sdk(24).target_sdk(target));
    assert_eq!(levels(&with(22)), "24-33");
    assert_eq!(levels(&with(23)), "24-34");
    assert_eq!(levels(&with(24)), "24+");
    assert_eq!(
        finding(&with(22), FindingCode::TargetTooLow),
        Some((true, "34+".to_owned()))
    );
}

#[test]
fn a_build_for_tests_only() {
    let found = judged(app().test_only(true));
    assert_eq!(levels(&found), "");
    assert!(codes(&found).contains(&FindingCode::TestOnly));
}

#[test]
fn a_maximum_that_devices_do_not_enforce() {
    let found = judged(app().edit_manifest(|root| {
        let max = XmlAttribute::android(0x0101_0271, "maxSdkVersion", XmlValue::Integer(30));
        root.child("uses-sdk").unwrap().attributes.push(max);
    }));
    assert_eq!(levels(&found), "24+");
    assert_eq!(
        finding(&found, FindingCode::AboveMaxSdk),
        Some((false, "31+".to_owned()))
    );
}

#[test]
fn schemes_that_some_levels_do_not_know() {
    let with = |min: u32, target: u32, schemes: &[Scheme]| {
        let apk = app()
            .min_sdk(min)
            .target_sdk(target)
            .sign_with(&key("Release"), schemes)
            .unwrap();
        survey(&apk).unwrap().profile.installability
    };
    assert_eq!(levels(&with(21, 34, &[Scheme::V2])), "24+");
    assert_eq!(levels(&with(21, 34, &[Scheme::V3])), "28+");
    assert_eq!(levels(&with(21, 34, &[Scheme::V1, Scheme::V3])), "21+");
    let only_v1 = with(21, 30, &[Scheme::V1]);
    assert_eq!(levels(&only_v1), "21-29");
    assert_eq!(
        finding(&only_v1, FindingCode::SchemeTooOld),
        Some((true, "30+".to_owned()))
    );
    assert_eq!(levels(&with(21, 29, &[Scheme::V1])), "21+");
    let unsigned = survey(&app().unsigned()).unwrap().profile.installability;
    assert_eq!(
        finding(&unsigned, FindingCode::NoKnownSignature),
        Some((true, "24+".to_owned()))
    );
}

#[test]
fn a_signature_that_no_level_looks_at_may_be_broken() {
    let with = |min: u32, schemes: &[Scheme], name: &str, id: u32| {
        let apk = app().min_sdk(min).sign_with(&key("Release"), schemes).unwrap();
        let mut anatomy = Anatomy::of(&apk);
        if id != 0 {
            anatomy.value(id).truncate(40);
        }
        let mut bytes = anatomy.build();
        if !name.is_empty() {
            // The block's entry is now another file of the same length that is no signature.
            let at = bytes
                .windows(name.len())
                .position(|window| window == name.as_bytes())
                .unwrap();
            bytes[at + name.len()..at + name.len() + 40].fill(0xff);
        }
        inspect(&bytes)
    };
    let block = "META-INF/CERT.EC";
    assert!(with(24, &[Scheme::V1, Scheme::V2], block, 0).is_ok());
    assert!(with(21, &[Scheme::V1, Scheme::V2], block, 0).is_err());
    assert!(with(28, &[Scheme::V2, Scheme::V3], "", V2).is_ok());
    assert!(with(27, &[Scheme::V2, Scheme::V3], "", V2).is_err());
    assert!(with(28, &[Scheme::V2, Scheme::V3], "", V3).is_err());
    let apk = app().min_sdk(24).sign(&key("Release")).unwrap();
    let mut cut = Anatomy::of(&apk);
    cut.value(V2).truncate(40);
    assert!(survey_from(&cut.build(), 27).is_err());
    assert!(survey_from(&cut.build(), 28).is_ok(), "a fleet of newer devices");
}

#[test]
fn a_component_that_does_not_say_whether_it_is_exported() {
    let with = |target: u32, exported: Option<bool>| {
        judged(app().target_sdk(target).edit_manifest(|root| {
            root.child("application")
                .unwrap()
                .children
                .push(activity(exported));
        }))
    };
    assert_eq!(levels(&with(31, None)), "24-30");
    assert_eq!(
        finding(&with(33, None), FindingCode::ExportedMissing),
        Some((true, "31+".to_owned()))
    );
    assert_eq!(levels(&with(30, None)), "24+");
    assert_eq!(levels(&with(33, Some(false))), "24+");
}

/// An activity with an intent filter.
pub(crate) fn activity(exported: Option<bool>) -> XmlElement {
    let name = XmlAttribute::android(0x0101_0003, "name", XmlValue::Text(".Main".to_owned()));
    let action = XmlAttribute::android(
        0x0101_0003,
        "name",
        XmlValue::Text("android.intent.action.MAIN".into()),
    );
    let filter = XmlElement::new("intent-filter").containing(XmlElement::new("action").with(action));
    let activity = XmlElement::new("activity").with(name).containing(filter);
    match exported {
        None => activity,
        Some(yes) => activity.with(XmlAttribute::android(
            0x0101_0010,
            "exported",
            XmlValue::Boolean(yes),
        )),
    }
}

#[test]
fn a_manifest_without_application() {
    let found = judged(app().target_sdk(33).edit_manifest(|root| {
        root.children.retain(|child| child.name != "application");
    }));
    assert_eq!(levels(&found), "24-29");
    assert!(codes(&found).contains(&FindingCode::NoApplication));
}

#[test]
fn libraries_for_few_devices_or_none() {
    let found = judged(app().lib("armeabi-v7a", "libx.so", vec![1; 50]));
    assert_eq!(levels(&found), "24+");
    assert_eq!(
        finding(&found, FindingCode::Only32Bit),
        Some((false, "1+".to_owned()))
    );
    assert_eq!(levels(&judged(app().lib("sparc", "libx.so", vec![1; 50]))), "");
}

#[test]
fn files_in_lib_that_devices_take_for_no_library() {
    for name in [
        "lib/arm64-v8a/foo.so",
        "lib/foo/foo.so",
        "lib/foo/libfoo.txt",
        "lib/foo/sub/libfoo.so",
        "lib/foo/libfoo.so.1",
        "lib/foo/lib foo.so",
        "lib/foo/libfoo\u{e4}.so",
        "lib/x/libx.so",
        "lib/libfoo.so",
        "assets/lib/foo/libfoo.so",
    ] {
        let found = profile(in_place(app().file(name, vec![0; 5000])));
        assert_eq!(levels(&found.installability), "24+", "{name}");
        assert!(
            found.abis.is_empty() && found.native_libraries.is_empty(),
            "{name}"
        );
    }
    let found = profile(in_place(app().file("lib/foo/lib+,-.=_9.so", vec![0; 5000])));
    assert_eq!(levels(&found.installability), "");
    assert_eq!(found.abis, ["foo"]);
    let nested = judged(app().file("lib/arm64-v8a/sub/libfoo.so", vec![0; 5000]));
    assert_eq!(
        finding(&nested, FindingCode::NoKnownAbi),
        Some((false, "1-33".to_owned()))
    );
    // In an app for debugging they take all files there.
    let debugged = app()
        .debuggable(true)
        .file("lib/arm64-v8a/wrap.sh", vec![0; 5000]);
    let found = profile(in_place(debugged));
    assert_eq!(levels(&found.installability), "");
    assert!(codes(&found.installability).contains(&FindingCode::LibraryCompressed));
}

#[test]
fn a_reference_for_libraries_in_place_counts_for_nothing() {
    let apk = app()
        .resource(&[XmlValue::Boolean(false)])
        .file("lib/arm64-v8a/libx.so", vec![0; 5000]);
    let found = judged(apk.edit_manifest(|root| {
        let reference = XmlValue::Reference(0x7f01_0000);
        let attribute = XmlAttribute::android(EXTRACT_NATIVE_LIBS, "extractNativeLibs", reference);
        root.child("application").unwrap().attributes.push(attribute);
    }));
    assert_eq!(levels(&found), "24+");
}

#[test]
fn an_app_whose_code_is_missing() {
    let with = |value: Option<XmlValue>, file: &str| {
        let apk = app()
            .resource(&[XmlValue::Boolean(false)])
            .resource(&[XmlValue::Boolean(true)]);
        judged(apk.file(file, vec![1; 50]).edit_manifest(|root| {
            let application = root.child("application").unwrap();
            application
                .attributes
                .retain(|attribute| attribute.name != "hasCode");
            application
                .attributes
                .extend(value.map(|value| XmlAttribute::android(0x0101_000c, "hasCode", value)));
        }))
    };
    let text = |text: &str| Some(XmlValue::Text(text.to_owned()));
    for (value, needs) in [
        (None, true),
        (Some(XmlValue::Boolean(true)), true),
        (Some(XmlValue::Boolean(false)), false),
        (Some(XmlValue::Reference(0x7f01_0000)), false),
        (Some(XmlValue::Reference(0x7f01_0001)), true),
        (text("true"), true),
        (text("false"), false),
    ] {
        let expected = if needs { "" } else { "24+" };
        for other in ["classes2.dex", "Classes.dex", "assets/classes.dex"] {
            let found = with(value.clone(), other);
            assert_eq!(levels(&found), expected, "{value:?}");
            assert_eq!(codes(&found).contains(&FindingCode::NoCode), needs, "{value:?}");
        }
        assert_eq!(levels(&with(value, "classes.dex")), "24+");
    }
    // Without an application nobody asks for its code.
    let bare = judged(app().target_sdk(29).edit_manifest(|root| {
        root.children.retain(|child| child.name != "application");
    }));
    assert_eq!(levels(&bare), "24+");
}

#[test]
fn a_codename_that_would_move_the_cursor_is_escaped_once() {
    let found = judged(app().edit_manifest(|root| {
        let level = root
            .child("uses-sdk")
            .unwrap()
            .attribute("minSdkVersion")
            .unwrap();
        level.value = XmlValue::Text("Q\u{1b}[2J".to_owned());
    }));
    let mut findings = found.findings.iter();
    let detail = &findings
        .find(|one| one.code == FindingCode::CodenameSdk)
        .unwrap()
        .detail;
    assert!(detail.contains(r#""Q\u{1b}[2J""#), "{detail}");
}

#[test]
fn a_service_with_any_filter_has_to_say_whether_it_is_exported() {
    for (element, asked) in [("service", true), ("activity", false), ("receiver", false)] {
        let found = judged(app().edit_manifest(|root| {
            let name = XmlAttribute::android(0x0101_0003, "name", XmlValue::Text(".One".to_owned()));
            let component = XmlElement::new(element).with(name);
            let component = component.containing(XmlElement::new("intent-filter"));
            root.child("application").unwrap().children.push(component);
        }));
        let expected = if asked { "24-30" } else { "24+" };
        assert_eq!(levels(&found), expected, "{element}");
    }
}

#[test]
fn a_name_that_no_device_reads() {
    let found = judged(app().stored_file("assets/a\0b", vec![1; 50]));
    assert_eq!(levels(&found), "");
    assert!(codes(&found).contains(&FindingCode::UnreadableName));
}

#[test]
fn what_stands_against_an_update() {
    let with = |target: u32, shared: Option<&str>, permissions: &[&str]| {
        profile(app().target_sdk(target).edit_manifest(|root| {
            let text = |text: &str| XmlValue::Text(text.to_owned());
            if let Some(user) = shared {
                root.attributes
                    .push(XmlAttribute::android(0x0101_000b, "sharedUserId", text(user)));
            }
            for name in permissions {
                let name = XmlAttribute::android(0x0101_0003, "name", text(name));
                root.children.push(XmlElement::new("permission").with(name));
            }
        }))
    };
    let told = |from: &Profile, to: &Profile| -> Vec<(FindingCode, bool)> {
        update_findings(from, to)
            .iter()
            .map(|finding| (finding.code, finding.blocks))
            .collect()
    };
    let plain = with(34, None, &[]);
    assert_eq!(told(&plain, &plain), []);
    assert_eq!(
        told(&plain, &with(34, Some("com.example.shared"), &[])),
        [(FindingCode::SharedUserChanged, true)]
    );
    assert_eq!(
        told(&plain, &with(33, None, &[])),
        [(FindingCode::TargetLowered, false)]
    );
    assert_eq!(
        told(&plain, &with(22, None, &[])),
        [(FindingCode::PermissionModelLowered, true)]
    );
    let owner = with(34, None, &["com.example.app.SECRET"]);
    assert_eq!(told(&plain, &owner), [(FindingCode::PermissionAdded, false)]);
    assert_eq!(told(&owner, &plain), [(FindingCode::PermissionRemoved, false)]);
    let for_abis = |abis: &[&str]| Profile {
        abis: abis.iter().map(ToString::to_string).collect(),
        ..plain.clone()
    };
    let (both, one) = (for_abis(&["arm64-v8a", "armeabi-v7a"]), for_abis(&["arm64-v8a"]));
    for (from, to) in [(&both, &one), (&plain, &one)] {
        assert_eq!(told(from, to), [(FindingCode::AbiRemoved, false)]);
    }
    for (from, to) in [(&one, &both), (&both, &plain)] {
        assert_eq!(told(from, to), [], "one without native code runs on all");
    }
}
