//! The whole thing at full size: `just simulate` builds `tidegate` and `tidegate-sim` and runs this.
//!
//! For each engine a server of its own is started, a build is released to 10 %, and a fleet lives three days in
//! which the share is raised to 50 % and to 100 %: once undisturbed, and once with 5 % of the requests failing and
//! the server killed (-9) and started again three times. Whatever is started here is ended here.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a script, written in Rust"
)]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::postgres::{self, Database};

/// Incompressible bytes in the build: small, so that ten thousand devices can fetch it.
const PADDING: usize = 60_000;

/// The share that the build is released to at first, in percent.
const FIRST_SHARE: u8 = 10;

/// After how many polls a device, on average, the server is killed.
const KILLS: [i64; 3] = [2, 5, 9];

/// How long the server stays away.
const AWAY: Duration = Duration::from_millis(700);

const START_LIMIT: Duration = Duration::from_secs(30);

/// A server in a process of its own, ended with this value.
struct Server {
    child: Child,
    command: Box<dyn Fn() -> Command>,
    base: String,
    folder: tempfile::TempDir,
    _database: Option<Database>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    async fn start(postgres: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = postgres.then(|| postgres::database("simulate"));
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let data = folder.path().join("data");
        let url = database.as_ref().map(Database::url);
        let command = move || {
            let mut command = Command::new(beside("tidegate"));
            command
                .env("TIDEGATE_DATA_DIR", &data)
                .env("TIDEGATE_LISTEN", format!("127.0.0.1:{port}"))
                .env("TIDEGATE_LOG", "warn")
                .stdin(Stdio::null());
            if let Some(url) = &url {
                command.env("TIDEGATE_DATABASE_URL", url);
            }
            command
        };
        let child = serve(&command, folder.path());
        let server = Self {
            child,
            command: Box::new(command),
            base: format!("http://127.0.0.1:{port}"),
            folder,
            _database: database,
        };
        server.ready().await;
        server
    }

    fn kill(&mut self) {
        // SIGKILL, on this system.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn kill_and_start_again(&mut self) {
        self.kill();
        tokio::time::sleep(AWAY).await;
        self.child = serve(&self.command, self.folder.path());
        self.ready().await;
    }

    async fn ready(&self) {
        let begun = Instant::now();
        let url = format!("{}/readyz", self.base);
        while !Client::new()
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(begun.elapsed() < START_LIMIT, "the server does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn token(&self) -> String {
        let mut command = (self.command)();
        command.args(["admin", "token", "--subject", "simulate", "--role", "admin"]);
        // It must outlast the fleet's weeks.
        command.args(["--ttl", "300d"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "no token: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Where the simulator drives the server's time.
fn clock(folder: &Path) -> PathBuf {
    folder.join("clock")
}

fn serve(command: &dyn Fn() -> Command, folder: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut command = command();
    command.arg("serve").arg("--clock").arg(clock(folder));
    command.stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

/// A binary that was built with this one.
fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join(name)
}

/// The operator's calls.
struct Desk<'a> {
    http: Client,
    base: &'a str,
    token: &'a str,
}

impl Desk<'_> {
    async fn release(&self) -> i64 {
        let apk = apks::large(PACKAGE, 2, PADDING);
        let form = Form::new().part("file", Part::bytes(apk).file_name("app.apk"));
        let upload = self.http.post(format!("{}/v1/apk/upload", self.base));
        let build = self.answer(upload.multipart(form)).await.unwrap();
        let build = build["build_id"].as_i64().unwrap();
        let promote = self.http.post(format!("{}/v1/apk/{build}/promote", self.base));
        self.answer(promote.json(&json!({ "rollout_percent": FIRST_SHARE })))
            .await
            .unwrap();
        build
    }

    async fn polls(&self, build: i64) -> Option<i64> {
        let stats = self
            .http
            .get(format!("{}/v1/apk/{build}/deployment-stats", self.base));
        self.answer(stats).await?["total_checks"].as_i64()
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<Value> {
        let answer = request.bearer_auth(self.token).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }
}

async fn play(postgres: bool, disturbed: bool, devices: u32) -> bool {
    let engine = if postgres { "PostgreSQL" } else { "SQLite" };
    let how = if disturbed {
        "5 % faults and three kills"
    } else {
        "undisturbed"
    };
    println!("\n==== {engine}, {how}");
    let mut server = Server::start(postgres).await;
    let (token, base) = (server.token(), server.base.clone());
    let desk = Desk {
        http: Client::new(),
        base: &base,
        token: &token,
    };
    let build = desk.release().await;
    let report = server.folder.path().join("report.json");
    let mut sim = Command::new(beside("tidegate-sim"));
    sim.args(["run", "--server", &base, "--package", PACKAGE, "--seed", "1"])
        .args(["--devices", &devices.to_string()])
        .args(["--raise", "50@24h", "--raise", "100@48h"])
        .arg("--clock")
        .arg(clock(server.folder.path()))
        .arg("--report")
        .arg(&report)
        .env("TIDEGATE_ADMIN_TOKEN", &token);
    if disturbed {
        sim.args(["--faults", "0.05", "--restarts", &KILLS.len().to_string()]);
    }
    let mut sim = sim.spawn().unwrap();
    let mut kills = if disturbed { KILLS.to_vec() } else { vec![] };
    kills.reverse();
    let status = loop {
        if let Some(status) = sim.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let polls = desk.polls(build).await.unwrap_or(0);
        if kills
            .last()
            .is_some_and(|kill| polls >= kill * i64::from(devices))
        {
            kills.pop();
            server.kill_and_start_again().await;
            println!("killed the server after {polls} polls and started it again");
        }
    };
    println!("==== {engine}, {how}: {status}");
    status.success() && kills.is_empty() && is_first_share_kept(&report, devices)
}

/// Whether the first share went to exactly those whom the formula names, and was installed by as many, give or take
/// two of a hundred devices.
fn is_first_share_kept(report: &Path, devices: u32) -> bool {
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let stage = &report["stages"][0];
    let installed = stage["installed"].as_f64().unwrap() * 100.0 / f64::from(devices);
    let is_kept = stage["offered"] == stage["expected"] && (installed - f64::from(FIRST_SHARE)).abs() <= 2.0;
    println!("==== installed by {installed:.2} % at {FIRST_SHARE} %: {stage}");
    is_kept
}

#[tokio::main]
async fn main() -> ExitCode {
    tidegate_testkit::server::choose_cryptography();
    let devices = std::env::args()
        .nth(1)
        .map_or(10_000, |devices| devices.parse().unwrap());
    let mut good = true;
    for postgres in [false, true] {
        for disturbed in [false, true] {
            good &= play(postgres, disturbed, devices).await;
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
