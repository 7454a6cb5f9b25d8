//! Strangers who want the server's memory: each connection with as many streams as it may have, each stream with something
//! unfinished on it. The server must stay small, answer its devices meanwhile, and be as small as before when they are gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::frames;
use crate::program::{client, exited, out, run, serve};

const CONNECTIONS: usize = 20;

/// As many as a connection may have at once.
const STREAMS: u32 = 256;

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

/// What a stranger does with each stream.
#[derive(Clone, Copy, Debug)]
enum Trick {
    /// Asks for the largest answer that needs no credential, and opens no window for it.
    Untaken,
    /// Sends half of a gRPC message of 4 MB.
    HalfMessage,
    /// Begins heads that do not end: one for each connection, as nothing else may come between.
    HalfHead,
    /// Asks for the document and takes it.
    Taken,
}

/// Sends all that there is to send, as long as the server takes it, and stays.
async fn flood(addr: SocketAddr, trick: Trick, over: Arc<AtomicBool>) {
    let Ok(mut stream) = TcpStream::connect(addr).await else {
        return;
    };
    let window = if matches!(trick, Trick::Taken) { 1 << 30 } else { 0 };
    let mut bytes = frames::opening(window);
    for number in 0..STREAMS {
        let id = 2 * number + 1;
        match trick {
            Trick::Untaken | Trick::Taken => bytes.extend(frames::get(id, "/openapi.json")),
            Trick::HalfMessage => {
                bytes.extend(frames::call(id, "/tidegate.v1.BuildService/ListBuilds"));
                // A message of four megabytes, of which the window of a stream lets some sixteen kilobytes come at once.
                let mut message = vec![0];
                message.extend((4_u32 << 20).to_be_bytes());
                message.resize(16_000, b'x');
                bytes.extend(frames::data(id, &message));
            }
            Trick::HalfHead => {
                bytes.extend(frames::half_head(id, "/healthz"));
                break;
            }
        }
    }
    let (mut reader, mut writer) = stream.split();
    let writes = async {
        let _ = writer.write_all(&bytes).await;
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let reads = async {
        let mut taken = vec![0; 64 * 1024];
        while matches!(reader.read(&mut taken).await, Ok(read) if read > 0) {}
        // Sent away. It does not come again in this test.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = writes => {}
        () = reads => {}
    }
}

/// Polls on and on, and counts.
async fn poll(addr: SocketAddr, token: String, polls: Arc<AtomicU32>, over: Arc<AtomicBool>) {
    let http = client();
    let query = "device_id=phone-1&package_name=com.example.app&current_version_code=1";
    while !over.load(Ordering::Relaxed) {
        let request = http.get(format!("http://{addr}/v1/agent/update?{query}"));
        let answer = request
            .bearer_auth(&token)
            .timeout(Duration::from_secs(5))
            .send()
            .await;
        assert_eq!(answer.expect("a device gets no answer").status(), 304);
        polls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn device(folder: &std::path::Path, addr: SocketAddr) -> String {
    let enrollment = run(folder, &["admin", "enroll-token"]);
    exited(&enrollment, 0);
    let body = json!({ "enrollment_token": out(&enrollment).trim(), "device_id": "phone-1" });
    let request = client()
        .post(format!("http://{addr}/v1/agent/enroll"))
        .json(&body);
    let enrolled: Value = request.send().await.unwrap().json().await.unwrap();
    enrolled["device_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cost_little_memory_and_devices_are_answered_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (server, addr) = serve(folder.path());
    let token = device(folder.path(), addr).await;
    // One of each first, so that what is made once is there.
    for trick in [Trick::Taken, Trick::Untaken, Trick::HalfMessage, Trick::HalfHead] {
        let over = Arc::new(AtomicBool::new(false));
        let one = tokio::spawn(flood(addr, trick, Arc::clone(&over)));
        tokio::time::sleep(Duration::from_millis(300)).await;
        over.store(true, Ordering::Relaxed);
        one.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = memory(server.id());

    for trick in [Trick::Untaken, Trick::HalfMessage, Trick::HalfHead, Trick::Taken] {
        let (over, polls) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicU32>::default());
        let polling = tokio::spawn(poll(addr, token.clone(), Arc::clone(&polls), Arc::clone(&over)));
        let strangers: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(flood(addr, trick, Arc::clone(&over))))
            .collect();
        let mut highest = before;
        let begun = std::time::Instant::now();
        while begun.elapsed() < FLOOD {
            highest = highest.max(memory(server.id()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        over.store(true, Ordering::Relaxed);
        polling.await.unwrap();
        for stranger in strangers {
            stranger.await.unwrap();
        }
        let grown = highest.saturating_sub(before);
        assert!(grown <= MAY_GROW, "{trick:?}: it grew by {} MiB", grown >> 20);
        assert!(polls.load(Ordering::Relaxed) > 50, "{trick:?}: {polls:?} polls");
        let mut kept = u64::MAX;
        for _ in 0..100 {
            kept = memory(server.id()).saturating_sub(before);
            if kept <= MAY_KEEP {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(kept <= MAY_KEEP, "{trick:?}: {} MiB stay", kept >> 20);
        eprintln_figures(trick, grown, kept, polls.load(Ordering::Relaxed));
    }
}

#[expect(clippy::print_stderr, reason = "figures, shown when they are asked for")]
fn eprintln_figures(trick: Trick, grown: u64, kept: u64, polls: u32) {
    eprintln!(
        "{trick:?}: grew by {} KiB, kept {} KiB, {polls} polls",
        grown >> 10,
        kept >> 10
    );
}
