//! The shape of the workspace, checked: who may depend on whom, which library stays in which crate, and what
//! every crate has to have. `docs/architecture.md` says why.

#![expect(clippy::unwrap_used, reason = "a test may panic, its surroundings too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// From each crate to those of ours that it may use. What is not here is not allowed.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("apk", &[]),
    ("artifacts", &[]),
    ("fcm", &[]),
    ("proto", &[]),
    ("signing", &["domain"]),
    ("delta", &["domain"]),
    ("storage", &["domain"]),
    (
        "service",
        &["domain", "apk", "signing", "delta", "storage", "artifacts", "fcm"],
    ),
    ("api", &["service", "proto", "domain", "signing"]),
    ("dashboard", &["service", "domain"]),
    (
        "gateway",
        &[
            "api",
            "dashboard",
            "service",
            "domain",
            "apk",
            "delta",
            "signing",
            "storage",
            "artifacts",
            "fcm",
            "simulator",
        ],
    ),
    ("agent", &["domain", "apk", "signing", "delta"]),
    ("simulator", &["agent"]),
    ("ctl", &["proto"]),
];

/// May use every crate, and only tests may use it.
const TESTKIT: &str = "testkit";

/// Their tests must build in seconds, and they are libraries for others: no test kit, which drags in a server.
const WITHOUT_TESTKIT: &[&str] = &["domain", "apk", "delta", "signing"];

/// Dev-dependencies between our crates that are no arrow: from, to, and why it is right all the same.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "apk",
        "apk",
        "how a package switches on a feature of its own, `build`, for its tests",
    ),
    (
        "delta",
        "delta",
        "how a package switches on a feature of its own, `make`, for its tests",
    ),
    (
        "domain",
        "domain",
        "how a package switches on features of its own, `calendars` and `expressions`, for its tests",
    ),
    (
        "fcm",
        "fcm",
        "how a package switches on a feature of its own, `stand-in`, for its tests",
    ),
    (
        "gateway",
        "proto",
        "its tests call the finished binary with a gRPC client",
    ),
];

/// Libraries that only some crates may use, and which crates.
const CONFINED: &[(&[&str], &[&str])] = &[
    (
        &["diesel", "diesel_migrations", "r2d2", "libsqlite3-sys", "pq-sys"],
        &["storage"],
    ),
    (&["object_store"], &["artifacts"]),
    // Slow to parse with and to evaluate by: audiences are read once, in one place.
    (&["cel"], &["domain"]),
    // Of times and zones there is one library; the domain works calendars out and shows nobody its types. The simulator
    // holds them against a few lines of its own.
    (&["jiff"], &["domain", "simulator"]),
    // They are C, or take what is asked for: only the format's own bounds stand between them and a hostile patch.
    (&["libsais", "libz-sys", "lzma-rust2"], &["delta"]),
    // An error is a decision for the caller: each crate has its own enum.
    (&["anyhow", "eyre"], &[]),
    (
        &[
            "prost",
            "prost-types",
            "tonic",
            "tonic-prost",
            "tonic-health",
            "tonic-reflection",
            "tonic-types",
        ],
        &["proto", "api", "gateway", "ctl", "testkit"],
    ),
    (
        &[
            "opentelemetry",
            "opentelemetry_sdk",
            "opentelemetry-prometheus",
            "opentelemetry-otlp",
            "opentelemetry-proto",
            "tracing-opentelemetry",
            "prometheus",
        ],
        &["gateway"],
    ),
    (
        &["axum", "axum-server", "tower-http", "utoipa-axum"],
        &["api", "gateway", "dashboard", "testkit"],
    ),
];

/// The pure crates: nothing that waits, listens, logs or tells the time on its own.
const PURE: &[&str] = &["domain", "apk", "delta", "signing"];
const IMPURE: &[&str] = &["tokio", "futures", "tracing", "reqwest", "hyper", "async-trait"];

/// What nobody may ask for the time without saying why.
const CLOCKS: &[&str] = &[
    "chrono::Utc::now",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "tokio::time::Instant::now",
];

/// `from` names `to` in its manifest; `dev`: only for its tests.
#[derive(Debug, Clone, PartialEq)]
struct Dependency {
    from: String,
    to: String,
    dev: bool,
}

impl Dependency {
    fn new(from: &str, to: &str, dev: bool) -> Dependency {
        Dependency {
            from: from.into(),
            to: to.into(),
            dev,
        }
    }
}

#[test]
fn crates_depend_on_each_other_as_the_table_allows_and_not_otherwise() {
    let ours: Vec<_> = dependencies().iter().filter_map(ours).collect();
    assert!(
        ours.contains(&Dependency::new("service", "domain", false)),
        "{ours:?}"
    );
    let offences: Vec<String> = ours.iter().filter_map(offence).collect();
    assert!(offences.is_empty(), "{offences:#?}");
    for (from, to, reason) in EXCEPTIONS {
        assert!(
            ours.contains(&Dependency::new(from, to, true)),
            "the exception {from} → {to} is not used"
        );
        assert!(!reason.is_empty(), "the exception {from} → {to} has no reason");
    }
}

