//! What Prometheus is told: the names that the docs list, and numbers that are those of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tidegate_domain::Role;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::fleet;

on_both_engines!(
    the_page_has_what_the_docs_list_and_nothing_else,
    a_port_that_devices_reach_tells_nobody_without_a_token,
    no_caller_writes_a_label,
    counters_begin_again_with_the_process,
    gauges_are_the_fleets_own_numbers,
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
    let rows = DOCS.lines().filter(|line| line.starts_with("| `ota_"));
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

async fn the_page_has_what_the_docs_list_and_nothing_else(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (build, _) = day(&server).await;
    let page = page(&server).await;
    assert_eq!(metrics_on(&page), metrics_in_the_docs());

    let count = |series: &str| value(&page, series);
    assert_eq!(count("ota_check_total{status=\"200\"}"), 3.0);
    assert_eq!(count("ota_check_total{status=\"304\"}"), 1.0);
    assert_eq!(count("ota_check_total{status=\"400\"}"), 1.0);
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
    assert_eq!(value(&page, "ota_check_total{status=\"200\"}"), 0.0);
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
    fn scraping(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: tidegate, static_configs: [{{targets: [\"{target}\"]}}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // It does not tell which port it was given, so one is chosen for it that was free a moment ago.
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

    /// The value of a query that has one; `None` while Prometheus has not begun or knows nothing of it.
    async fn ask(&self, http: &reqwest::Client, query: &str) -> Option<f64> {
        let request = http
            .get(format!("{}/api/v1/query", self.base))
            .query(&[("query", query)]);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

#[tokio::test]
async fn a_real_prometheus_ends_up_with_the_devices_own_books() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.admin_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let prometheus = Prometheus::scraping(server.admin_url("").trim_start_matches("http://"));
    let operator = server.operator(Role::Operator);
    let build = operator.uploaded(&apks::build(PACKAGE, 2)).await;
    operator.promote(build, 40).await.ok();
    let devices = fleet::enroll(&server, 60, 1).await;

    let (mut offered, mut refused, mut installed, mut failed, mut unverified) = (0, 0, 0, 0, 0);
    for (device, polled) in fleet::poll(&devices, 1).await {
        let Some(manifest) = polled.manifest else {
            refused += 1;
            continue;
        };
        offered += 1;
        assert_eq!(device.download(&manifest, None).await.status, 200);
        let (status, book) = match offered % 5 {
            0 => ("install_failed", &mut failed),
            1 => ("verify_failed", &mut unverified),
            _ => ("install_success", &mut installed),
        };
        *book += 1;
        device.report(build, status).await.ok();
    }
    assert!(offered > 10 && refused > 10, "{offered} {refused}");
    let books = [
        ("sum(ota_check_total{status=\"200\"})", offered),
        ("sum(ota_check_total{status=\"304\"})", refused),
        ("sum(ota_poll_decision_total{reason=\"not_in_cohort\"})", refused),
        ("sum(ota_download_total{version_code=\"2\"})", offered),
        ("sum(ota_install_total{status=\"success\"})", installed),
        ("sum(ota_install_total{status=\"failed\"})", failed),
        ("sum(ota_verify_failed_total)", unverified),
        (
            "sum(ota_request_duration_seconds_count{route=\"/v1/agent/report\",code=\"200\"})",
            installed + failed + unverified,
        ),
        ("count(up{job=\"tidegate\"} == 1)", 1),
    ];
    for (query, book) in books {
        let book = f64::from(book);
        eventually(
            || prometheus.ask(server.http(), query),
            |answer| *answer == Some(book),
        )
        .await;
    }
}
