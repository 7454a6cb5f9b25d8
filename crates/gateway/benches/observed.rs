//! What it costs a poll to be observed: the finished program as it is delivered, with metrics and the log at `info`,
//! against the same program with both switched off, in turn, in one run.
//!
//! The observed server is scraped once a second, fifteen times as often as a Prometheus would. Quote the ratio: the
//! absolute figures include the client, which shares the machine.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]

mod load;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use load::{device_in, rate};
use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_testkit::apks;

const PACKAGE: &str = "com.example.poll";
const ROUNDS: usize = 16;
const SCRAPED_EVERY: Duration = Duration::from_secs(1);

fn main() {
    // `cargo bench` and `cargo test --benches` hand over flags of their own; only the former asks for a run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tidegate_gateway::choose_cryptography();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let observed = Server::start(&folder.path().join("observed"), &[]).await;
    let quiet = [("TIDEGATE_METRICS", "false"), ("TIDEGATE_LOG", "off")];
    let unobserved = Server::start(&folder.path().join("unobserved"), &quiet).await;
    let scraper = tokio::spawn(scrape(observed.address, observed.admin.clone()));
    for (name, inside) in [("304", false), ("200", true)] {
        let requests = [
            observed.poll(&device_in(inside)).await,
            unobserved.poll(&device_in(inside)).await,
        ];
        compare(name, &observed, &unobserved, &requests).await;
    }
    scraper.abort();
}

async fn compare(name: &str, observed: &Server, unobserved: &Server, requests: &[String; 2]) {
    let mut ratios = Vec::new();
    let (mut with, mut without) = (0.0, 0.0);
    for round in 0..ROUNDS {
        // Who comes second finds a warmer machine.
        if round % 2 == 0 {
            with = rate(observed.address, &requests[0]).await;
            without = rate(unobserved.address, &requests[1]).await;
        } else {
            without = rate(unobserved.address, &requests[1]).await;
            with = rate(observed.address, &requests[0]).await;
        }
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    let median = f64::midpoint(ratios[ROUNDS / 2 - 1], ratios[ROUNDS / 2]);
    println!(
        "poll {name}, observed: {with:.0}/s, unobserved {without:.0}/s at last, ratio median {median:.3} (quartiles {:.3}, {:.3})",
        ratios[ROUNDS / 4],
        ratios[3 * ROUNDS / 4],
    );
}

async fn scrape(address: SocketAddr, admin: String) {
    let http = Client::new();
    loop {
        let page = http.get(format!("http://{address}/metrics")).bearer_auth(&admin);
        let page = page.send().await.expect("a page").text().await.expect("its text");
        assert!(page.contains("ota_check_total"), "{page}");
        tokio::time::sleep(SCRAPED_EVERY).await;
    }
}

/// The program with a build that a tenth of the fleet is offered. Killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: String,
    enrollment: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let address = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let child = program(folder)
            .arg("serve")
            .env("TIDEGATE_LISTEN", address.to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let ready = format!("http://{address}/readyz");
        while !reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let admin = told(folder, &["token", "--subject", "bench", "--role", "operator"]);
        let enrollment = told(folder, &["enroll-token", "--uses", "2"]);
        let server = Self {
            child,
            address,
            admin,
            enrollment,
        };
        let apk = Part::bytes(apks::build(PACKAGE, 2)).file_name("app.apk");
        let upload = server
            .post("/v1/apk/upload")
            .multipart(Form::new().part("file", apk));
        let build = answer(upload).await["build_id"].clone();
        let promote = server.post(&format!("/v1/apk/{build}/promote"));
        answer(promote.json(&json!({ "rollout_percent": 10 }))).await;
        server
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let request = Client::new().post(format!("http://{}{path}", self.address));
        request.bearer_auth(&self.admin)
    }

    /// A new device's poll.
    async fn poll(&self, device: &str) -> String {
        let order = json!({ "enrollment_token": self.enrollment, "device_id": device });
        let enrolled = answer(self.post("/v1/agent/enroll").json(&order)).await;
        let token = enrolled["device_token"].as_str().expect("a token");
        format!(
            "GET /v1/agent/update?device_id={device}&current_version_code=1&package_name={PACKAGE}&sdk=34 HTTP/1.1\r\n\
             Host: tidegate\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    }
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// What a command of `tidegate admin` prints.
fn told(folder: &Path, command: &[&str]) -> String {
    let output = program(folder)
        .arg("admin")
        .args(command)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .expect("a text")
        .trim()
        .to_owned()
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let answer = answer.error_for_status().expect("a good answer");
    answer.json().await.expect("JSON")
}
