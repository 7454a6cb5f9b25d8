//! The finished program on one core, its clients on the other, in turn with a bare axum handler and with nginx: what a poll,
//! a report, an enrolment and a download cost in the processor's time.
//!
//! The bare handler and nginx are sent the same requests and look at nothing in them. Quote the ratios of the processor's
//! time, which come from rounds that follow each other; what a client can ask for in a second is the client's own bound.
//! nginx is left out where it is not installed. `BENCH_ROUNDS` and `BENCH_SECONDS` set how long it goes on.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "each benchmark needs its own part of it")]
mod load;
mod program;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::serve::ListenerExt;
use load::{Asks, CONNECTIONS, ask_all, device_in};
use program::{PACKAGE, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// As long as a manifest is.
const BODY_BYTES: usize = 760;
/// The core of the servers, and that of their clients.
const CORES: [&str; 2] = ["0", "1"];
/// Devices that report.
const REPORTERS: usize = 256;
/// What the bare handler is started with.
const BARE: &str = "--bare";

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(BARE) => {
            let port = arguments
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port");
            block_on(bare(port));
        }
        // `cargo bench` and `cargo test --benches` hand over flags of their own; only the former asks for a run.
        _ if std::env::args().any(|argument| argument == "--bench") => {
            tidegate_gateway::choose_cryptography();
            keep_to_core(CORES[1]);
            block_on(run());
        }
        _ => {}
    }
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(work);
}

/// Before any thread is started, so that all of them do.
fn keep_to_core(core: &str) {
    let process = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-cp", core, &process])
        .stdout(Stdio::null())
        .status();
    assert!(
        pinned.is_ok_and(|status| status.success()),
        "taskset pins to a core"
    );
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

async fn run() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Server::start(&folder.path().join("server"), &[], Some(CORES[0])).await;
    let (bare, bare_at) = start_bare().await;
    let nginx = start_nginx(folder.path()).await;
    let polls = [
        ours.poll(&device_in(false)).await,
        ours.poll(&device_in(true)).await,
    ];
    for fresh in [false, true] {
        for (status, inside) in [(304, false), (200, true)] {
            let poll = &polls[usize::from(inside)];
            let mut contenders = vec![
                Contender::new(
                    "bare axum",
                    bare.0.id(),
                    bare_at,
                    at(poll, &format!("/bare/{status}")),
                ),
                Contender::new("Tidegate", ours.pid(), ours.address, poll.clone()),
            ];
            if let Some((nginx, address)) = &nginx {
                let poll = at(poll, &format!("/{status}"));
                contenders.push(Contender::new("nginx", nginx.0.id(), *address, poll));
            }
            let over = if fresh { "fresh" } else { "kept" };
            compare(&format!("poll {status}, {over} connections"), &contenders, fresh).await;
        }
    }
    reports(&ours).await;
    enrolments(&ours).await;
}

/// Who answers.
struct Contender {
    name: &'static str,
    process: u32,
    address: SocketAddr,
    request: String,
}

impl Contender {
    fn new(name: &'static str, process: u32, address: SocketAddr, request: String) -> Self {
        Self {
            name,
            process,
            address,
            request,
        }
    }

    /// Microseconds of the processor's time a request, and requests a second.
    async fn round(&self, fresh: bool) -> (f64, f64) {
        let request = self.request.as_bytes().to_vec();
        let asks: Asks = Arc::new(move |_, _| Some(request.clone()));
        cost(self.process, self.address, fresh, asks).await
    }
}

/// The poll with its path after this prefix.
fn at(poll: &str, prefix: &str) -> String {
    poll.replacen("GET ", &format!("GET {prefix}"), 1)
}

async fn cost(process: u32, address: SocketAddr, fresh: bool, asks: Asks) -> (f64, f64) {
    let round = Duration::from_secs(number("BENCH_SECONDS", 2));
    let before = processor_time(process);
    let load = ask_all(address, CONNECTIONS, fresh, round, asks).await;
    let spent = processor_time(process) - before;
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let micros = spent.as_secs_f64() * 1e6 / load.answers as f64;
    (micros, load.rate())
}

/// What a process and its children have spent.
///
/// Source: <https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat>
fn processor_time(process: u32) -> Duration {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|id| id.parse::<u32>().ok());
    let spent = |process: u32| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task"))
            .into_iter()
            .flatten();
        let spent = threads.filter_map(|thread| {
            let figures = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            figures.split_whitespace().next()?.parse::<u64>().ok()
        });
        spent.sum::<u64>()
    };
    Duration::from_nanos(spent(process) + children.map(spent).sum::<u64>())
}

