//! What Prometheus is told: the names that the docs list, and numbers that are those of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_simulator::{Plan, Population, Raise, Token};
use tidegate_testkit::agent::Agent;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::fleet;

on_both_engines!(
    the_page_has_what_the_docs_list_and_nothing_else,
    a_port_that_devices_reach_tells_nobody_without_a_token,
    no_caller_writes_a_label,
    counters_begin_again_with_the_process,
    either_format_is_written_as_its_standard_has_it,
    gauges_are_the_fleets_own_numbers,
    nudges_are_counted_as_fcm_answered_them,
    a_suspended_campaign_is_told_and_what_it_gave_back_is_not_counted,
);

const DOCS: &str = include_str!("../../../../docs/operations.md");

async fn page(server: &TestServer) -> String {
    let answer = server.operator(Role::Viewer).get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    String::from_utf8(answer.body).unwrap()
}

/// The value of a series, written as on the page.
fn value(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("there is no {series} in {page}"));
    line.parse().unwrap()
}

/// Every metric with the labels of its series.
fn metrics_on(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
        let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
        let labels = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let all: &mut BTreeSet<String> = metrics.entry(name.to_owned()).or_default();
        all.extend(labels.filter(|label| label != "le"));
    }
    metrics
}

/// Rows of the shape `| `ota_…` | `label`, `label` | what it tells |`.
fn metrics_in_the_docs() -> BTreeMap<String, BTreeSet<String>> {
    let rows = DOCS
        .lines()
        .filter(|line| line.starts_with("| `ota_") || line.starts_with("| `process_"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").filter(|label| *label != "–");
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        (cells[1].trim_matches('`').to_owned(), labels.collect())
    });
    rows.collect()
}

/// A day in which everything happens once: a build comes, is offered, fetched, and installs here and fails there.
async fn day(server: &TestServer) -> (i64, Vec<Agent>) {
    let operator = server.operator(Role::Operator);
    let build = operator.uploaded(&apks::build(PACKAGE, 2)).await;
    operator.promote(build, 100).await.ok();
    let devices = fleet::enroll(server, 3, 1).await;
    for (number, device) in devices.iter().enumerate() {
        let manifest = device.poll(1).await.manifest.unwrap();
        assert_eq!(device.download(&manifest, None).await.status, 200);
        let outcome = ["install_success", "install_failed", "verify_failed"][number];
        for _ in 0..2 {
            device.report(build, outcome).await.ok();
        }
    }
    devices[0].poll(2).await;
    devices[0]
        .ask(PACKAGE, -7, "")
        .await
        .invalid("current_version_code");
    (build, devices)
}

/// A rollout with a plan, of which a change waits for a second person.
async fn a_plan_waits(server: &TestServer, build: i64) {
    let operator = server.operator(Role::Operator);
    let plan = json!({ "steps": [{ "percent": 1, "bake": "1day" }, { "percent": 100 }] });
    let new = json!({ "build_id": build, "priority": 5, "plan": plan });
    let made = operator.post("/v1/rollouts", &new).await.json();
    let change = async |who: &Operator, path: &str, body: Value| {
        let changed = who.request(reqwest::Method::PATCH, path).json(&body);
        changed.send().await.unwrap().status()
    };
    let package = format!("/v1/packages/{PACKAGE}");
    let always = json!({ "approval": "always" });
    assert_eq!(change(&server.operator(Role::Admin), &package, always).await, 200);
    let rollout = format!("/v1/rollouts/{}", made["rollout_id"]);
    let wider = json!({ "revision": made["revision"], "priority": 9 });
    assert_eq!(change(&operator, &rollout, wider).await, 202);
}

/// A rollout with a gate that is halted, and waits for a person.
async fn a_gate_is_halted(server: &TestServer, build: i64) {
    let operator = server.operator(Role::Operator);
    let new = json!({ "build_id": build, "priority": 3, "rollout_percent": 1, "gate": {} });
    let made = operator.post("/v1/rollouts", &new).await.json();
    let halt = format!("/v1/rollouts/{}/halt", made["rollout_id"]);
    operator.post_text(&halt, "").await.ok();
}

