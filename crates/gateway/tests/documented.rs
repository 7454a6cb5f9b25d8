//! What operators rely on is what the code does: the events and their fields as the docs list them, the metrics that
//! alerts and dashboard name, and the rules as promtool judges them.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCS: &str = include_str!("../../../docs/operations.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// The fields of each event, as they stand in the calls of `tracing`'s macros.
fn events_in_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        for call in source.split("event = \"ota.").skip(1) {
            let (name, rest) = call.split_once('"').unwrap();
            let fields = arguments(rest).into_iter().filter_map(field);
            events.entry(format!("ota.{name}")).or_default().extend(fields);
        }
    }
    events
}

/// What stands between the commas until the macro's parenthesis closes.
fn arguments(rest: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut arguments) = (0, 0, Vec::new());
    for (at, letter) in rest.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                arguments.push(&rest[begin..at]);
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(&rest[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

/// The name of a field; `None` for the message and for nothing.
fn field(argument: &str) -> Option<String> {
    let argument = argument.trim().trim_start_matches(['%', '?']);
    let name = argument.split([' ', '=']).next()?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte));
    is_name.then(|| name.to_owned())
}

/// Rows of the shape `| `ota.promote` | `actor`, … |`.
fn events_in_the_docs() -> BTreeMap<String, BTreeSet<String>> {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `ota."));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let fields = cells[2].split(", ").filter(|field| *field != "–");
        let fields = fields.map(|field| field.trim_matches('`').to_owned());
        (cells[1].trim_matches('`').to_owned(), fields.collect())
    });
    rows.collect()
}

#[test]
fn every_event_and_its_fields_are_documented() {
    let code = events_in_the_code();
    assert!(code["ota.promote"].contains("rollout_percent"), "{code:?}");
    assert_eq!(code, events_in_the_docs());
}

/// All words of a text that begin as our metrics do.
fn metrics_named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
    let words = words.filter(|word| word.starts_with("ota_"));
    let names = words.map(|word| {
        let ends = ["_bucket", "_count", "_sum"];
        let end = ends
            .iter()
            .find(|end| word.starts_with("ota_request_duration") && word.ends_with(**end));
        end.map_or(word, |end| word.trim_end_matches(end)).to_owned()
    });
    names.collect()
}

#[test]
fn alerts_and_dashboard_name_only_metrics_that_exist() {
    let known: BTreeSet<String> = DOCS
        .lines()
        .filter_map(|line| line.strip_prefix("| `ota_")?.split_once('`'))
        .map(|(name, _)| format!("ota_{name}"))
        .collect();
    assert!(known.contains("ota_check_total"));
    for file in [
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/alerts_test.yml",
        "deploy/grafana/tidegate.json",
    ] {
        let named = metrics_named_in(&fs::read_to_string(root().join(file)).unwrap());
        assert!(named.len() > 5, "{file} names only {named:?}");
        assert!(named.is_subset(&known), "{file}: {:?}", named.difference(&known));
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_can_import() {
    let text = fs::read_to_string(root().join("deploy/grafana/tidegate.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(
            ids.insert(panel["id"].as_i64().unwrap()),
            "two panels have one id: {panel}"
        );
        assert!(!panel["title"].as_str().unwrap().is_empty());
        for field in ["x", "y", "w", "h"] {
            assert!(panel["gridPos"][field].is_i64(), "{panel}");
        }
        if panel["type"] == "row" {
            continue;
        }
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["expr"].is_string(), "{target}");
        }
    }
    assert!(ids.len() > 10);
}

#[test]
fn promtool_finds_the_rules_right() {
    for arguments in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts_test.yml", "alerts_slow_test.yml"],
    ] {
        let output = Command::new("promtool")
            .current_dir(root().join("deploy/prometheus"))
            .args(arguments)
            .output()
            .expect("promtool is missing: `just prometheus` installs it");
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    }
}
