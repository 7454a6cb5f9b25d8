//! A client that nobody here wrote finds its way by reflection alone: Python's grpcio, as `grpcurl` would.
//!
//! It is fetched by pip into the build folder, once. Where there is no Python, or pip can't fetch it, the test says
//! so on standard error and proves nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

const PACKAGES: [&str; 2] = ["grpcio>=1.60,<2", "grpcio-reflection>=1.60,<2"];

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reflection/client.py");

#[tokio::test]
async fn a_foreign_client_lists_the_services_and_calls_one() {
    let python = match python_with_grpc() {
        Ok(python) => python,
        Err(why) => {
            // Not by eprintln!, which the test harness would keep to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: reflection from Python was not tried: {why}"
            );
            return;
        }
    };
    let server = TestServer::start(Engine::Sqlite).await;
    let olga = server.person("olga", Role::Operator);
    olga.uploaded(&apks::build(PACKAGE, 7)).await;

    let address = server.config().listen.to_string();
    let said = run(&python, &[CLIENT, &address, olga.token()]).unwrap();
    let told: Value = serde_json::from_str(&said).unwrap();
    let services = told["services"].as_array().unwrap();
    let ours = [
        "AudienceService",
        "AuditService",
        "AuthService",
        "BuildService",
        "DeviceService",
        "NudgeService",
        "PackageService",
        "PeopleService",
        "RolloutService",
    ];
    for service in ours.map(|name| format!("tidegate.v1.{name}")) {
        assert!(
            services.contains(&json!(service)),
            "{service} is not in {services:?}"
        );
    }
    assert!(services.contains(&json!("grpc.health.v1.Health")), "{services:?}");
    assert_eq!(
        told["methods"],
        json!([
            "CompareBuilds",
            "DeleteBuild",
            "EditBuild",
            "GetBuild",
            "GetBuildPatches",
            "GetDeploymentStats",
            "ListBuilds",
            "SetBuildNotes",
            "UploadBuild"
        ])
    );
    let items = told["answer"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{told}");
    // Python's JSON writes 64-bit integers as strings.
    assert_eq!(
        (&items[0]["package_name"], &items[0]["version_code"]),
        (&json!(PACKAGE), &json!("7"))
    );
    assert_eq!(
        told["refusal"],
        json!(["INVALID_ARGUMENT", "page_size must not be negative"])
    );
}

/// A Python that knows grpcio and its reflection, or why there is none.
fn python_with_grpc() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reflection-venv");
    let python = folder.join("bin/python");
    if run(&python, &["-c", "import grpc_reflection.v1alpha"]).is_ok() {
        return Ok(python);
    }
    let folder = folder.to_string_lossy().into_owned();
    run(Path::new("python3"), &["-m", "venv", "--clear", &folder])?;
    let [grpc, reflection] = PACKAGES;
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        grpc,
        reflection,
    ];
    run(&python, &install)?;
    Ok(python)
}

/// What a program printed, or how it failed.
fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let program_name = program.display();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|fault| format!("{program_name}: {fault}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let last = String::from_utf8_lossy(&output.stderr);
    let last = last.lines().rev().take(5).collect::<Vec<_>>();
    Err(format!(
        "{program_name} {}: {}",
        arguments[..2].join(" "),
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    ))
}
