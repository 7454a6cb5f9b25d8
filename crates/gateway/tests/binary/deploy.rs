//! The settings in `deploy/` start a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidegate_testkit::postgres;
use tidegate_testkit::s3::S3;

use crate::program::{Running, client, err, exited, tidegate};

const COMPOSE: &str = include_str!("../../../../deploy/compose.yml");
const EXAMPLE: &str = include_str!("../../../../deploy/example.env");
const UNIT: &str = include_str!("../../../../deploy/systemd/tidegate.service");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// `NAME=value`, a line each; what is left empty for the operator is filled in.
fn example() -> BTreeMap<String, String> {
    let lines = EXAMPLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let value = if value.is_empty() {
                "00112233445566778899aabbccddeeff".repeat(2)
            } else {
                value.to_owned()
            };
            (name.to_owned(), value)
        })
        .collect()
}

/// The environment of the service `tidegate`, as Docker would make it.
fn compose() -> BTreeMap<String, String> {
    let service = COMPOSE.split("\n  tidegate:\n").nth(1).unwrap();
    let block = service.split("\n    environment:\n").nth(1).unwrap();
    let lines = block.lines().take_while(|line| line.starts_with("      "));
    lines
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("TIDEGATE_"))
        .map(|(name, value)| (name.to_owned(), substituted(value.trim_matches('"'))))
        .collect()
}

/// `${NAME}`, `${NAME:?why}`, `${NAME:-fallback}`.
fn substituted(text: &str) -> String {
    let example = example();
    let mut pieces = text.split("${");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once('}').unwrap();
        let (name, otherwise) = name.split_once(':').unwrap_or((name, ""));
        let value = example.get(name).map(String::as_str);
        let value = value.or_else(|| otherwise.strip_prefix('-'));
        whole.push_str(value.unwrap_or_else(|| panic!("example.env has no {name}")));
        whole.push_str(rest);
    }
    whole
}

async fn is_ready(running: &Running, field: &str) {
    let line: Value = serde_json::from_str(&running.line("ota.server.start")).unwrap();
    let address = line[field].as_str().unwrap();
    let answer = client()
        .get(format!("http://{address}/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn with(folder: &Path, environment: &BTreeMap<String, String>) -> Command {
    let mut command = tidegate(folder);
    command.envs(environment).env("TIDEGATE_DATA_DIR", folder);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_compose_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = compose();
    assert!(environment.len() >= 10, "{environment:?}");
    let named = |key: &str| environment[key].clone();
    let (access, secret) = (
        named("TIDEGATE_S3_ACCESS_KEY_ID"),
        named("TIDEGATE_S3_SECRET_ACCESS_KEY"),
    );
    let s3 = S3::start("tidegate", &access, &secret).await;
    let database = tokio::task::spawn_blocking(|| postgres::database("compose"))
        .await
        .unwrap();

    // What Docker gives: names for the services, and ports that are free.
    for (key, ours) in [
        ("TIDEGATE_S3_ENDPOINT", s3.endpoint()),
        ("TIDEGATE_DATABASE_URL", database.url()),
        ("TIDEGATE_LISTEN", "0.0.0.0:0".to_owned()),
        ("TIDEGATE_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
    ] {
        assert!(environment.insert(key.to_owned(), ours).is_some(), "{key}");
    }
    let mut serve = with(folder.path(), &environment);
    serve.arg("serve");
    let running = Running::start(serve);
    running.line("s3_allow_http");
    is_ready(&running, "admin_listen").await;

    // Each of the two words is needed.
    environment.insert("TIDEGATE_S3_ALLOW_HTTP".to_owned(), "false".to_owned());
    let refused = with(folder.path(), &environment).arg("serve").output().unwrap();
    if !s3.endpoint().contains("127.0.0.1") {
        exited(&refused, 2);
        assert!(err(&refused).contains("s3_allow_http"), "{}", err(&refused));
    }
    let mut environment = compose();
    environment.remove("TIDEGATE_DATABASE_PLAINTEXT");
    let migrate = ["migrate", "--dry-run"];
    let refused = with(folder.path(), &environment).args(migrate).output().unwrap();
    exited(&refused, 2);
    assert!(err(&refused).contains("database_plaintext"), "{}", err(&refused));
    assert!(!err(&refused).contains("change-me"), "{}", err(&refused));
}

#[tokio::test]
async fn those_of_the_unit_do() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let value = |key: &str| {
        let line = UNIT
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("the unit has no {key}"))
    };
    // The file that the unit names, as the operations manual shows it.
    let shown = OPERATIONS.split("# /etc/tidegate.toml\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    let config = folder.path().join("tidegate.toml");
    let shown = shown.replace("/var/lib/tidegate", state.to_str().unwrap());
    fs::write(&config, shown.replace("0.0.0.0:8080", "127.0.0.1:0")).unwrap();

    let start = value("ExecStart").replace("/etc/tidegate.toml", config.to_str().unwrap());
    let mut words = start.split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/tidegate"));
    let (name, path) = value("Environment").split_once('=').unwrap();
    assert_eq!(path, value("WorkingDirectory"));
    let mut serve = tidegate(&state);
    serve.args(words).env(name, &state);
    is_ready(&Running::start(serve), "listen").await;
    assert!(state.join("tidegate.db").exists());
}

/// What the unit lets the program ask of the system, line by line as systemd reads it.
#[test]
fn the_unit_lets_a_thread_be_put_last_and_refuses_calls_without_ending_the_server() {
    let mut is_allowed = false;
    for line in UNIT
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let (forbids, calls) = line
            .strip_prefix('~')
            .map_or((false, line), |calls| (true, calls));
        for call in calls.split_whitespace() {
            // `@system-service` has what `@resources` has, and setpriority is among both.
            if ["@system-service", "@resources", "setpriority"].contains(&call) {
                is_allowed = !forbids;
            }
        }
    }
    assert!(is_allowed, "patches are made at the lowest priority");
    assert!(UNIT.lines().any(|line| line == "SystemCallErrorNumber=EPERM"));
}

/// The image is built from what `.dockerignore` leaves of the tree.
#[test]
fn no_source_includes_a_file_that_the_image_is_built_without() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let ignored = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let ignored: Vec<_> = ignored
        .lines()
        .filter(|line| !line.starts_with(['#', '*']) && !line.is_empty())
        .map(|line| root.join(line))
        .collect();
    assert!(ignored.contains(&root.join("deploy")), "{ignored:?}");
    let mut looked_at = 0;
    let mut folders: Vec<PathBuf> = fs::read_dir(root.join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Files of tests are not compiled into the program.
            if path.extension() != Some("rs".as_ref()) || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let program = text.split("\n#[cfg(test)]").next().unwrap();
            for included in program
                .split("include_str!(\"")
                .chain(program.split("include_bytes!(\""))
            {
                let file = included.split('"').next().unwrap();
                let Ok(file) = folder.join(file).canonicalize() else {
                    continue;
                };
                looked_at += 1;
                let without = ignored.iter().find(|ignored| file.starts_with(ignored));
                assert!(without.is_none(), "{} needs {}", path.display(), file.display());
            }
        }
    }
    assert!(looked_at > 2, "{looked_at}");
}
