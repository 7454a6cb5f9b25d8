//! A poll over loopback against a bare axum handler, in turn, in one run: what the product costs on top of the
//! least that any server over HTTP costs.
//!
//! Both are asked by the same client over the same number of connections that are kept open. The server logs at
//! its usual level, into nothing. Quote the ratios: the absolute figures include the client, which shares the
//! machine.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]

mod load;

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::serve::ListenerExt;
use load::{device_in, rate};
use tidegate_domain::Role;
use tidegate_testkit::apks;
use tidegate_testkit::server::{Engine, TestServer};
use tokio::net::TcpListener;

const PACKAGE: &str = "com.example.poll";
const ROUNDS: usize = 7;
/// As long as a manifest is.
const BODY_BYTES: usize = 760;

fn main() {
    // `cargo bench` and `cargo test --benches` hand over flags of their own; only the former asks for a run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tracing_subscriber::fmt().json().with_writer(std::io::sink).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = server.operator(Role::Admin);
    let build = operator.uploaded(&apks::build(PACKAGE, 2)).await;
    operator.promote(build, 10).await.ok();
    let address: SocketAddr = server
        .url("")
        .trim_start_matches("http://")
        .parse()
        .expect("an address");

    let (inside, outside) = (device_in(true), device_in(false));
    let poll = |device: &str, token: &str| {
        format!(
            "GET /v1/agent/update?device_id={device}&current_version_code=1&package_name={PACKAGE}&sdk=34 HTTP/1.1\r\n\
             Host: tidegate\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    };
    let outside_token = server.device(&outside).await.token;
    let inside_token = server.device(&inside).await.token;
    compare(
        "304",
        &poll(&outside, &outside_token),
        address,
        bare(Answer::Nothing).await,
    )
    .await;
    compare(
        "200",
        &poll(&inside, &inside_token),
        address,
        bare(Answer::Body).await,
    )
    .await;
}

/// What the bare handler answers.
#[derive(Clone, Copy)]
enum Answer {
    Nothing,
    Body,
}

/// A server that is sent the very same requests and looks at nothing in them.
async fn bare(answer: Answer) -> SocketAddr {
    let body = "x".repeat(BODY_BYTES);
    let nothing = get(|| std::future::ready(StatusCode::NOT_MODIFIED));
    let whole = get(move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], body.clone())));
    let handler = match answer {
        Answer::Nothing => nothing,
        Answer::Body => whole,
    };
    let router = Router::new().route("/v1/agent/update", handler);
    // On threads of its own, as the server under test is: otherwise it would answer without a change of thread.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            tell.send(listener.local_addr().expect("an address"))
                .expect("somebody listens");
            let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("no delay"));
            axum::serve(listener, router).await
        })
    });
    told.await.expect("an address")
}

async fn compare(name: &str, request: &str, ours: SocketAddr, theirs: SocketAddr) {
    let mut ratios = Vec::new();
    let (mut best_ours, mut best_theirs) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        let our_rate = rate(ours, request).await;
        let their_rate = rate(theirs, request).await;
        best_ours = best_ours.max(our_rate);
        best_theirs = best_theirs.max(their_rate);
        ratios.push(our_rate / their_rate);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "poll {name}: {best_ours:.0}/s, bare axum {best_theirs:.0}/s, ratio median {:.2} (min {:.2}, max {:.2})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
}