async fn the_page_has_what_the_docs_list_and_nothing_else(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (build, _) = day(&server).await;
    let operator = server.operator(Role::Operator);
    let base = operator.rollouts("").await.ok()["items"][0].clone();
    let soon = server.clock().read() + chrono::TimeDelta::seconds(1);
    let due = json!({ "revision": base["revision"], "install_deadline": soon.to_rfc3339() });
    let path = format!("/v1/rollouts/{}", base["rollout_id"]);
    let edit = operator.request(reqwest::Method::PATCH, &path).json(&due);
    assert_eq!(edit.send().await.unwrap().status(), 200);
    server.clock().advance(chrono::TimeDelta::seconds(2));
    a_gate_is_halted(&server, build).await;
    a_plan_waits(&server, build).await;
    // The fleet is counted a moment after the server's start, and again after a change.
    let counted =
        |page: &String| page.contains("\nota_devices{") && page.contains("\nota_rollout_overdue_devices{");
    let page = eventually(|| page(&server), counted).await;
    let mut told_of = metrics_in_the_docs();
    if engine == Engine::Postgres {
        // Its disk is not this server's to look after.
        told_of.retain(|name, _| !name.starts_with("ota_disk_"));
    }
    assert_eq!(metrics_on(&page), told_of);

    let count = |series: &str| value(&page, series);
    assert_eq!(count("ota_check_total{status=\"available\"}"), 3.0);
    assert_eq!(count("ota_check_total{status=\"no_update\"}"), 1.0);
    let refused =
        "ota_request_duration_seconds_count{code=\"400\",method=\"GET\",route=\"/v1/agent/update\"}";
    assert_eq!(count(refused), 1.0);
    assert_eq!(count("ota_poll_decision_total{reason=\"offered\"}"), 3.0);
    assert_eq!(count("ota_poll_decision_total{reason=\"already_current\"}"), 1.0);
    assert_eq!(
        count(&format!(
            "ota_download_total{{build_id=\"{build}\",version_code=\"2\"}}"
        )),
        3.0
    );
    assert_eq!(
        count(&format!(
            "ota_install_total{{build_id=\"{build}\",status=\"success\"}}"
        )),
        1.0
    );
    assert_eq!(
        count(&format!(
            "ota_install_total{{build_id=\"{build}\",status=\"failed\"}}"
        )),
        1.0
    );
    assert_eq!(count("ota_verify_failed_total"), 1.0);
    assert_eq!(
        count("ota_upload_bytes_total"),
        apks::build(PACKAGE, 2).len() as f64
    );
    let promote =
        "ota_request_duration_seconds_count{code=\"200\",method=\"POST\",route=\"/v1/apk/{id}/promote\"}";
    assert_eq!(count(promote), 1.0);
    check_with_promtool(&page);
}

