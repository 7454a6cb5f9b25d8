//! How long a device waits for its answer while strangers want the server's memory, against the same without them:
//! the binary, and polls one after another on a kept connection.
//!
//! Clients, strangers and server share the machine, so what the strangers cost here is also what sending it costs.
#![allow(clippy::print_stdout, reason = "the figures are what this program is for")]
#![allow(clippy::unwrap_used, reason = "it stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

#[path = "../tests/binary/flooding.rs"]
mod flooding;
#[path = "../tests/story/frames.rs"]
mod frames;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/binary/program.rs"]
mod program;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flooding::{CONNECTIONS, POLL, Trick, device, flood};

/// How long each is measured.
const SPELL: Duration = Duration::from_secs(20);

/// What the strangers may take to fill their streams before it counts.
const BEGINNING: Duration = Duration::from_secs(2);

fn main() {
    // `cargo bench` and `cargo test --benches` hand over flags of their own; only the former asks for a run.
    if std::env::args().any(|argument| argument == "--bench") {
        tokio::runtime::Runtime::new().unwrap().block_on(run());
    }
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, addr) = program::serve(folder.path());
    let token = device(folder.path(), addr).await;
    tell("undisturbed", &polls(addr, &token).await);
    for trick in [Trick::Untaken, Trick::Taken, Trick::HalfMessage, Trick::HalfHead] {
        let over = Arc::new(AtomicBool::new(false));
        let strangers: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(flood(addr, trick, Arc::clone(&over))))
            .collect();
        tokio::time::sleep(BEGINNING).await;
        tell(&format!("{trick:?}"), &polls(addr, &token).await);
        over.store(true, Ordering::Relaxed);
        for stranger in strangers {
            stranger.await.unwrap();
        }
    }
    tell("undisturbed again", &polls(addr, &token).await);
}

/// How long each poll took, the quickest first.
async fn polls(addr: SocketAddr, token: &str) -> Vec<Duration> {
    let (http, begun, mut took) = (program::client(), Instant::now(), vec![]);
    while begun.elapsed() < SPELL {
        let asked = Instant::now();
        let request = http.get(format!("http://{addr}{POLL}")).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 304);
        took.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort_unstable();
    took
}

fn tell(what: &str, took: &[Duration]) {
    let at = |permille: usize| took[(took.len() - 1) * permille / 1000];
    println!(
        "{what:17} {:6} polls: p50 {:>9.1?}, p99 {:>9.1?}, p99.9 {:>9.1?}",
        took.len(),
        at(500),
        at(990),
        at(999)
    );
}
