//! Files that people take for an APK: each is told by what it is.

use tidegate_apk::build::ApkBuilder;
use tidegate_apk::{Rule, inspect};

use super::anatomy::replace;

/// What is said of a file that is another format.
fn told(bytes: &[u8]) -> String {
    let error = inspect(&bytes).expect_err("it is refused");
    assert_eq!(error.rule(), Some(Rule::OtherFormat), "{error}");
    error.to_string()
}

/// An archive of these names, and no manifest where an APK has it.
fn archive(names: &[&str]) -> Vec<u8> {
    let apk = names.iter().fold(ApkBuilder::new("a.b", 1), |apk, name| {
        apk.file(name, vec![b'x'; 20])
    });
    let mut bytes = apk.unsigned();
    for _ in 0..2 {
        replace(&mut bytes, b"AndroidManifest.xml", b"base/dex/classesdex");
    }
    bytes
}

#[test]
fn archives_of_other_kinds() {
    for (names, what) in [
        (
            &["BundleConfig.pb", "base/manifest/x.xml"][..],
            "bundletool build-apks --mode=universal",
        ),
        (&["toc.pb", "splits/base-master.apk"], "set of APKs (.apks)"),
        (&["manifest.json", "com.example.apk"], "set of APKs (.xapk)"),
        (
            &["info.json", "base.apk", "split_config.de.apk"],
            "set of APKs (.apkm)",
        ),
        (&["app-release.apk"], "ZIP archive with an APK in it"),
        (&["out/app-release.APK"], "ZIP archive with an APK in it"),
        (&["META-INF/MANIFEST.MF", "a/B.class"], "Java archive (.jar)"),
    ] {
        assert!(told(&archive(names)).contains(what), "{names:?}");
    }
    assert_eq!(
        inspect(&archive(&["photo.jpg"])).unwrap_err().rule(),
        Some(Rule::MissingEntry)
    );
}

#[test]
fn manifests_of_other_kinds() {
    let with = |manifest: &[u8]| ApkBuilder::new("a.b", 1).raw_manifest(manifest);
    for manifest in [
        &b"<?xml version='1.0'?><manifest/>"[..],
        b"\xef\xbb\xbf\n<manifest/>",
        b"\xff\xfe<\0m\0",
        b"\xfe\xff\0<\0m",
    ] {
        assert!(
            told(&with(manifest).unsigned()).contains("its manifest is text"),
            "{manifest:?}"
        );
        let library = with(manifest).file("classes.jar", vec![1; 20]).unsigned();
        assert!(told(&library).contains("Android library (.aar)"));
    }
    let proto = b"\x0a\x8e\x07\x0a\x39\x0a\x07android\x12\x2ahttp://schemas.android.com/apk/res/android";
    assert!(told(&with(proto).unsigned()).contains("aapt2 convert"));
    // A binary manifest that is only broken is no other format.
    let cut = inspect(&with(&[3, 0, 8, 0, 9, 0, 0, 0]).unsigned()).unwrap_err();
    assert_eq!(cut.rule(), Some(Rule::MalformedXml));
}

#[test]
fn files_that_are_no_archive() {
    let idsig = [&[2, 0, 0, 0, 0x31, 0, 0, 0, 1, 0, 0, 0, 12][..], &[0; 500]].concat();
    for (bytes, what) in [
        (idsig, "signature file (.idsig)"),
        ([&b"\x1f\x8b\x08"[..], &[7; 200]].concat(), "gzip"),
        (
            b"<!DOCTYPE html><html><body>Not found</body></html>".to_vec(),
            "web page",
        ),
        ([&b"dex\n035\0"[..], &[0; 200]].concat(), "code of an app"),
    ] {
        assert!(told(&bytes).contains(what), "{what}");
    }
    for (bytes, what) in [
        (&b""[..], "an empty file"),
        (b"hello world\n", "a text file"),
        ("Zugriff verweigert: ä".repeat(200).as_bytes(), "a text file"),
        (b"PK\x03\x04", "cut off"),
        (&[0; 5], "not a ZIP archive"),
        (&[0xff; 5000], "not a ZIP archive"),
    ] {
        let error = inspect(&bytes.to_vec()).unwrap_err();
        assert_eq!(error.rule(), Some(Rule::NotAZip), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn nothing_from_a_file_is_shown_as_it_is() {
    let name = "assets/a\n  VERIFIED for API level 24+\u{1b}[2K\u{202e}";
    let apk = ApkBuilder::new("a.b", 1)
        .file(name, vec![1; 9])
        .file(name, vec![2; 9]);
    let shown = inspect(&apk.unsigned()).unwrap_err().to_string();
    assert!(
        shown.contains("assets/a\\n  VERIFIED") && !shown.contains('\n'),
        "{shown}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}
