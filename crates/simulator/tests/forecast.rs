//! What the server said of a release before it was made, beside what a fleet then lived: the devices of each step to the
//! device, and the times until half and 90 of 100 were offered the build within 15 %.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "it shows what was said beside what happened")]

mod driven;

use std::time::Duration;

use tidegate_agent::domain::Role;
use tidegate_simulator::{Plan, Population, ReleasePlan, Report, run};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

const HOUR: Duration = Duration::from_secs(3_600);

/// A canary at once, a ramp and everybody. Devices have polled twice and more by then, so that it is known when they do.
const BY_TIME: &str = r#"
    version_code = 2
    [[rollouts]]
    name = "by time"
    after_h = 18
    plan = [
        { percent = 10, bake_h = 12 },
        { percent = 50, over_h = 12, bake_h = 6 },
        { percent = 100, bake_h = 6 },
    ]
"#;

/// The same by night, with a time to begin at. Half of the devices of each ramp wait for their evening.
const BY_NIGHT: &str = r#"
    version_code = 2
    [[calendars]]
    name = "nights"
    zone = "device"
    fallback_zone = "UTC"
    windows = [{ days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], start = "20:00", end = "06:00" }]
    [[rollouts]]
    name = "by night"
    after_h = 18
    plan = [
        { percent = 25, over_h = 12, bake_h = 12, not_before_h = 24 },
        { percent = 100, over_h = 24, bake_h = 24 },
    ]
    calendars = { download = "nights" }
"#;

/// How many devices a fleet has: `just forecast` lets more live.
fn devices() -> u32 {
    let more = std::env::var("FORECAST_DEVICES").ok();
    more.map_or(400, |devices| devices.parse().unwrap())
}

async fn lives(engine: Engine, release: &str, seed: u64) -> Report {
    let server = TestServer::start(engine).await;
    let operator = server.operator(Role::Admin);
    let out = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(out, 100).await.ok();
    operator.uploaded(&apks::large(PACKAGE, 2, 100_000)).await;
    let (clock, token) = driven::drive(&server).await;
    let plan = Plan {
        server: server.url(""),
        token,
        package: PACKAGE.to_owned(),
        devices: devices(),
        seed,
        population: Population::usual().unwrap(),
        faults: 0.0,
        duration: 110 * HOUR,
        raises: vec![],
        release: Some(ReleasePlan::parse(release).unwrap()),
        restarts: 0,
        clock: Some(clock),
    };
    run(&plan, |_| {}).await.unwrap()
}

async fn does_what_was_said(engine: Engine, release: &str, seed: u64) {
    let report = lives(engine, release, seed).await;
    let text = report.text();
    eprintln!("{text}");
    let books = report.forecast.as_ref().unwrap();
    assert_eq!(books.devices, u64::from(devices()), "{text}");
    assert!(books.steps.iter().all(|step| step.forecast > 20), "{text}");
    assert!(books.hold(), "{text}");
    assert!(text.contains("The forecast, and what happened"), "{text}");
    assert!(report.is_equal(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_by_time_does_what_was_said_on_sqlite() {
    does_what_was_said(Engine::Sqlite, BY_TIME, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_by_night_does_what_was_said_on_sqlite() {
    does_what_was_said(Engine::Sqlite, BY_NIGHT, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_by_time_does_what_was_said_on_postgres() {
    does_what_was_said(Engine::Postgres, BY_TIME, 3).await;
}
