//! A small fleet against the real server: its days, its counts, and what a crash may cost.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod between;
mod driven;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use reqwest::Method;
use tidegate_agent::domain::Role;
use tidegate_simulator::{
    Error, Plan, Population, Progress, Raise, ReleasePlan, Report, Token, release_plan, run,
};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};
use tokio::sync::Notify;

const DEVICES: u32 = 200;
const HOUR: Duration = Duration::from_secs(3_600);

/// A server with one build that is released to this share.
async fn server(engine: Engine, percent: i64) -> TestServer {
    let server = TestServer::start(engine).await;
    let operator = server.operator(Role::Admin);
    let build = operator.uploaded(&apks::large(PACKAGE, 2, 100_000)).await;
    operator.promote(build, percent).await.ok();
    server
}

/// A plan whose clock the server follows.
async fn plan(server: &TestServer, faults: f64) -> Plan {
    let (clock, token) = driven::drive(server).await;
    Plan {
        server: server.url(""),
        token,
        package: PACKAGE.to_owned(),
        devices: DEVICES,
        seed: 1,
        population: population(),
        faults,
        duration: 36 * HOUR,
        raises: vec![Raise {
            percent: 100.0,
            after: 18 * HOUR,
        }],
        release: None,
        restarts: 0,
        clock: Some(clock),
    }
}

/// A server whose package has version 1 out for everybody, and version 2 uploaded and not released.
async fn server_before_a_release(engine: Engine) -> TestServer {
    let server = TestServer::start(engine).await;
    let operator = server.operator(Role::Admin);
    let out = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(out, 100).await.ok();
    operator.uploaded(&apks::large(PACKAGE, 2, 100_000)).await;
    server
}

/// Canaries by a tag, then a slice of the north, then a part of everybody, who all get it at last; but for those who are
/// pinned.
async fn plan_of_a_release(server: &TestServer, faults: f64) -> Plan {
    let text =
        ReleasePlan::parse(&release_plan::DEFAULT.replacen("percent = 100\n\n#", "percent = 99.99\n\n#", 1));
    let mut release = text.unwrap();
    for tag in &mut release.tags {
        tag.share = 0.15;
    }
    for (rollout, after_h) in release.rollouts.iter_mut().zip([0.0, 9.0, 18.0]) {
        rollout.after_h = after_h;
    }
    release.rollouts[1].percent = 66.67;
    release.rollouts[2].percent = 33.33;
    let raise = Raise {
        percent: 100.0,
        after: 27 * HOUR,
    };
    Plan {
        devices: 140,
        release: Some(release),
        raises: vec![raise],
        ..plan(server, faults).await
    }
}

/// The usual one, with enough mishaps for a small fleet to meet them all.
fn population() -> Population {
    let mut population = Population::usual().unwrap();
    population.wrong_signer = 0.02;
    population.downloads.cut = 0.2;
    population.downloads.corrupted = 0.05;
    for failure in &mut population.failures {
        failure.share = 0.05;
    }
    population
}

/// What must be the same the next time.
fn outcome(report: &Report) -> serde_json::Value {
    let mut outcome = serde_json::to_value(report).unwrap();
    outcome.as_object_mut().unwrap().remove("measured");
    outcome
}

