//! `tidegate apk` in a build pipeline: the exit code says it, the output says why.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_apk::Scheme;
use tidegate_apk::build::{ApkBuilder, SigningKey};

use crate::program::{err, exited, out, run, run_with_input};

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

#[test]
fn the_levels_on_which_a_file_installs_are_told_and_why_not_on_the_others() {
    let files = files();
    let apk = ApkBuilder::new("com.example.app", 7).file("resources.arsc", vec![0; 5000]);
    let apk = apk.sign(&SigningKey::generate("Pipeline").unwrap()).unwrap();
    std::fs::write(files.folder.path().join("table.apk"), apk).unwrap();
    let output = files.apk(&["verify", "table.apk"]);
    exited(&output, 0);
    let text = out(&output);
    assert!(text.contains("\n  installs on: API level 24-29\n"), "{text}");
    assert!(
        text.contains("\n  finding: API level 30+, does not install: resources.arsc: "),
        "{text}"
    );
    let value: Value = serde_json::from_slice(&files.apk(&["verify", "--json", "table.apk"]).stdout).unwrap();
    assert_eq!(
        (
            &value["installs_on"][0]["from_sdk"],
            &value["installs_on"][0]["to_sdk"]
        ),
        (&24.into(), &29.into())
    );
    let found = value["findings"].as_array().unwrap();
    let found = found
        .iter()
        .find(|found| found["code"] == "resources-compressed")
        .unwrap();
    assert_eq!(
        (
            &found["blocks"],
            &found["from_sdk"],
            &found["to_sdk"],
            &found["file"]
        ),
        (&true.into(), &30.into(), &Value::Null, &"resources.arsc".into())
    );
}

#[test]
fn two_builds_are_compared() {
    let files = files();
    let key = SigningKey::generate("Pipeline").unwrap();
    let next = ApkBuilder::new("com.example.app", 8)
        .version_name("1.3")
        .debuggable(true);
    std::fs::write(files.folder.path().join("next.apk"), next.sign(&key).unwrap()).unwrap();
    let output = files.apk(&["diff", "good.apk", "next.apk"]);
    exited(&output, 0);
    for text in [
        "version:     7 -> 8\n",
        "debuggable:  no -> yes\n",
        "minimum:     API level 24\n",
        "- ABI arm64-v8a\n",
    ] {
        assert!(out(&output).contains(text), "{text:?} in {}", out(&output));
    }
    let value: Value =
        serde_json::from_slice(&files.apk(&["diff", "--json", "good.apk", "next.apk"]).stdout).unwrap();
    assert_eq!(value["abis"]["removed"][0], "arm64-v8a");
    let output = files.apk(&["diff", "good.apk", "text.apk"]);
    exited(&output, 1);
    assert!(out(&output).contains("file:  text.apk\n"), "{}", out(&output));
    exited(&files.apk(&["diff", "good.apk", "missing.apk"]), 2);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let files = files();
    let fifo = files.folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let apk = run_with_input(files.folder.path(), &["apk", "verify", "/dev/stdin"], "PK");
    for output in [apk, files.apk(&["verify", "fifo"]), files.apk(&["info", "fifo"])] {
        exited(&output, 2);
        assert!(
            err(&output).contains("write it to a file first"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn nothing_from_a_file_reaches_the_terminal_as_it_is() {
    let files = files();
    let name = "assets/x\n  VERIFIED for API level 24+\u{1b}[2J\u{202e}";
    let twice = ApkBuilder::new("a.b", 1)
        .file(name, vec![1; 9])
        .file(name, vec![1; 9]);
    std::fs::write(files.folder.path().join("twice.apk"), twice.unsigned()).unwrap();
    let named = ApkBuilder::new("a.b", 1).version_name(name);
    let key = SigningKey::generate("Pipeline\u{202e}\nVERIFIED").unwrap();
    std::fs::write(files.folder.path().join("named.apk"), named.sign(&key).unwrap()).unwrap();
    for arguments in [
        ["verify", "twice.apk"],
        ["info", "named.apk"],
        ["verify", "named.apk"],
    ] {
        for json in [false, true] {
            let mut arguments = arguments.to_vec();
            if json {
                arguments.push("--json");
            }
            let text = out(&files.apk(&arguments));
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
            let lines = text
                .lines()
                .filter(|line| line.trim_start().starts_with("VERIFIED"));
            assert_eq!(
                lines.count(),
                usize::from(arguments == ["verify", "named.apk"]),
                "{text}"
            );
        }
    }
}