/// The checker itself: it must see what is wrong, or a green test says nothing.
#[test]
fn a_wrong_arrow_is_seen() {
    for (from, to, dev) in [
        ("domain", "apk", false),
        ("domain", "storage", true),
        ("storage", "service", false),
        ("apk", "domain", false),
        ("service", "proto", false),
        ("api", "storage", false),
        ("service", "testkit", false),
        ("domain", "testkit", true),
        ("newcomer", "domain", false),
    ] {
        assert!(
            offence(&Dependency::new(from, to, dev)).is_some(),
            "{from} → {to}"
        );
    }
    for (from, to, dev) in [
        ("service", "apk", false),
        ("api", "domain", true),
        ("storage", "testkit", true),
        ("testkit", "gateway", false),
    ] {
        assert_eq!(offence(&Dependency::new(from, to, dev)), None);
    }
}

#[test]
fn a_confined_library_is_used_only_where_it_may_be() {
    for Dependency { from, to, dev } in dependencies() {
        for (libraries, users) in CONFINED {
            let stays = !libraries.contains(&to.as_str()) || users.contains(&from.as_str());
            assert!(stays, "{from} uses {to}, which only {users:?} may use");
        }
        let pure = dev || !PURE.contains(&from.as_str()) || !IMPURE.contains(&to.as_str());
        assert!(pure, "{from} is pure and uses {to}");
    }
}

/// clippy refuses the calls themselves; this is about its exceptions.
#[test]
fn the_clock_is_read_with_a_reason_or_not_at_all() {
    let settings = fs::read_to_string(root().join("clippy.toml")).unwrap();
    for clock in CLOCKS {
        assert!(
            settings.contains(&format!("\"{clock}\"")),
            "clippy.toml lets {clock} pass"
        );
    }
    let mut allowed = 0;
    for folder in crate_folders() {
        let pure = PURE.iter().any(|name| folder.ends_with(name));
        for file in rust_files(&folder.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for (_, rest) in text
                .match_indices("clippy::disallowed_methods")
                .map(|(at, _)| text.split_at(at))
            {
                let attribute = rest.split(']').next().unwrap();
                assert!(attribute.contains("reason = "), "{}: {attribute}", file.display());
                assert!(!pure, "{} is pure and reads a clock", file.display());
                allowed += 1;
            }
        }
    }
    assert!(allowed > 5, "only {allowed} exceptions were found");
}

/// What the gateway's feature `demo` brings: a package, and the feature of it that counts, if not all of it does.
const OF_THE_DEMO: &[(&str, &str)] = &[
    ("tidegate-simulator", ""),
    ("tidegate-agent", ""),
    ("tidegate-apk", "build"),
    ("tidegate-fcm", "stand-in"),
];

#[test]
fn a_production_binary_carries_nothing_of_the_demo() {
    let of = |options| linked("tidegate-gateway", options);
    let (with, without) = (of(&[]), of(&["--no-default-features"]));
    for (package, feature) in OF_THE_DEMO {
        let carries = |tree: &[(String, Vec<String>)]| {
            let has = |features: &[String]| feature.is_empty() || features.iter().any(|one| one == feature);
            tree.iter()
                .any(|(name, features)| name == package && has(features))
        };
        assert!(carries(&with), "the demo has no {package} {feature}");
        assert!(!carries(&without), "production has {package} {feature}");
    }
}

#[test]
fn an_agent_carries_nothing_that_makes_patches() {
    let tree = linked("tidegate-agent", &[]);
    let features = |of: &str| {
        let found = tree.iter().find(|(name, _)| name == of);
        found.map(|(_, features)| features.as_slice())
    };
    assert!(!features("tidegate-delta").unwrap().contains(&"make".to_owned()));
    assert!(!features("lzma-rust2").unwrap().contains(&"encoder".to_owned()));
    assert_eq!(features("libsais"), None);
}

/// What a crate of ours links with these options of cargo's: packages and their features.
fn linked(of: &str, options: &[&str]) -> Vec<(String, Vec<String>)> {
    let output = cargo()
        .args(["tree", "--offline", "--locked", "-p", of])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}|{f}"])
        .args(options)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let package = |line: &str| {
        let (package, features) = line.split_once('|')?;
        let features = features.trim_end_matches(" (*)").split(',').map(str::to_owned);
        Some((package.split(' ').next()?.to_owned(), features.collect()))
    };
    lines.lines().filter_map(package).collect()
}

#[test]
fn no_handler_sees_all_use_cases() {
    let source = root().join("crates/api/src");
    let names_all = |file: &Path| {
        let text = fs::read_to_string(file).unwrap();
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| ["Api", "AppState"].contains(&word))
    };
    // It hands each service its own.
    let router = source.join("grpc/mod.rs");
    assert!(names_all(&router) && names_all(&source.join("state.rs")));
    let mut handlers = ["rest", "grpc", "verbs"]
        .map(|folder| rust_files(&source.join(folder)))
        .concat();
    handlers.retain(|file| *file != router);
    assert!(handlers.len() > 20, "{handlers:?}");
    for file in handlers {
        assert!(!names_all(&file), "{} takes more than it calls", file.display());
    }
}