async fn a_port_that_devices_reach_tells_nobody_without_a_token(engine: Engine) {
    let server = TestServer::start(engine).await;
    Answer::to(server.http().get(server.url("/metrics")))
        .await
        .refused(401, "no_token");
    let device = server.device("phone").await;
    let refused = Answer::to(device.request(reqwest::Method::GET, "/metrics")).await;
    assert_eq!(refused.status, 401);

    let apart = TestServer::start_with(engine, |config| {
        config.admin_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let answer = Answer::to(apart.http().get(apart.admin_url("/metrics"))).await;
    assert_eq!(answer.status, 200);
    Answer::to(apart.http().get(apart.url("/metrics")))
        .await
        .refused(404, "no_such_path");

    let silent = TestServer::start_with(engine, |config| config.metrics = false).await;
    let answer = silent.operator(Role::Viewer).get("/metrics").await;
    answer.refused(404, "metrics_off");
}

async fn no_caller_writes_a_label(engine: Engine) {
    let server = TestServer::start(engine).await;
    for number in 0..5 {
        for path in [
            format!("/v1/devices/mallory-{number}"),
            format!("/mallory/{number}"),
        ] {
            let request = server.http().get(server.url(&path));
            let request = request.header("content-type", "application/grpc");
            Answer::to(request).await;
        }
        let method = reqwest::Method::from_bytes(format!("MALLORY{number}").as_bytes()).unwrap();
        Answer::to(server.http().request(method, server.url("/v1/apk"))).await;
    }
    let page = page(&server).await;
    assert!(!page.to_lowercase().contains("mallory"), "{page}");
    let refused =
        "ota_request_duration_seconds_count{code=\"401\",method=\"GET\",route=\"/v1/devices/{device_id}\"}";
    assert_eq!(value(&page, refused), 5.0);
}

async fn either_format_is_written_as_its_standard_has_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    day(&server).await;
    let text = page(&server).await;
    assert!(
        text.contains("le=\"+Inf\"") && !text.contains("le=\"inf\""),
        "{text}"
    );
    check_with_promtool(&text);
    for metric in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(value(&text, metric) >= 0.0);
    }
    // Each route and code costs few series.
    let of_polls = text.lines().filter(|line| {
        line.starts_with("ota_request_duration_seconds")
            && line.contains("code=\"200\",method=\"GET\",route=\"/v1/agent/update\"")
    });
    assert_eq!(of_polls.count(), 7);

    // What Prometheus asks for.
    let accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let viewer = server.operator(Role::Viewer);
    let request = viewer
        .request(reqwest::Method::GET, "/metrics")
        .header("accept", accept);
    let answer = Answer::to(request).await;
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(answer.header("vary"), "accept");
    let open = String::from_utf8(answer.body).unwrap();
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    assert!(open.contains("# TYPE ota_check counter\n"), "{open}");
    assert!(
        open.contains("le=\"+Inf\"") && !open.contains("le=\"inf\""),
        "{open}"
    );
    assert_eq!(value(&open, "ota_check_total{status=\"available\"}"), 3.0);
    let without_help = |page: &str| {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let names = samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        names.collect::<BTreeSet<String>>()
    };
    // The same series under the same names, but for the requests that were answered in between.
    let missing: Vec<_> = without_help(&text)
        .difference(&without_help(&open))
        .cloned()
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

async fn counters_begin_again_with_the_process(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let (build, _) = day(&server).await;
    server.stop().await;
    server.start_again().await;
    let page = page(&server).await;
    // The series are there from the beginning, so that the first event of a build is a rise.
    let installed = format!("ota_install_total{{build_id=\"{build}\",status=\"success\"}}");
    assert_eq!(value(&page, &installed), 0.0);
    assert_eq!(value(&page, "ota_verify_failed_total"), 0.0);
    assert_eq!(value(&page, "ota_check_total{status=\"available\"}"), 0.0);
}

async fn gauges_are_the_fleets_own_numbers(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let (build, devices) = day(&server).await;
    let operator = server.operator(Role::Operator);
    operator.pause(build).await.ok();
    // The counts of a moment ago are written by then, and what a page keeps for a while is read anew.
    server.stop().await;
    server.start_again().await;
    drop(devices);
    let counted = format!(
        "ota_rollout_share_ratio{{build_id=\"{build}\",package_name=\"{PACKAGE}\",version_code=\"2\"}} 0.3"
    );
    let page = eventually(|| page(&server), |page| page.contains(&counted)).await;
    let of = |name: &str| {
        let labels = format!("{{build_id=\"{build}\",package_name=\"{PACKAGE}\",version_code=\"2\"}}");
        value(&page, &format!("{name}{labels}"))
    };
    assert_eq!(of("ota_rollout_percent"), 100.0);
    assert_eq!(of("ota_rollout_active"), 0.0);
    assert!((of("ota_adoption_ratio") - 1.0 / 3.0).abs() < 1e-9);
    assert!((of("ota_rollout_share_ratio") - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(value(&page, "ota_poll_buffered"), 0.0);
    assert!(value(&page, "ota_catalog_version") > 0.0);
    assert!(value(&page, "ota_catalog_age_seconds") < 30.0);
}

async fn nudges_are_counted_as_fcm_answered_them(engine: Engine) {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(engine, |config| fcm::send_to(&push, config)).await;
    let devices = fleet::enroll(&server, 3, 1).await;
    for device in &devices {
        device.set_fcm_token(&format!("at-{}", device.id)).await.ok();
    }
    push.answer_token("at-device-0001", [fcm::Answer::Unregistered]);
    let olga = server.operator(Role::Operator);
    olga.post("/v1/apk/nudge-update", &json!({})).await.ok();
    let page = page(&server).await;
    let nudges = |status: &str| value(&page, &format!("ota_nudge_total{{status=\"{status}\"}}"));
    assert_eq!(
        [nudges("sent"), nudges("failed"), nudges("retried")],
        [2.0, 1.0, 0.0]
    );
    assert_eq!(value(&page, "ota_nudge_queued"), 0.0);
}

async fn a_suspended_campaign_is_told_and_what_it_gave_back_is_not_counted(engine: Engine) {
    let push = StandIn::start().await.unwrap();
    let account = push.service_account_of("somebody-elses");
    let server = TestServer::start_with(engine, |config| fcm::send_as(&account, &push, config)).await;
    for device in fleet::enroll(&server, 30, 1).await {
        device.set_fcm_token(&format!("at-{}", device.id)).await.ok();
    }
    let olga = server.operator(Role::Operator);
    olga.post("/v1/apk/nudge-update", &json!({})).await.ok();
    let told = || async {
        let page = page(&server).await;
        let counted = ["sent", "failed", "retried"]
            .map(|status| value(&page, &format!("ota_nudge_total{{status=\"{status}\"}}")));
        (value(&page, "ota_nudge_held"), counted)
    };
    eventually(told, |(suspended, _)| *suspended > 0.0).await;
    let newest = olga.get("/v1/nudges").await.ok()["items"][0]["campaign_id"].clone();
    let path = format!("/v1/nudges/{newest}");
    let all_back = |campaign: &Value| campaign["progress"]["queued"] == 30;
    eventually(|| async { olga.get(&path).await.ok() }, all_back).await;
    assert_eq!(told().await, (1.0, [0.0; 3]));
    olga.post_text(&format!("{path}/cancel"), "").await.ok();
    assert_eq!(told().await, (0.0, [0.0; 3]));
}

fn check_with_promtool(page: &str) {
    use std::io::Write as _;
    let mut command = Command::new("promtool");
    let child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is missing: `just prometheus` installs it");
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How often another port is tried: Prometheus does not tell which one it was given, so each is one that was free a
/// moment ago.
const PORTS_TRIED: usize = 5;

/// A Prometheus of its own, which ends with the test.
struct Prometheus {
    child: Child,
    base: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    async fn scraping(server: &TestServer) -> Self {
        for _ in 0..PORTS_TRIED {
            let mut prometheus = Self::start(server);
            if prometheus.is_up(server.http()).await {
                return prometheus;
            }
        }
        panic!("Prometheus found none of {PORTS_TRIED} ports free");
    }

    fn start(server: &TestServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = server.url("");
        let target = url.trim_start_matches("http://");
        let viewer = server.operator(Role::Viewer);
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n\
             - job_name: tidegate\n\
             \x20 authorization: {{credentials: \"{}\"}}\n\
             \x20 static_configs: [{{targets: [\"{target}\"]}}]\n",
            viewer.token()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is missing: `just prometheus` installs it");
        Self {
            child,
            base: format!("http://{port}"),
            _folder: folder,
        }
    }

    /// Waits until it answers; false when it ended instead.
    async fn is_up(&mut self, http: &reqwest::Client) -> bool {
        let ready = format!("{}/-/ready", self.base);
        while self.child.try_wait().unwrap().is_none() {
            let answer = http.get(&ready).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The value of a query that has one.
    async fn ask(&self, http: &reqwest::Client, query: &str) -> Option<f64> {
        let request = http
            .get(format!("{}/api/v1/query", self.base))
            .query(&[("query", query)]);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

/// A fleet's days, from which Prometheus must come away with the numbers that the fleet itself counted.
fn plan(server: &TestServer) -> Plan {
    let hour = Duration::from_secs(3600);
    Plan {
        server: server.url(""),
        token: Token(server.operator(Role::Admin).token().to_owned()),
        package: PACKAGE.to_owned(),
        devices: 150,
        seed: 7,
        population: Population::usual().unwrap(),
        faults: 0.0,
        release: None,
        restarts: 0,
        duration: 24 * hour,
        raises: vec![Raise {
            percent: 100.0,
            after: 12 * hour,
        }],
        clock: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_ends_up_with_the_fleets_own_counts() {
    let server = TestServer::start(Engine::Sqlite).await;
    let prometheus = Prometheus::scraping(&server).await;
    let operator = server.operator(Role::Operator);
    let build = operator.uploaded(&apks::build(PACKAGE, 2)).await;
    operator.promote(build, 40).await.ok();
    let report = tidegate_simulator::run(&plan(&server), |_| {}).await.unwrap();
    assert!(report.is_equal(), "{}", report.text());

    let reported = |status: &str| -> u64 {
        let of_it = report.reports.iter().filter(|(key, _)| key.starts_with(status));
        of_it.map(|(_, count)| count).sum()
    };
    assert!(
        reported("install_success") > 100 && reported("deferred") > 0,
        "{}",
        report.text()
    );
    let mut expected: BTreeMap<String, u64> = report
        .answers
        .iter()
        .map(|(reason, count)| {
            (
                format!("sum(ota_poll_decision_total{{reason=\"{reason}\"}})"),
                *count,
            )
        })
        .collect();
    assert!(expected.len() > 2, "{expected:?}");
    let of_build = format!("build_id=\"{build}\"");
    for (query, count) in [
        ("sum(ota_check_total)".to_owned(), report.checks.answered),
        (
            format!("sum(ota_install_total{{{of_build},status=\"success\"}})"),
            reported("install_success"),
        ),
        (
            format!("sum(ota_install_total{{{of_build},status=\"failed\"}})"),
            reported("install_failed"),
        ),
        (
            "sum(ota_verify_failed_total)".to_owned(),
            reported("verify_failed"),
        ),
        ("sum(ota_report_total)".to_owned(), reported("")),
        ("count(up{job=\"tidegate\"} == 1)".to_owned(), 1),
    ] {
        expected.insert(query, count);
    }
    for (query, count) in expected {
        let count = count as f64;
        let told = || prometheus.ask(server.http(), &query);
        eventually(told, |answer| *answer == Some(count)).await;
    }
}
