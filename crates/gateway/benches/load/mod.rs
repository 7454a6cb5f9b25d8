//! Many devices that poll over connections that they keep open.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate_domain::cohort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_millis(1500);

/// A device that a rollout to 10 % takes, or one that it does not.
pub(crate) fn device_in(share: bool) -> String {
    (0..)
        .map(|n| format!("bench-{n}"))
        .find(|id| (cohort(id) < 10) == share)
        .expect("one of many")
}

/// Answers a second over all connections.
pub(crate) async fn rate(address: SocketAddr, request: &str) -> f64 {
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            tokio::spawn(ask(
                address,
                request.to_owned(),
                Arc::clone(&stop),
                Arc::clone(&answers),
            ))
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client that ends");
    }
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let answers = answers.load(Ordering::Relaxed) as f64;
    answers / began.elapsed().as_secs_f64()
}

async fn ask(address: SocketAddr, request: String, stop: Arc<AtomicBool>, answers: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut buffer = vec![0; 16 * 1024];
    while !stop.load(Ordering::Relaxed) {
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request sent");
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
            assert!(
                read > 0,
                "the server hung up: {}",
                String::from_utf8_lossy(&buffer[..filled])
            );
            filled += read;
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 304") || buffer.starts_with(b"HTTP/1.1 200"),
            "an answer to a poll"
        );
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    if answer.starts_with(b"HTTP/1.1 304") {
        return true;
    }
    let head = std::str::from_utf8(&answer[..end]).expect("a head in ASCII");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    answer.len() >= end + 4 + length.expect("an answer of known length")
}