/// The one crate that may allow `unsafe`, and the one file in which it does. `docs/patches.md` says why.
const UNSAFE: (&str, &str) = ("delta", "src/zlib/stream.rs");

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_one_file() {
    let root_manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(root_manifest.contains("unsafe_code = \"forbid\""));
    for folder in crate_folders() {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let lints = tables(&manifest, "[lints");
        if folder.ends_with(UNSAFE.0) {
            let expected = tables(&root_manifest, "[workspace.lints")
                .replace("[workspace.lints", "[lints")
                .replace("\"forbid\"", "\"deny\"");
            assert_eq!(lints, expected, "{} has other lints", folder.display());
        } else {
            assert!(
                lints.ends_with("workspace = true"),
                "{}: [lints] workspace = true is missing",
                folder.display()
            );
        }
    }
    let crate_folder = root().join("crates").join(UNSAFE.0);
    let with: Vec<_> = ["src", "tests", "examples"]
        .into_iter()
        .flat_map(|folder| rust_files(&crate_folder.join(folder)))
        .filter(|file| has_unsafe(&fs::read_to_string(file).unwrap()))
        .collect();
    assert_eq!(with, [crate_folder.join(UNSAFE.1)]);
}

/// The checker itself, as above.
#[test]
fn unsafe_is_seen_in_code_and_not_in_comments() {
    for code in [
        "unsafe { f() }",
        "    x = unsafe{f()};",
        "#![allow(unsafe_code)]",
        "pub unsafe fn f() {}",
        "f(); // SAFETY\nunsafe\n{ g() }",
    ] {
        assert!(has_unsafe(code), "{code}");
    }
    for code in [
        "//! There is no `unsafe` here.",
        "    /// unsafe",
        "let unsafely = 1;",
    ] {
        assert!(!has_unsafe(code), "{code}");
    }
}

/// Whether there is `unsafe`, or an exception from the lint, outside of comments that have a line of their own.
fn has_unsafe(code: &str) -> bool {
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .any(|word| ["unsafe", "unsafe_code"].contains(&word))
}

/// The tables of a manifest whose heads begin so, without comments and empty lines.
fn tables(manifest: &str, head: &str) -> String {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.starts_with(head);
        }
        if inside && !line.is_empty() && !line.starts_with('#') {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn every_crate_is_named_for_its_folder_and_says_what_it_is_for() {
    for folder in crate_folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("name = \"tidegate-{name}\"")),
            "{name}"
        );
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        assert!(
            library.starts_with("//! "),
            "{name}: lib.rs does not begin with its doc"
        );
    }
}

/// Rows of the shape `| what must stay true | `test` | `crate` |`.
#[test]
fn every_invariant_of_the_architecture_is_checked_by_a_test_that_exists() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, table) = page.split_once("| what must stay true |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let mut invariants = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, invariant, test, name, _] = cells[..] else {
            panic!("three cells: {row}")
        };
        let declaration = format!("fn {test}(");
        let exists = rust_files(&root().join("crates").join(name))
            .iter()
            .any(|file| fs::read_to_string(file).unwrap().contains(&declaration));
        assert!(exists, "{invariant} There is no test {test} in {name}");
        invariants += 1;
    }
    assert!(invariants > 20, "only {invariants} invariants were found");
}

/// `None`: the other one is not ours.
fn ours(dependency: &Dependency) -> Option<Dependency> {
    let to = dependency.to.strip_prefix("tidegate-")?;
    Some(Dependency::new(&dependency.from, to, dependency.dev))
}

/// What is wrong with a dependency between two crates of ours.
fn offence(Dependency { from, to, dev }: &Dependency) -> Option<String> {
    let allowed = if to == TESTKIT {
        *dev && !WITHOUT_TESTKIT.contains(&from.as_str())
    } else {
        let arrow = ARROWS
            .iter()
            .any(|(f, targets)| f == from && targets.contains(&to.as_str()));
        let excepted = *dev && EXCEPTIONS.iter().any(|(f, t, _)| f == from && t == to);
        from == TESTKIT || arrow || excepted
    };
    let kind = if *dev { " (in its tests)" } else { "" };
    (!allowed).then(|| format!("{from} → {to}{kind} is not allowed by ARROWS"))
}

/// Every dependency that a manifest of ours names, as cargo understands it.
fn dependencies() -> Vec<Dependency> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let from = package["name"].as_str().unwrap().trim_start_matches("tidegate-");
        for dependency in package["dependencies"].as_array().unwrap() {
            let dev = dependency["kind"].as_str() == Some("dev");
            found.push(Dependency::new(from, dependency["name"].as_str().unwrap(), dev));
        }
    }
    let crates: BTreeSet<_> = found.iter().map(|dependency| dependency.from.clone()).collect();
    assert!(crates.len() >= 10, "cargo metadata shows only {crates:?}");
    found
}

/// Cargo, in the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn crate_folders() -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect();
    assert!(folders.len() >= 10, "{folders:?}");
    folders
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}
