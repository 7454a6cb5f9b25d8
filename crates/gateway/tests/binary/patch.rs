//! `tidegate patch` at the console: what it makes is exact, what it refuses leaves no file, and why is told.

use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_apk::build::{ApkBuilder, SigningKey};

use crate::program::{err, exited, out, run};

/// Two builds, 1.apk and 2.apk, and the patch between them.
fn patched() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("Patches").unwrap();
    for version in [1, 2] {
        let words = (0..20_000)
            .map(|line| format!("word {}\n", line * version))
            .collect::<String>();
        let apk = ApkBuilder::new("com.example.app", version)
            .file("assets/words.txt", words)
            .padding(50_000)
            .sign(&key)
            .unwrap();
        std::fs::write(folder.path().join(format!("{version}.apk")), apk).unwrap();
    }
    let output = run(folder.path(), &["patch", "make", "1.apk", "2.apk", "up.tgp"]);
    exited(&output, 0);
    assert!(out(&output).contains(" of the full file"), "{}", out(&output));
    folder
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(name)).unwrap()
}

/// What lies in the folder.
fn names(folder: &TempDir) -> Vec<String> {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_patch_leads_to_the_very_build_and_tells_what_it_is() {
    let folder = patched();
    let output = run(folder.path(), &["patch", "apply", "1.apk", "up.tgp", "made.apk"]);
    exited(&output, 0);
    assert!(read(&folder, "made.apk") == read(&folder, "2.apk"));
    assert_eq!(names(&folder), ["1.apk", "2.apk", "made.apk", "up.tgp"]);

    let output = run(folder.path(), &["patch", "info", "--json", "up.tgp"]);
    exited(&output, 0);
    let told: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(told["format"], "tgp1");
    assert_eq!(told["size"], read(&folder, "up.tgp").len());
    assert_eq!(told["result"]["size"], read(&folder, "2.apk").len());
    let output = run(folder.path(), &["patch", "info", "up.tgp"]);
    exited(&output, 0);
    let sha256 = told["base"]["sha256"].as_str().unwrap();
    assert!(out(&output).contains(sha256), "{}", out(&output));
}

#[test]
fn another_base_is_refused_with_the_sha256_of_the_right_one_and_no_file_is_left() {
    let folder = patched();
    std::fs::write(folder.path().join("old.apk"), "kept").unwrap();
    let output = run(folder.path(), &["patch", "apply", "2.apk", "up.tgp", "old.apk"]);
    exited(&output, 1);
    let told = err(&output);
    let why = "2.apk is not the file that this patch was made from";
    assert!(
        told.contains(why) && told.contains("take the full file"),
        "{told}"
    );
    assert_eq!(read(&folder, "old.apk"), b"kept");
    assert_eq!(names(&folder), ["1.apk", "2.apk", "old.apk", "up.tgp"]);
}

#[test]
fn a_damaged_patch_is_refused_and_no_file_is_left() {
    let folder = patched();
    let mut patch = read(&folder, "up.tgp");
    // The promise: all is written before it is seen to be broken.
    patch[40] ^= 1;
    std::fs::write(folder.path().join("bad.tgp"), &patch).unwrap();
    std::fs::write(folder.path().join("short.tgp"), &patch[..200]).unwrap();
    for (name, why) in [
        ("bad.tgp", "the result is not what the patch promises"),
        ("short.tgp", "the patch is damaged"),
        ("2.apk", "not a patch"),
    ] {
        let output = run(folder.path(), &["patch", "apply", "1.apk", name, "made.apk"]);
        exited(&output, 1);
        assert!(err(&output).contains(why), "{}", err(&output));
    }
    assert_eq!(
        names(&folder),
        ["1.apk", "2.apk", "bad.tgp", "short.tgp", "up.tgp"]
    );
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let folder = patched();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    std::os::unix::fs::symlink("pipe", folder.path().join("link")).unwrap();
    let before = names(&folder);
    for name in ["pipe", "socket", "link"] {
        for arguments in [
            ["patch", "make", "1.apk", "2.apk", name],
            ["patch", "apply", "1.apk", "up.tgp", name],
        ] {
            let output = run(folder.path(), &arguments);
            exited(&output, 2);
            assert!(err(&output).contains("no regular file"), "{}", err(&output));
        }
    }
    let kind = |name| {
        std::fs::symlink_metadata(folder.path().join(name))
            .unwrap()
            .file_type()
    };
    assert!(kind("pipe").is_fifo() && kind("socket").is_socket() && kind("link").is_symlink());
    assert_eq!(names(&folder), before);
}

#[test]
fn too_little_memory_is_told_with_what_to_try() {
    let folder = patched();
    std::fs::write(folder.path().join("large"), vec![7; 3 << 20]).unwrap();
    let make = ["patch", "make", "large", "2.apk", "new.tgp", "--memory", "1"];
    let output = run(folder.path(), &make);
    exited(&output, 1);
    assert!(
        err(&output).contains("try --memory 5 or more"),
        "{}",
        err(&output)
    );
    assert!(!names(&folder).contains(&"new.tgp".to_owned()));
}

#[test]
fn a_path_that_is_wrong_is_named() {
    let folder = patched();
    for (line, told) in [
        (["make", "none.apk", "2.apk", "new.tgp"], "tidegate: none.apk: "),
        (["make", "1.apk", "2.apk", "none/new.tgp"], "tidegate: none: "),
        (["make", ".", "2.apk", "new.tgp"], "tidegate: .: "),
        (["apply", "1.apk", "up.tgp", "."], "tidegate: .: a folder"),
    ] {
        let output = run(folder.path(), &[&["patch"], &line[..]].concat());
        exited(&output, 2);
        assert!(err(&output).starts_with(told), "{}", err(&output));
    }
}
