//! Releases with a health gate that nobody watches: a fleet of agents lives them on two servers over one database, and the
//! gate alone decides how they end.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "it tells how each release ended")]

mod driven;
mod two_servers;

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_agent::domain::Role;
use tidegate_simulator::Population;
use tidegate_simulator::gated_release::{GatedRelease, GatedReport, run};
use tidegate_simulator::population::Brick;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

/// Devices poll every hour, so that a release is over within a day.
const POLL_INTERVAL: Duration = Duration::from_secs(3_600);

/// Agents that can wake often, on networks as they are. Nothing else is wrong with them.
fn population(bricks: &[Brick]) -> Population {
    let mut population = Population::usual().unwrap();
    population.dense = 1.0;
    population.wrong_signer = 0.0;
    population.failures.clear();
    population.downloads.corrupted = 0.0;
    population.bricks = bricks.to_vec();
    population
}

fn bricked(share: f64, within_h: Option<f64>) -> Brick {
    Brick {
        version_code: 2,
        share,
        within_h,
    }
}

/// A fifth for two hours, then half, then everybody.
fn steps() -> Value {
    json!([
        { "percent": 20, "bake": "2h" },
        { "percent": 50, "bake": "2h" },
        { "percent": 100, "bake": "2h" },
    ])
}

/// Version 1 is everybody's, version 2 is released by a plan with a gate. The servers live as long as the report is made.
async fn lives(engine: Engine, change: impl FnOnce(&mut GatedRelease)) -> GatedReport {
    let server = TestServer::start_with(engine, |config| config.poll_interval = POLL_INTERVAL).await;
    let replica = server.replica().await;
    let operator = server.operator(Role::Admin);
    let out = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(out, 100).await.ok();
    operator.uploaded(&apks::build(PACKAGE, 2)).await;
    let (clock, token) = driven::drive(&server).await;
    let mut release = GatedRelease {
        server: two_servers::in_turn(&[server.url(""), replica.url("")]).await,
        token,
        package: PACKAGE.to_owned(),
        version: 2,
        devices: 1_500,
        seed: 1,
        population: population(&[]),
        steps: steps(),
        on_halt: "hold",
        silent_after_h: None,
        resumes: false,
        hours: 48,
        clock,
    };
    change(&mut release);
    let report = run(&release).await.unwrap();
    eprintln!("{report}");
    report
}

fn phases(report: &GatedReport) -> Vec<&str> {
    let phases = report
        .events
        .iter()
        .map(|event| event["phase"].as_str().unwrap_or("-"));
    phases.collect()
}

/// The event that the gate wrote when it stopped the release, with its words.
fn stop(report: &GatedReport) -> (&str, i64, &str) {
    let stops = ["halted", "rolled_back"];
    let mut events = report.events.iter();
    let event = events
        .find(|event| stops.contains(&event["state"].as_str().unwrap()))
        .unwrap_or_else(|| panic!("nothing stopped it\n{report}"));
    assert_eq!(event["actor"], "tidegate", "{report}");
    let words = event["remark"].as_str().unwrap_or_default();
    (
        event["state"].as_str().unwrap(),
        event["step"].as_i64().unwrap_or(0),
        words,
    )
}

async fn a_build_that_bricks_is_taken_back(engine: Engine) {
    let report = lives(engine, |release| {
        release.population = population(&[bricked(0.05, None)]);
        release.on_halt = "roll_back";
    })
    .await;
    let (state, step, words) = stop(&report);
    assert_eq!(state, "rolled_back", "{report}");
    assert!(step <= 2, "{report}");
    assert!(
        words.starts_with("Halted: ") && words.contains("fell silent"),
        "{words}"
    );
    assert!((4..120).contains(&report.bricked), "{report}");
    assert!(report.installed < 900, "{report}");
    // The last good build goes on to serve the others.
    assert_eq!(report.base["state"], "active", "{report}");
    assert!(report.on_base > 600, "{report}");
}

async fn a_good_build_goes_to_everybody_by_itself(engine: Engine) {
    let report = lives(engine, |_| {}).await;
    assert_eq!(report.rollout["state"], "completed", "{report}");
    assert!(report.installed > 1_200, "{report}");
    let seen = |test: &str| report.gate[test]["seen"].as_i64().unwrap();
    assert_eq!(
        (seen("failed"), seen("corrupt"), seen("crashing")),
        (0, 0, 0),
        "{report}"
    );
    // Some healthy phones are out of reach for an hour and a half, in either arm.
    assert!(seen("lost") < 15, "{report}");
}

async fn traffic_that_stops_never_advances(engine: Engine) {
    let report = lives(engine, |release| {
        release.silent_after_h = Some(9);
        release.hours = 30;
    })
    .await;
    assert_eq!(report.rollout["state"], "active", "{report}");
    assert_eq!(report.rollout["progress"]["step"], 1, "{report}");
    assert!(phases(&report).contains(&"blind"), "{report}");
}

async fn who_resumes_after_a_false_alarm_is_not_halted_by_the_same_devices(engine: Engine) {
    let report = lives(engine, |release| {
        // Only within the first hours of the release, which begins after eight.
        release.population = population(&[bricked(0.06, Some(12.0))]);
        release.resumes = true;
    })
    .await;
    assert_eq!(stop(&report).0, "halted");
    let halts = report.events.iter().filter(|event| event["state"] == "halted");
    assert_eq!(halts.count(), 1, "{report}");
    assert_eq!(report.rollout["state"], "completed", "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_bricks_is_taken_back_on_sqlite() {
    a_build_that_bricks_is_taken_back(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_build_goes_to_everybody_by_itself_on_postgres() {
    a_good_build_goes_to_everybody_by_itself(Engine::Postgres).await;
}

/// The rest take minutes each: `just gated-releases`.
macro_rules! campaign {
    ($($test:ident: $name:ident on $engine:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "minutes: just gated-releases"]
        async fn $test() {
            $name(Engine::$engine).await;
        })*
    };
}

campaign!(
    a_build_that_bricks_is_taken_back_on_postgres: a_build_that_bricks_is_taken_back on Postgres,
    a_good_build_goes_to_everybody_by_itself_on_sqlite: a_good_build_goes_to_everybody_by_itself on Sqlite,
    traffic_that_stops_never_advances_on_sqlite: traffic_that_stops_never_advances on Sqlite,
    traffic_that_stops_never_advances_on_postgres: traffic_that_stops_never_advances on Postgres,
    who_resumes_is_not_halted_by_the_same_devices_on_sqlite:
        who_resumes_after_a_false_alarm_is_not_halted_by_the_same_devices on Sqlite,
    who_resumes_is_not_halted_by_the_same_devices_on_postgres:
        who_resumes_after_a_false_alarm_is_not_halted_by_the_same_devices on Postgres,
);
