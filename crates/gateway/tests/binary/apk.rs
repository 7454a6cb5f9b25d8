//! `tidegate apk` in a build pipeline: the exit code says it, the output says why.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_apk::Scheme;
use tidegate_apk::build::{ApkBuilder, SigningKey};

use crate::program::{err, exited, out, run};

/// Files to look into: a good one, one of v2 alone, one with a changed byte, an unsigned one and one that is no APK.
struct Files {
    folder: TempDir,
    fingerprint: String,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("Pipeline").unwrap();
    let apk = || {
        ApkBuilder::new("com.example.app", 7)
            .version_name("1.2")
            .padding(10_000)
    };
    let good = apk().lib("arm64-v8a", "libx.so", vec![0; 10]).sign(&key).unwrap();
    let mut changed = good.clone();
    // In the padding: its bytes are no part of the archive's structure.
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let old = apk().min_sdk(21).sign_with(&key, &[Scheme::V2]).unwrap();
    for (name, bytes) in [
        ("good.apk", good),
        ("changed.apk", changed),
        ("v2.apk", old),
        ("unsigned.apk", apk().unsigned()),
        ("text.apk", b"not an apk".to_vec()),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let fingerprint = key
        .fingerprint()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Files { folder, fingerprint }
}

impl Files {
    fn apk(&self, arguments: &[&str]) -> std::process::Output {
        run(self.folder.path(), &[&["apk"], arguments].concat())
    }
}

#[test]
fn a_good_file_is_verified_and_its_signer_printed() {
    let files = files();
    let output = files.apk(&["verify", "good.apk"]);
    exited(&output, 0);
    let text = out(&output);
    assert!(
        text.starts_with("VERIFIED for API level 24+\n  schemes: v2,v3\n"),
        "{text}"
    );
    assert!(text.contains(&files.fingerprint), "{text}");

    let output = files.apk(&["verify", "--json", "--min-sdk", "30", "good.apk"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["verified"], true);
    assert_eq!(value["range"]["min"], 30);
    assert_eq!(value["signers"][0]["sha256"], files.fingerprint);
}

#[test]
fn a_refused_file_names_the_rule_and_the_place() {
    let files = files();
    for (name, part, rule) in [
        ("changed.apk", "signature", "scheme-content-digest"),
        ("unsigned.apk", "signature", ""),
        ("text.apk", "archive", "zip-not-an-archive"),
    ] {
        let output = files.apk(&["verify", name]);
        exited(&output, 1);
        assert!(
            out(&output).starts_with("REFUSED\n") && out(&output).contains(rule),
            "{}",
            out(&output)
        );
        let output = files.apk(&["verify", "--json", name]);
        exited(&output, 1);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&value["verified"], &value["part"]),
            (&Value::Bool(false), &part.into()),
            "{value}"
        );
        assert!(value["rule"].as_str().unwrap().contains(rule), "{value}");
        assert_ne!(value["place"], "", "{value}");
    }
}

#[test]
fn the_level_decides_and_comes_from_the_file_unless_it_is_given() {
    let files = files();
    exited(&files.apk(&["verify", "v2.apk"]), 1);
    exited(&files.apk(&["verify", "--min-sdk", "23", "v2.apk"]), 1);
    exited(&files.apk(&["verify", "--min-sdk", "24", "v2.apk"]), 0);
}

#[test]
fn a_files_own_word_is_printed_and_not_judged() {
    let files = files();
    let output = files.apk(&["info", "changed.apk"]);
    exited(&output, 0);
    for text in [
        "com.example.app",
        "7 (1.2)",
        "arm64-v8a",
        "v2,v3 (not verified)",
        &files.fingerprint,
    ] {
        assert!(out(&output).contains(text), "{}", out(&output));
    }
    let value: Value = serde_json::from_slice(&files.apk(&["info", "--json", "good.apk"]).stdout).unwrap();
    assert_eq!(
        (&value["package"], &value["version_code"]),
        (&"com.example.app".into(), &7.into())
    );
    exited(&files.apk(&["info", "text.apk"]), 1);
}

#[test]
fn a_path_that_cannot_be_read_and_wrong_usage_are_another_matter() {
    let files = files();
    let folder: PathBuf = files.folder.path().into();
    for verb in ["verify", "info"] {
        for arguments in [
            vec![verb, "missing.apk"],
            vec![verb, folder.to_str().unwrap()],
            vec![verb],
            vec![verb, "--yaml", "good.apk"],
        ] {
            let output = files.apk(&arguments);
            exited(&output, 2);
            assert_eq!(out(&output), "");
            assert_ne!(err(&output), "");
        }
    }
    exited(&files.apk(&["verify", "--min-sdk", "0", "good.apk"]), 2);
}
