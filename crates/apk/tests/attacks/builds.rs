//! Two builds side by side, as an operator wants to see them before one takes the other's place.

use tidegate_apk::build::{ApkBuilder, XmlAttribute, XmlElement, XmlValue};
use tidegate_apk::{ComponentKind, Permission, Profile, diff, survey};

use super::install::activity;
use super::key;

fn named(element: &str, name: &str) -> XmlElement {
    let name = XmlAttribute::android(0x0101_0003, "name", XmlValue::Text(name.to_owned()));
    XmlElement::new(element).with(name)
}

fn profile(apk: ApkBuilder) -> Profile {
    survey(&apk.sign(&key("Release")).expect("as it is built here"))
        .expect("as it is built here")
        .profile
}

#[test]
fn two_builds_differ_in_what_they_say() {
    let from = profile(
        ApkBuilder::new("com.example.app", 7)
            .lib("armeabi-v7a", "libold.so", vec![1; 100])
            .file("classes.dex", vec![7; 3000])
            .edit_manifest(|root| {
                root.children
                    .push(named("uses-permission", "android.permission.CAMERA"));
                root.children
                    .push(named("uses-feature", "android.hardware.camera"));
            }),
    );
    let to = profile(
        ApkBuilder::new("com.example.app", 8)
            .min_sdk(26)
            .debuggable(true)
            .lib("arm64-v8a", "libnew.so", vec![1; 100])
            .stored_file("assets/big.bin", vec![1; 4000])
            .edit_manifest(|root| {
                let max = XmlAttribute::android(0x0101_0271, "maxSdkVersion", XmlValue::Integer(30));
                root.children
                    .push(named("uses-permission", "android.permission.NFC").with(max));
                let application = root.child("application").unwrap();
                application.children.push(activity(Some(true)));
                application
                    .children
                    .push(named("uses-library", "org.apache.http.legacy"));
                application.children.push(named("service", "com.example.Hidden"));
            }),
    );
    let found = diff(&from, &to);
    assert_eq!((found.version_code.from, found.version_code.to), (7, 8));
    assert!(found.debuggable.is_change() && found.min_sdk.is_change() && !found.target_sdk.is_change());
    let nfc = Permission {
        name: "android.permission.NFC".to_owned(),
        max_sdk: Some(30),
    };
    assert_eq!(found.permissions.added, [nfc]);
    assert_eq!(found.permissions.removed[0].name, "android.permission.CAMERA");
    assert_eq!(found.features.removed[0].name, "android.hardware.camera");
    assert_eq!(found.libraries.added[0].name, "org.apache.http.legacy");
    assert_eq!(
        (&found.abis.added, &found.abis.removed),
        (&vec!["arm64-v8a".into()], &vec!["armeabi-v7a".into()])
    );
    assert_eq!(found.native_libraries.added, ["arm64-v8a/libnew.so"]);
    let [main] = found.exported.added.as_slice() else {
        panic!("{:?}", found.exported)
    };
    assert_eq!(
        (main.kind, main.name.as_str()),
        (ComponentKind::Activity, "com.example.app.Main")
    );
    assert!(found.signers.is_change(), "each build has a key of its own");
    assert!(found.sizes.to.assets >= 4000 && found.sizes.from.dex > 0 && found.sizes.to.dex == 0);
    assert_eq!(found.installs_on.to[0].from_sdk, 26);
}

#[test]
fn a_build_does_not_differ_from_itself() {
    let one = profile(ApkBuilder::new("com.example.app", 7).lib("x86", "libx.so", vec![1; 9]));
    let found = diff(&one, &one);
    assert!(!found.sizes.is_change() && !found.signers.is_change());
    assert!(found.abis.is_empty() && found.permissions.is_empty() && found.exported.is_empty());
    assert!(found.update.is_empty());
}

#[test]
fn a_profile_survives_being_stored() {
    let one = profile(ApkBuilder::new("com.example.app", 7).edit_manifest(|root| {
        root.child("application")
            .unwrap()
            .children
            .push(activity(Some(true)));
    }));
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), one);
    // What an older version did not write is empty.
    let old: Profile = serde_json::from_str(r#"{"package":"a.b"}"#).unwrap();
    assert_eq!((old.package.as_str(), old.min_sdk), ("a.b", 0));
}

#[test]
fn more_elements_than_an_operator_could_read_are_refused() {
    let apk = ApkBuilder::new("a.b", 1).edit_manifest(|root| {
        let all = (0..8200).map(|_| named("uses-permission", "a.b.C"));
        root.children.extend(all);
    });
    let error = survey(&apk.unsigned()).unwrap_err();
    assert_eq!(error.rule(), Some(tidegate_apk::Rule::TooLarge));
}
