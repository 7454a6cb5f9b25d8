//! Wrong settings stop the start, before anything is opened.

use std::fs;
use std::net::TcpListener;

use crate::program::{err, exited, out, run, tidegate};

#[test]
fn an_unknown_setting_stops_the_start_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let output = tidegate(folder.path())
        .arg("serve")
        .env("TIDEGATE_LISTN", "127.0.0.1:1")
        .output()
        .unwrap();
    exited(&output, 2);
    assert!(
        err(&output).contains("listn (from the environment)"),
        "{}",
        err(&output)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_bad_value_in_the_file_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("t.toml"),
        "listen = \"here\"\npoll_interval = \"often\"\n",
    )
    .unwrap();
    let output = run(folder.path(), &["serve", "--config", "t.toml"]);
    exited(&output, 2);
    for text in [
        "listen = \"here\" (from t.toml)",
        "poll_interval = \"often\" (from t.toml)",
        "such as 90s",
    ] {
        assert!(err(&output).contains(text), "{}", err(&output));
    }
}

#[test]
fn settings_that_cannot_work_name_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value, text) in [
        (
            "TIDEGATE_DATABASE_URL",
            "mysql://ann:secret@host/db",
            "database_url",
        ),
        ("TIDEGATE_ARTIFACT_STORE", "ftp://host/", "artifact_store"),
    ] {
        let output = tidegate(folder.path())
            .arg("serve")
            .env(variable, value)
            .output()
            .unwrap();
        exited(&output, 2);
        assert!(
            err(&output).contains(text) && !err(&output).contains("secret"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = tidegate(folder.path())
        .arg("serve")
        .env("TIDEGATE_LISTEN", &address)
        .output()
        .unwrap();
    exited(&output, 1);
    assert!(
        err(&output).contains(&format!("listen = \"{address}\"")),
        "{}",
        err(&output)
    );
}

#[test]
fn the_settings_in_force_are_printed_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let output = tidegate(folder.path())
        .arg("config")
        .env("TIDEGATE_DATABASE_URL", "postgres://ann:hunter2@db/tide")
        .env("TIDEGATE_POLL_INTERVAL", "90m")
        .output()
        .unwrap();
    exited(&output, 0);
    assert!(
        out(&output).contains("poll_interval = \"1h 30m\""),
        "{}",
        out(&output)
    );
    assert!(!out(&output).contains("hunter2"), "{}", out(&output));
}

#[test]
fn migrations_are_named_before_and_after_they_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &["migrate", "--dry-run"]);
    assert!(
        out(&first).starts_with("would run: "),
        "{}{}",
        out(&first),
        err(&first)
    );
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "a dry run makes nothing: {made:?}");
    let second = run(folder.path(), &["migrate"]);
    assert_eq!(
        out(&second).replace("ran: ", ""),
        out(&first).replace("would run: ", "")
    );
    assert_eq!(
        out(&run(folder.path(), &["migrate"])),
        "the tables are up to date\n"
    );
}
