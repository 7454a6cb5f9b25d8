//! The program `tidegate-sim` as a script meets it: exit codes, files, and a word on what went wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod between;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate_agent::domain::Role;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tokio::task::spawn_blocking;

async fn server() -> TestServer {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = server.operator(Role::Admin);
    let build = operator.uploaded(&apks::build(PACKAGE, 2)).await;
    operator.promote(build, 100).await.ok();
    server
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-sim"));
    command.env_remove("TIDEGATE_ADMIN_TOKEN").stdin(Stdio::null());
    command
}

/// A fleet of so many that lives for half a day.
fn fleet(base: &str, token: &str, devices: u32) -> Command {
    fleet_for("12h", base, token, devices)
}

fn fleet_for(duration: &str, base: &str, token: &str, devices: u32) -> Command {
    let mut command = program();
    command
        .args(["run", "--server", base, "--package", PACKAGE])
        .args(["--duration", duration, "--devices", &devices.to_string()])
        .env("TIDEGATE_ADMIN_TOKEN", token);
    command
}

/// The exit code, with all that was said.
fn end(output: &Output) -> (i32, String) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

async fn ends(mut command: Command) -> (i32, String) {
    let output = spawn_blocking(move || command.output().unwrap());
    end(&output.await.unwrap())
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_counts_end_with_0_and_leave_a_report_and_a_picture() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let token = server.operator(Role::Admin).token().to_owned();
    std::fs::write(file("token"), format!("{token}\n")).unwrap();
    // Everybody comes without the app, so that whoever installs it does so for the first time.
    let mut usual = program();
    usual.arg("population");
    let (_, usual) = ends(usual).await;
    let bare = usual.replace("\nfactory_version = 1\n", "\nfactory_version = 0\n");
    assert_ne!(bare, usual);
    std::fs::write(file("bare.toml"), bare).unwrap();

    let mut run = fleet(&server.url(""), "", 20);
    run.env_remove("TIDEGATE_ADMIN_TOKEN").current_dir(folder.path());
    run.args(["--admin-token-file", "token", "--population", "bare.toml"]);
    run.args(["--report", "report.json", "--svg", "curve.svg"]);
    let (code, said) = ends(run).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("All counts are equal."), "{said}");
    assert!(!said.contains(&token), "a token is not printed");
    let report = report(&file("report.json"));
    assert_eq!((&report["devices"], &report["hours"]), (&20.into(), &12.0.into()));
    assert_eq!(report["stages"][0]["offered"], 20);
    let picture = std::fs::read_to_string(file("curve.svg")).unwrap();
    assert!(
        picture.starts_with("<svg") && picture.ends_with("</svg>\n"),
        "{picture}"
    );
}

/// The printed plan can be handed in as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_plan_is_printed_and_played() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = server.operator(Role::Admin);
    let out = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(out, 100).await.ok();
    operator.uploaded(&apks::build(PACKAGE, 2)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut print = program();
    print.arg("release-plan");
    let (_, plan) = ends(print).await;
    std::fs::write(file("plan.toml"), plan).unwrap();

    let mut run = fleet_for("36h", &server.url(""), operator.token(), 60);
    run.current_dir(folder.path());
    run.args(["--release-plan", "plan.toml", "--report", "report.json"]);
    let (code, said) = ends(run).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("everybody: it takes"), "{said}");
    let report = report(&file("report.json"));
    let rollouts = report["formula"]["rollouts"].as_array().unwrap();
    let names: Vec<&str> = rollouts
        .iter()
        .map(|rollout| rollout["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["canaries", "north first", "everybody"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unequal_counts_end_with_1() {
    let server = server().await;
    let token = server.operator(Role::Admin).token().to_owned();
    let base = between::refusing(&server.url(""), "install_success").await;
    let (code, said) = ends(fleet(&base, &token, 10)).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("NOT EQUAL"), "{said}");
}

fn gate(scenario: &str, seed: &str) -> Command {
    let mut command = program();
    command.args(["gate", "--seeds", "1", "--scenario", scenario, "--seed", seed]);
    command
}

#[tokio::test]
async fn a_gate_that_meets_its_targets_ends_with_0_and_shows_a_table() {
    let (code, said) = ends(gate("share-95", "1")).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("| share-95 ") && said.contains("| yes |"), "{said}");
    let mut list = program();
    list.args(["gate", "--list"]);
    let (code, said) = ends(list).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.lines().count() > 20 && said.contains("dark-region"),
        "{said}"
    );
}

#[tokio::test]
async fn a_gate_that_misses_a_target_ends_with_1() {
    // One rollout in twenty-five is halted after more than 200 downloads only: this is one.
    let (code, said) = ends(gate("fails-10", "25")).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("| NO  |") && said.contains("failed to install it"),
        "{said}"
    );
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "batteries = 3\n").unwrap();
    let base = "http://127.0.0.1:9";
    let mut nameless = fleet(base, "", 1);
    nameless.env_remove("TIDEGATE_ADMIN_TOKEN");
    let mut crowd = fleet(base, "t", 1);
    crowd.args(["--raise", "120@6h"]);
    let mut odd = fleet(base, "t", 1);
    odd.arg("--population").arg(&wrong);
    let mut aimless = fleet(base, "t", 1);
    aimless.arg("--release-plan").arg(&wrong);
    let mut nowhere = fleet(base, "t", 1);
    nowhere.arg("--report").arg(folder.path().join("no/such/folder"));
    let elsewhere = fleet("http://192.0.2.1", "t", 1);
    for (command, word) in [
        (nameless, "tidegate admin token"),
        (crowd, "not a share from 0.01 to 100"),
        (odd, "batteries"),
        (aimless, "wrong.toml"),
        (nowhere, "no/such/folder"),
        (elsewhere, "192.0.2.1"),
        (gate("sunshine", "1"), "dark-region"),
    ] {
        let (code, said) = ends(command).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(word), "{word} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_ends_it_with_3() {
    let server = server().await;
    let (code, said) = ends(fleet(&server.url(""), "a-wrong-token", 1)).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("401") && !said.contains("a-wrong-token"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_it_with_130() {
    let server = server().await;
    let admin = server.operator(Role::Admin);
    let mut command = fleet(&server.url(""), admin.token(), 5_000);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let enrolled = || async { admin.devices("").await.ok()["items"].as_array().unwrap().len() };
    eventually(enrolled, |devices| *devices > 0).await;
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let output = spawn_blocking(move || child.wait_with_output().unwrap());
    let (code, said) = end(&output.await.unwrap());
    assert_eq!(code, 130, "{said}");
}