/// Each in turn; the ratio of a round is that to the first one's in the same round.
async fn compare(what: &str, contenders: &[Contender], fresh: bool) {
    let rounds = number("BENCH_ROUNDS", 9);
    let mut figures: Vec<[Vec<f64>; 3]> = contenders.iter().map(|_| Default::default()).collect();
    for _ in 0..rounds {
        let mut first = None;
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let (micros, rate) = contender.round(fresh).await;
            let first = *first.get_or_insert(micros);
            for (kept, figure) in figures.iter_mut().zip([micros, rate, first / micros]) {
                kept.push(figure);
            }
        }
    }
    for (contender, figures) in contenders.iter().zip(figures) {
        let [micros, rate, ratio] = figures.map(Quartiles::of);
        println!(
            "{what}: {} {:.2} µs of the processor each, {:.0}/s, {:.2} of {} ({:.2} – {:.2})",
            contender.name,
            micros.median,
            rate.median,
            ratio.median,
            contenders[0].name,
            ratio.lower,
            ratio.upper
        );
    }
}

struct Quartiles {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Quartiles {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Self {
            lower: at(1),
            median: at(2),
            upper: at(3),
        }
    }
}

/// Devices that report on what they were offered, each report another.
async fn reports(ours: &Server) {
    let mut told = vec![];
    for n in 0.. {
        if told.len() == REPORTERS {
            break;
        }
        let device = format!("reporter-{n}");
        if tidegate_domain::cohort(&device) >= 10 {
            continue;
        }
        let token = ours.device(&device).await;
        let query =
            format!("device_id={device}&current_version_code=1&package_name={PACKAGE}&sdk=34&protocol=2");
        let poll = reqwest::Client::new().get(format!("http://{}/v1/agent/update?{query}", ours.address));
        let manifest = program::answer(poll.bearer_auth(&token)).await;
        told.push((token, manifest));
    }
    let statuses = ["downloaded", "install_success"];
    let asks: Asks = Arc::new(move |connection, made| {
        let turn = usize::try_from(made).ok()?;
        let (token, manifest) = &told[(connection + turn * CONNECTIONS) % REPORTERS];
        let report = report(manifest, statuses[turn % 2], &format!("{connection}-{made}"));
        Some(post("/v1/agent/report", Some(token), &report))
    });
    tell("report", cost(ours.pid(), ours.address, false, asks).await);
}

fn report(manifest: &Value, status: &str, request_id: &str) -> Value {
    json!({
        "build_id": manifest["build_id"], "status": status, "attempt": manifest["attempt"],
        "rollout_id": manifest["rollout_id"], "offer": manifest["offer"], "request_id": request_id,
    })
}

async fn enrolments(ours: &Server) {
    let enrollment = ours.enrollment.clone();
    let asks: Asks = Arc::new(move |connection, made| {
        let order = json!({
            "enrollment_token": enrollment, "device_id": format!("new-{connection}-{made}"),
            "model": "TC52", "manufacturer": "Zebra", "sdk": 30, "region": "eu",
        });
        Some(post("/v1/agent/enroll", None, &order))
    });
    tell("enrolment", cost(ours.pid(), ours.address, false, asks).await);
}

fn post(path: &str, token: Option<&str>, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: tidegate\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{token}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn tell(what: &str, (micros, rate): (f64, f64)) {
    println!("{what}: {micros:.1} µs of the processor each, {rate:.0}/s");
}

/// A process that is ended when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Not killed: nginx would leave its worker.
        let process = self.0.id().to_string();
        let _ = Command::new("kill").arg(process).status();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = StdListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn on_servers_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", CORES[0]]).arg(program);
    command.stdin(Stdio::null());
    command
}

async fn start_bare() -> (Ended, SocketAddr) {
    let port = free_port();
    let program = std::env::current_exe().expect("this program");
    let child = on_servers_core(program).arg(BARE).arg(port.to_string()).spawn();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = (Ended(child.expect("this program")), address);
    listens(address).await;
    started
}

async fn bare(port: u16) {
    let body = "x".repeat(BODY_BYTES);
    let nothing = get(|| std::future::ready(StatusCode::NOT_MODIFIED));
    let whole = get(move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], body.clone())));
    let router = Router::new()
        .route("/bare/304/v1/agent/update", nothing)
        .route("/bare/200/v1/agent/update", whole);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("no delay"));
    axum::serve(listener, router).await.expect("a server");
}

async fn start_nginx(folder: &Path) -> Option<(Ended, SocketAddr)> {
    let found = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("nginx is not installed and is left out");
        return None;
    }
    let (port, folder) = (free_port(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}; "))
        .concat();
    let settings = format!(
        "worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null; events {{ worker_connections 4096; }}
         http {{ access_log off; keepalive_requests 1000000000; {temporary}
           server {{ listen 127.0.0.1:{port};
             location /304 {{ return 304; }}
             location /200 {{ default_type application/json; return 200 '{}'; }} }} }}",
        "x".repeat(BODY_BYTES)
    );
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, settings).expect("nginx's settings");
    let child = on_servers_core("nginx").args(["-c", &file]).spawn();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = (Ended(child.expect("nginx")), address);
    listens(address).await;
    Some(started)
}

async fn listens(address: SocketAddr) {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody listens at {address}");
}