fn total(report: &Report, status: &str) -> u64 {
    let of_it = report.reports.iter().filter(|(key, _)| key.starts_with(status));
    of_it.map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_has_the_same_outcome_and_the_counts_are_equal() {
    let mut outcomes = vec![];
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = server(engine, 10).await;
        let report = run(&plan(&server, 0.05).await, |_| {}).await.unwrap();
        assert!(report.is_equal(), "{engine:?}: {}", report.text());
        assert_eq!(report.checks.answered, report.checks.server);
        assert_eq!(report.stages[0].offered, report.stages[0].expected);
        for status in [
            "downloaded",
            "install_success",
            "install_failed",
            "verify_failed",
            "deferred",
        ] {
            assert!(
                total(&report, status) > 0,
                "nobody met {status}: {}",
                report.text()
            );
        }
        outcomes.push(outcome(&report));
        the_hours_are_the_fleets(&server).await;
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

/// Whether the server counted by the fleet's hours: from a Monday's first one on, and in most of the 36.
async fn the_hours_are_the_fleets(server: &TestServer) {
    let now = server.shared_clock().read();
    let operator = server.operator(Role::Admin);
    let stats = operator.get("/v1/apk/1/deployment-stats?hours=720").await.ok();
    let hours = stats["hours"].as_array().unwrap();
    let busy = hours
        .iter()
        .filter(|hour| hour["checks"].as_i64().unwrap_or(0) > 0);
    let begins: Vec<DateTime<Utc>> = busy
        .map(|hour| hour["hour"].as_str().unwrap().parse().unwrap())
        .collect();
    let first = begins[0];
    assert_eq!((first.weekday(), first.hour()), (Weekday::Mon, 0), "{begins:?}");
    assert!(
        begins.len() > 30 && now - first > TimeDelta::hours(36),
        "{begins:?}"
    );
}

/// Whether each rollout of a release plan offered the build to its own devices and to no others, and to some.
fn each_rollout_had_its_devices(report: &Report) {
    assert!(report.is_equal(), "{}", report.text());
    let rollouts = &report.formula.rollouts;
    let names: Vec<&str> = rollouts.iter().map(|rollout| rollout.name.as_str()).collect();
    assert_eq!(names, ["canaries", "north first", "everybody"]);
    for rollout in rollouts {
        assert!(rollout.offered > 5, "{}", report.text());
    }
    let offered: usize = rollouts.iter().map(|rollout| rollout.offered).sum();
    assert_eq!(offered, report.formula.offered, "no device is offered it by two");
    assert!(report.answers["above_ceiling"] > 0, "{}", report.text());
    assert!(offered < report.devices, "the pinned ones were left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_in_steps_takes_whom_each_step_addresses() {
    let mut outcomes = vec![];
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = server_before_a_release(engine).await;
        let report = run(&plan_of_a_release(&server, 0.0).await, |_| {}).await.unwrap();
        each_rollout_had_its_devices(&report);
        assert_eq!(report.checks.answered, report.checks.server);
        let stages: Vec<(&str, f64)> = report
            .stages
            .iter()
            .map(|stage| (stage.rollout.as_str(), stage.percent))
            .collect();
        let expected = [
            ("canaries", 99.99),
            ("north first", 66.67),
            ("everybody", 33.33),
            ("everybody", 100.0),
        ];
        assert_eq!(stages, expected);
        let sizes: Vec<usize> = report.stages.iter().map(|stage| stage.expected).collect();
        assert!(sizes.is_sorted_by(|before, after| before < after), "{sizes:?}");
        outcomes.push(outcome(&report));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

async fn a_release_through_crashes(engine: Engine) {
    let mut server = server_before_a_release(engine).await;
    let mut plan = plan_of_a_release(&server, 0.05).await;
    plan.restarts = 2;
    let (acts, due) = (AtomicUsize::new(0), Notify::new());
    let watch = |progress| {
        if let Progress::Living { .. } = progress
            && [200, 600].contains(&acts.fetch_add(1, Ordering::Relaxed))
        {
            due.notify_one();
        }
    };
    let report = tokio::select! {
        report = run(&plan, watch) => report.unwrap(),
        never = crash(&mut server, &due) => match never {},
    };
    each_rollout_had_its_devices(&report);
    assert!(report.measured.outages >= 1, "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_in_steps_survives_crashes_on_sqlite() {
    a_release_through_crashes(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_in_steps_survives_crashes_on_postgres() {
    a_release_through_crashes(Engine::Postgres).await;
}

/// The books are closed on a rollout that takes others than it should: somebody widens the canary's audience meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_takes_others_than_planned_is_found_out() {
    let server = server_before_a_release(Engine::Sqlite).await;
    let mut plan = plan_of_a_release(&server, 0.0).await;
    plan.devices = 60;
    // A token that outlasts the fleet's weeks, as the plan's does.
    let operator = server.operator(Role::Admin).with_token(&plan.token.0);
    let once = Notify::new();
    let acts = AtomicUsize::new(0);
    let watch = |progress| {
        if let Progress::Living { .. } = progress
            && acts.fetch_add(1, Ordering::Relaxed) == 30
        {
            once.notify_one();
        }
    };
    let widen = async {
        once.notified().await;
        let body = serde_json::json!({ "revision": 1, "audience": {} });
        let request = operator.request(Method::PATCH, "/v1/rollouts/2").json(&body);
        Answer::to(request).await.ok();
        std::future::pending::<Infallible>().await
    };
    let report = tokio::select! {
        report = run(&plan, watch) => report.unwrap(),
        never = widen => match never {},
    };
    assert!(!report.is_equal(), "{}", report.text());
    let found = &report.formula.contradictions[0];
    assert!(found.contains("by rollout 2, which does not take it"), "{found}");
}

/// Crashes the server each time that it is due, and starts it again.
async fn crash(server: &mut TestServer, due: &Notify) -> Infallible {
    loop {
        due.notified().await;
        server.crash();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start_again().await;
    }
}

async fn through_crashes(engine: Engine) {
    let mut server = server(engine, 10).await;
    let mut plan = plan(&server, 0.05).await;
    plan.restarts = 2;
    let (acts, due) = (AtomicUsize::new(0), Notify::new());
    let watch = |progress| {
        if let Progress::Living { .. } = progress
            && [300, 800].contains(&acts.fetch_add(1, Ordering::Relaxed))
        {
            due.notify_one();
        }
    };
    let report = tokio::select! {
        report = run(&plan, watch) => report,
        never = crash(&mut server, &due) => match never {},
    };
    let report = report.unwrap();
    assert!(report.is_equal(), "{engine:?}: {}", report.text());
    assert!(report.measured.outages >= 1, "{}", report.text());
}

/// What an outage excuses, it excuses only where it was meant to happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_nobody_announced_makes_the_counts_unequal() {
    let mut server = server(Engine::Sqlite, 100).await;
    let mut plan = plan(&server, 0.0).await;
    (plan.devices, plan.raises) = (40, vec![]);
    let (acts, due) = (AtomicUsize::new(0), Notify::new());
    let watch = |progress| {
        if let Progress::Living { .. } = progress
            && acts.fetch_add(1, Ordering::Relaxed) == 100
        {
            due.notify_one();
        }
    };
    let report = tokio::select! {
        report = run(&plan, watch) => report.unwrap(),
        never = crash(&mut server, &due) => match never {},
    };
    assert!(!report.is_equal(), "{}", report.text());
    assert_eq!(
        report.remarks,
        ["the server was away 1 times, and 0 were announced"]
    );
}

/// What happened on a phone happened, whether the server takes the report or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_an_outcome_is_found_out() {
    let server = server(Engine::Sqlite, 100).await;
    let mut plan = plan(&server, 0.0).await;
    (plan.devices, plan.raises) = (20, vec![]);
    plan.server = between::refusing(&server.url(""), "install_success").await;
    let report = run(&plan, |_| {}).await.unwrap();
    assert!(!report.is_equal(), "{}", report.text());
    let build = &report.builds[0];
    let installed = build.devices.installs_success;
    assert!(installed > 10, "{}", report.text());
    assert_eq!(build.server.installs_success, 0);
    assert_eq!(total(&report, "install_success"), 0, "none was acknowledged");
    let refused = format!("{installed} reports of install_success were never acknowledged: refused with 400");
    assert_eq!(report.remarks, [refused]);
    assert_eq!(
        report.stages[0].installed as u64, installed,
        "the picture is that of the phones"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_equal_after_crashes_on_sqlite() {
    through_crashes(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_equal_after_crashes_on_postgres() {
    through_crashes(Engine::Postgres).await;
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_before_a_device_is_enrolled() {
    let server = server(Engine::Sqlite, 100).await;
    let usual = plan(&server, 0.0).await;
    let refused = |change: fn(&mut Plan)| {
        let mut plan = usual.clone();
        plan.devices = 2;
        change(&mut plan);
        async move { run(&plan, |_| {}).await.map(|_| ()).unwrap_err() }
    };
    let elsewhere = refused(|plan| plan.server = "http://192.0.2.1:8080".to_owned()).await;
    assert!(matches!(elsewhere, Error::Elsewhere { .. }), "{elsewhere}");
    let unknown = refused(|plan| plan.package = "com.example.none".to_owned()).await;
    assert!(unknown.to_string().contains("promote"), "{unknown}");
    let stranger = refused(|plan| plan.token = Token("wrong".to_owned())).await;
    assert!(
        matches!(stranger, Error::Refused { status: 401, .. }),
        "{stranger}"
    );
    let late = refused(|plan| plan.duration = HOUR).await;
    assert!(late.to_string().contains("raised"), "{late}");
    let long = refused(|plan| plan.duration = 10 * 24 * HOUR).await;
    assert!(long.to_string().contains("up to 9 days"), "{long}");
    let early = refused(|plan| plan.release = ReleasePlan::usual().ok()).await;
    assert!(early.to_string().contains("after the base"), "{early}");
    let unknown = refused(|plan| {
        plan.raises = vec![];
        plan.release = ReleasePlan::usual().ok();
        plan.release.as_mut().unwrap().version_code = 3;
    });
    let unknown = unknown.await;
    assert!(unknown.to_string().contains("version code 3"), "{unknown}");
    let devices = server.operator(Role::Admin).devices("").await.ok();
    assert_eq!(devices["items"], serde_json::json!([]));

    let operator = server.operator(Role::Admin);
    let expression = serde_json::json!({ "rollout_percent": 50, "audience": "sdk >= 30" });
    operator.promote_as(1, &expression).await.ok();
    let odd = refused(|_| {}).await;
    assert!(odd.to_string().contains("\"sdk >= 30\""), "{odd}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_is_played_once_on_a_server_and_another_beside_it() {
    let server = server(Engine::Sqlite, 50).await;
    let mut plan = plan(&server, 0.0).await;
    (plan.devices, plan.raises) = (20, vec![]);
    assert!(run(&plan, |_| {}).await.unwrap().is_equal());
    let again = run(&plan, |_| {}).await.map(|_| ()).unwrap_err();
    assert!(again.to_string().contains("--seed"), "{again}");
    plan.seed = 2;
    let second = run(&plan, |_| {}).await.unwrap();
    assert!(second.is_equal(), "{}", second.text());
}
