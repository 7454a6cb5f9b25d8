//! A release that goes on by itself over a long weekend: two ramps, the nights of several zones, a freeze and a pause. The
//! server's clock is the fleet's, and the books say of each poll whether it was answered as the line and the windows ask.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod driven;

use std::time::Duration;

use tidegate_agent::domain::Role;
use tidegate_simulator::{Error, Plan, Population, ReleasePlan, Report, release_plan, run};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

const HOUR: Duration = Duration::from_secs(3_600);

/// A server whose package has version 1 out for everybody, and version 2 uploaded and not released.
async fn server(engine: Engine) -> TestServer {
    let server = TestServer::start(engine).await;
    let operator = server.operator(Role::Admin);
    let out = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(out, 100).await.ok();
    operator.uploaded(&apks::large(PACKAGE, 2, 100_000)).await;
    server
}

/// A fleet of several zones. Some of it tells none, and a tenth has agents of before.
fn population() -> Population {
    let mut population = Population::usual().unwrap();
    population.older_agents = 0.1;
    population.no_zone = 0.15;
    population
}

async fn plan(server: &TestServer, text: &str) -> Plan {
    let (clock, token) = driven::drive(server).await;
    Plan {
        server: server.url(""),
        token,
        package: PACKAGE.to_owned(),
        devices: 300,
        seed: 1,
        population: population(),
        faults: 0.0,
        duration: 72 * HOUR,
        raises: vec![],
        release: Some(ReleasePlan::parse(text).unwrap()),
        restarts: 0,
        clock: Some(clock),
    }
}

async fn lives_a_plan(engine: Engine) -> Report {
    let server = server(engine).await;
    let plan = plan(&server, release_plan::BY_ITSELF).await;
    let report = run(&plan, |_| {}).await.unwrap();
    let text = report.text();
    let books = report.plan.as_ref().unwrap();
    assert_eq!(books.disagreements, 0, "{text}");
    assert_eq!(
        (books.downloads_outside, books.installs_outside),
        (0, 0),
        "{text}"
    );
    assert!(books.at_edges + books.transfers_at_edges <= 5, "{text}");
    assert!(report.is_equal(), "{text}");
    // Each case came up, or the books would say nothing about it.
    for (what, count, least) in [
        ("polls", books.polls, 2_000),
        ("below the line", books.below_line, 200),
        ("above the line", books.above_line, 50),
        ("a closed window", books.closed, 50),
        ("a freeze", books.frozen, 5),
        ("a pause", books.paused, 50),
        ("offers without a zone", books.offered_without_zone, 10),
        ("older agents that were offered it", books.older_offered, 10),
        ("older agents that were refused", books.older_refused, 3),
        ("refused for installing", books.older_refused_to_install, 1),
        ("downloads", books.downloads, 100),
        ("installations", books.installs, 100),
    ] {
        assert!(count >= least, "{what}: {count} and not {least}\n{text}");
    }
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_lives_a_plan_by_its_windows_on_sqlite() {
    let report = lives_a_plan(Engine::Sqlite).await;
    eprintln!("{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_lives_a_plan_by_its_windows_on_postgres() {
    lives_a_plan(Engine::Postgres).await;
}

/// A plan that is not over when the fleet's time is can't be compared, and says so; nor can one on the server's own time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_not_over_is_refused() {
    let server = server(Engine::Sqlite).await;
    let mut plan = plan(&server, release_plan::BY_ITSELF).await;
    (plan.devices, plan.duration) = (2, 60 * HOUR);
    let refused = run(&plan, |_| {}).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Usage(_)), "{refused}");
    assert!(refused.to_string().contains("--duration"), "{refused}");
    plan.clock = None;
    let refused = run(&plan, |_| {}).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("--clock"), "{refused}");
}
