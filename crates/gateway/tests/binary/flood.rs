//! Strangers who want the server's memory: each connection with as many streams as it may have, each stream with something
//! unfinished on it. The server must stay small, answer its devices meanwhile, and be as small as before when they are gone.

#![allow(clippy::disallowed_methods, reason = "how long a server really takes")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::flooding::{CONNECTIONS, POLL, Trick, device, flood};
use crate::program::{client, serve};

/// By how much the server may grow, in bytes.
const MAY_GROW: u64 = 64 << 20;

/// What is left of that once they are gone: allocators keep some pages.
const MAY_KEEP: u64 = 24 << 20;

/// How long they stay.
const FLOOD: Duration = Duration::from_secs(8);

/// The memory that is in use and the process's own, in bytes.
///
/// Source: proc_pid_status(5)
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Polls on and on, and counts.
async fn poll(addr: SocketAddr, token: String, polls: Arc<AtomicU32>, over: Arc<AtomicBool>) {
    let http = client();
    while !over.load(Ordering::Relaxed) {
        let request = http.get(format!("http://{addr}{POLL}"));
        let answer = request
            .bearer_auth(&token)
            .timeout(Duration::from_secs(10))
            .send()
            .await;
        assert_eq!(answer.expect("a device gets no answer").status(), 304);
        polls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One flood at a time: each needs the machine for itself.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn survives(trick: Trick) {
    let _machine = MACHINE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let (server, addr) = serve(folder.path());
    let token = device(folder.path(), addr).await;
    // One of them first, so that what is made once is there.
    let over = Arc::new(AtomicBool::new(false));
    let one = tokio::spawn(flood(addr, trick, Arc::clone(&over)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    over.store(true, Ordering::Relaxed);
    one.await.unwrap();
    let before = memory(server.id());

    let (over, polls) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicU32>::default());
    let polling = tokio::spawn(poll(addr, token.clone(), Arc::clone(&polls), Arc::clone(&over)));
    let strangers: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(flood(addr, trick, Arc::clone(&over))))
        .collect();
    let highest = highest(server.id()).await;
    over.store(true, Ordering::Relaxed);
    polling.await.unwrap();
    for stranger in strangers {
        stranger.await.unwrap();
    }
    let grown = highest.saturating_sub(before);
    let kept = kept(server.id(), before).await;
    tell(trick, grown, kept, polls.load(Ordering::Relaxed));
    assert!(grown <= MAY_GROW, "{trick:?}: it grew by {} MiB", grown >> 20);
    assert!(kept <= MAY_KEEP, "{trick:?}: {} MiB stay", kept >> 20);
    // Each was answered within its time, however busy the machine is.
    assert!(polls.load(Ordering::Relaxed) > 3, "{trick:?}: {polls:?} polls");
}

/// The most memory that the process has while the strangers are there.
async fn highest(process: u32) -> u64 {
    let (begun, mut highest) = (Instant::now(), 0);
    while begun.elapsed() < FLOOD {
        highest = memory(process).max(highest);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    highest
}

/// What it has more than before, some time after they are gone.
async fn kept(process: u32, before: u64) -> u64 {
    for _ in 0..100 {
        if memory(process).saturating_sub(before) <= MAY_KEEP {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    memory(process).saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_cost_little() {
    survives(Trick::Untaken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_taken_cost_little() {
    survives(Trick::Taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_of_messages_cost_little() {
    survives(Trick::HalfMessage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_an_end_cost_little() {
    survives(Trick::HalfHead).await;
}

#[expect(clippy::print_stderr, reason = "figures, shown when they are asked for")]
fn tell(trick: Trick, grown: u64, kept: u64, polls: u32) {
    eprintln!(
        "{trick:?}: grew by {} KiB, kept {} KiB, {polls} polls",
        grown >> 10,
        kept >> 10
    );
}
