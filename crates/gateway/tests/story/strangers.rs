//! Callers without a credential, on sockets of their own: what they can hold, and what they can't.

#![allow(clippy::disallowed_methods, reason = "how long a server really takes")]

use std::time::{Duration, Instant};

use tidegate_domain::Role;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frames;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.config().listen).await.unwrap()
}

/// Reads until the connection ends.
async fn ends(stream: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes));
    let _ = read.await.expect("the connection is kept");
    bytes.len()
}

async fn is_open(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    let read = timeout(Duration::from_millis(200), stream.read(&mut byte));
    read.await.is_err()
}

/// Polls on a connection that stays, and waits for the answer's head.
async fn poll_on(stream: &mut TcpStream, device: &Agent) {
    let request = format!(
        "GET /v1/agent/update?device_id={}&package_name={PACKAGE}&current_version_code=1 HTTP/1.1\r\n\
         host: h\r\nauthorization: Bearer {}\r\n\r\n",
        device.id, device.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await;
        answer.push(byte.expect("no answer").unwrap());
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
}

#[tokio::test]
async fn the_oldest_stranger_of_an_address_leaves_for_the_newest_and_devices_stay() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.max_connections_per_address = 3;
    })
    .await;
    let device = server.device("pixel-1").await;
    let mut site = vec![];
    for _ in 0..5 {
        let mut connection = connect(&server).await;
        poll_on(&mut connection, &device).await;
        site.push(connection);
    }
    // The test's own HTTP client may have left a connection unused; these take its place and are the oldest then.
    let mut silent = vec![];
    for _ in 0..6 {
        silent.push(connect(&server).await);
    }
    for stranger in &mut silent[..3] {
        assert_eq!(ends(stranger).await, 0);
    }
    silent.drain(..3);
    for stranger in &mut silent {
        assert!(is_open(stranger).await);
    }
    silent.push(connect(&server).await);
    assert_eq!(ends(&mut silent[0]).await, 0);
    for stranger in &mut silent[1..] {
        assert!(is_open(stranger).await);
    }
    // A token that nobody issued makes no device of a stranger.
    let mut forger = connect(&server).await;
    let request = format!(
        "GET /v1/agent/update?device_id=pixel-1&package_name={PACKAGE}&current_version_code=1 HTTP/1.1\r\n\
         host: h\r\nauthorization: Bearer {}\r\n\r\n",
        device.token.replace("tgd1.", "tgd1.A")
    );
    forger.write_all(request.as_bytes()).await.unwrap();
    assert!(forger.read(&mut [0; 64]).await.unwrap() > 0);
    for _ in 0..3 {
        silent.push(connect(&server).await);
        assert!(is_open(silent.last_mut().unwrap()).await);
    }
    ends(&mut forger).await;
    for connection in &mut site {
        poll_on(connection, &device).await;
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_of_a_download_is_ended() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.write_stall_limit = Duration::from_secs(2);
    })
    .await;
    let olga = server.operator(Role::Operator);
    let file = apks::large(PACKAGE, 1, 24 << 20);
    let build = olga.uploaded(&file).await;
    let mut lazy = connect(&server).await;
    let request = format!(
        "GET /v1/apk/{build}/download HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        olga.token()
    );
    lazy.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(ends(&mut lazy).await < file.len(), "all of it came after all");

    // One that takes a little now and then is slow and nothing else: 200 kB/s, of buffers of several megabytes.
    let mut slow = connect(&server).await;
    slow.write_all(request.as_bytes()).await.unwrap();
    let (begun, mut taken) = (Instant::now(), 0);
    let mut bytes = vec![0; 50_000];
    while begun.elapsed() < Duration::from_secs(8) {
        taken += slow.read(&mut bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(taken + ends(&mut slow).await > file.len(), "it was cut off");
}

#[tokio::test]
async fn a_peer_that_opens_no_window_is_ended() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.write_stall_limit = Duration::from_secs(2);
    })
    .await;
    let mut stream = connect(&server).await;
    let mut opening = frames::opening(0);
    opening.extend(frames::get(1, "/openapi.json"));
    stream.write_all(&opening).await.unwrap();
    // Answering pings does not help: the server hears that somebody is there, and nobody takes the answer.
    let begun = Instant::now();
    let mut bytes = [0; 1024];
    loop {
        let _ = stream.write_all(&frames::ping()).await;
        let read = timeout(Duration::from_millis(200), stream.read(&mut bytes)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the connection is kept");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn an_upload_that_comes_too_slowly_makes_room() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.max_concurrent_uploads = 1;
        config.min_upload_rate = 1024;
    })
    .await;
    let olga = server.operator(Role::Operator);
    let head = format!(
        "POST /v1/apk/upload HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=x\r\ncontent-length: 1000000\r\n\r\n\
         --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.apk\"\r\n\r\n",
        olga.token()
    );
    let file = apks::build(PACKAGE, 1);
    // Begun anew when the other upload had the place first.
    let mut slow = loop {
        let mut slow = connect(&server).await;
        slow.write_all(head.as_bytes()).await.unwrap();
        slow.write_all(&[b'a'; 64]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if olga.upload(&file).await.status == 429 {
            break slow;
        }
    };
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            slow.write_all(&[b'a'; 64]).await.unwrap();
            let mut answer = vec![0; 1024];
            if let Ok(read) = timeout(Duration::from_millis(100), slow.read(&mut answer)).await {
                return String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
            }
        }
    };
    let answer = timeout(2 * PATIENCE, trickle).await.expect("it is waited for");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("upload_too_slow"), "{answer}");
    olga.upload(&file).await.ok();
    assert!(server.files_in("staging").is_empty());
}

#[tokio::test]
async fn strangers_leave_room_for_those_with_a_credential() {
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.max_connections = Some(20);
        config.max_connections_per_address = 0;
    })
    .await;
    let mut crowd = vec![];
    for _ in 0..100 {
        crowd.push(connect(&server).await);
    }
    let device = server.device("pixel-1").await;
    assert_eq!(device.poll(1).await.build(), None);
    assert_eq!(
        Answer::to(server.http().get(server.url("/healthz"))).await.status,
        200
    );
    assert!(is_open(crowd.last_mut().unwrap()).await);
}
