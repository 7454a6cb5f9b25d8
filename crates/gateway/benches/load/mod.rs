//! Many devices that poll over connections that they keep open.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate_domain::cohort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_millis(1500);

/// A device that a rollout to 10 % takes, or one that it does not.
pub(crate) fn device_in(share: bool) -> String {
    (0..)
        .map(|n| format!("bench-{n}"))
        .find(|id| (cohort(id) < 10) == share)
        .expect("one of many")
}

/// What the clients ask next: the connection's number, and how many requests it has made. `None` when there is nothing more.
pub(crate) type Asks = Arc<dyn Fn(usize, u64) -> Option<Vec<u8>> + Send + Sync>;

/// Answers a second over all connections, each asking the same over and over.
pub(crate) async fn rate(address: SocketAddr, request: &str) -> f64 {
    let request = request.as_bytes().to_vec();
    let asks: Asks = Arc::new(move |_, _| Some(request.clone()));
    let load = ask_all(address, CONNECTIONS, false, ROUND, asks).await;
    load.rate()
}

/// What came of a round.
pub(crate) struct Load {
    pub(crate) answers: u64,
    pub(crate) took: Duration,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
}

/// Asks over so many connections at once for a while, over a new connection each time where it is `fresh`.
pub(crate) async fn ask_all(
    address: SocketAddr,
    connections: usize,
    fresh: bool,
    round: Duration,
    asks: Asks,
) -> Load {
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let clients = (0..connections).map(|connection| {
        let (stop, answers, asks) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&asks));
        tokio::spawn(async move {
            let mut made = 0;
            let mut stream = None;
            while !stop.load(Ordering::Relaxed)
                && let Some(request) = asks(connection, made)
            {
                stream = ask(address, stream, &request, fresh).await;
                answers.fetch_add(1, Ordering::Relaxed);
                made += 1;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let ended = async {
        for client in clients {
            client.await.expect("a client that ends");
        }
    };
    tokio::pin!(ended);
    if tokio::time::timeout(round, &mut ended).await.is_err() {
        stop.store(true, Ordering::Relaxed);
        ended.await;
    }
    Load {
        answers: answers.load(Ordering::Relaxed),
        took: began.elapsed(),
    }
}

/// Asks once, and returns the connection if it is to be kept.
async fn ask(address: SocketAddr, kept: Option<TcpStream>, request: &[u8], fresh: bool) -> Option<TcpStream> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => connect(address).await,
    };
    stream.write_all(request).await.expect("a request sent");
    let (mut buffer, mut filled) = ([0; 16 * 1024], 0);
    while !is_whole(&buffer[..filled]) {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(
            read > 0,
            "the server hung up: {}",
            String::from_utf8_lossy(&buffer[..filled])
        );
        filled += read;
    }
    let status = buffer.get(9..12);
    assert!(
        matches!(status, Some(b"304" | b"200" | b"201")),
        "a good answer: {}",
        String::from_utf8_lossy(&buffer[..filled])
    );
    (!fresh).then_some(stream)
}

/// A connection that leaves no trace when it is closed: thousands that wait for their ends would use up the ports.
async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_zero_linger().expect("no lingering");
    stream
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
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.parse::<usize>().ok());
    answer.len() >= end + 4 + length.expect("an answer of known length")
}
