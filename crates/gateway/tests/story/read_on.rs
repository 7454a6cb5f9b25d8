//! A refusal arrives, also at a client that goes on sending what was refused.

#![allow(clippy::disallowed_methods, reason = "how long a server really takes")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tidegate_domain::Role;
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::server::{Engine, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frames::{self, END_STREAM, Frame, HEADERS, RST_STREAM};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server that cuts off at once takes for it.
const MOMENT: Duration = Duration::from_millis(300);

/// The most of a refused body that is read, in bytes.
const BOUND: usize = 16 << 20;

const LIST_BUILDS: &str = "/tidegate.v1.BuildService/ListBuilds";

/// A connection of HTTP/2 by hand.
struct Conversation {
    socket: TcpStream,
    read: Vec<u8>,
    /// For how many bytes there is leave on the connection and on its first stream.
    leave: [usize; 2],
}

impl Conversation {
    async fn with(server: &TestServer) -> Self {
        let mut socket = TcpStream::connect(server.config().listen).await.unwrap();
        socket.write_all(&frames::opening(65_535)).await.unwrap();
        Self {
            socket,
            read: vec![],
            leave: [frames::FIRST_WINDOW; 2],
        }
    }

    async fn say(&mut self, frames: &[u8]) {
        self.socket.write_all(frames).await.unwrap();
    }

    async fn hear(&mut self) -> Frame {
        loop {
            if let Some(frame) = frames::next(&mut self.read) {
                if let Some(window) = frame.first_leave() {
                    self.leave[1] = window;
                    self.say(&frames::settings_followed()).await;
                }
                if let Some((stream @ (0 | 1), more)) = frame.leave() {
                    self.leave[stream as usize] += more;
                }
                return frame;
            }
            let bytes = timeout(PATIENCE, self.socket.read_buf(&mut self.read)).await;
            assert!(
                bytes.expect("the server waits").unwrap() > 0,
                "the connection ends"
            );
        }
    }

    /// Waits for the answer on the stream, which nothing may cut off before its end.
    async fn answer(&mut self, stream: u32) {
        let mut has_head = false;
        loop {
            let frame = self.hear().await;
            if frame.stream != stream {
                continue;
            }
            assert_ne!(frame.kind, RST_STREAM, "{:?}", frame.payload);
            has_head |= frame.kind == HEADERS;
            if frame.flags & END_STREAM != 0 && frame.leave().is_none() {
                assert!(has_head);
                return;
            }
        }
    }

    /// Whether the server cuts the stream off within a moment.
    async fn is_cut_off(&mut self, stream: u32) -> bool {
        let reset = async {
            loop {
                let frame = self.hear().await;
                if frame.kind == RST_STREAM && frame.stream == stream {
                    return;
                }
            }
        };
        timeout(MOMENT, reset).await.is_ok()
    }
}

/// Requests of a stranger whose bodies are still to come.
fn refused(stream: u32) -> Vec<(&'static str, Vec<u8>)> {
    let form = [("content-type", "multipart/form-data; boundary=tide")];
    let json = [("content-type", "application/json")];
    vec![
        ("report", frames::post(stream, "/v1/agent/report", &json)),
        ("upload", frames::post(stream, "/v1/apk/upload", &form)),
        ("promote", frames::post(stream, "/v1/apk/1/promote", &json)),
        ("nowhere", frames::post(stream, "/nowhere", &json)),
        ("method", frames::post(stream, "/healthz", &json)),
        ("gRPC", frames::call(stream, LIST_BUILDS)),
        (
            "gRPC upload",
            frames::call(stream, "/tidegate.v1.BuildService/UploadBuild"),
        ),
        (
            "unknown method",
            frames::call(stream, "/tidegate.v1.BuildService/Nothing"),
        ),
        (
            "poll",
            frames::get_with_body(stream, "/v1/agent/update?device_id=pixel-1"),
        ),
        ("download", frames::get_with_body(stream, "/v1/apk/1/download")),
    ]
}

#[tokio::test]
async fn who_still_sends_is_not_cut_off_by_a_refusal() {
    let server = TestServer::start(Engine::Sqlite).await;
    for (what, head) in refused(1) {
        println!("{what}");
        let mut stranger = Conversation::with(&server).await;
        stranger.say(&head).await;
        stranger.answer(1).await;
        assert!(!stranger.is_cut_off(1).await, "{what}: at once");
        stranger.say(&frames::data(1, &[b'x'; 10_000])).await;
        assert!(!stranger.is_cut_off(1).await, "{what}: as it goes on");
        stranger.say(&frames::end(1)).await;
        assert!(!stranger.is_cut_off(1).await, "{what}: at its end");
        // And the connection goes on.
        stranger.say(&frames::get(3, "/healthz")).await;
        stranger.answer(3).await;
    }
}

#[tokio::test]
async fn what_is_read_of_a_refused_body_has_a_bound() {
    let server = TestServer::start(Engine::Sqlite).await;
    let mut stranger = Conversation::with(&server).await;
    stranger.say(&frames::post(1, "/v1/apk/upload", &[])).await;
    stranger.answer(1).await;
    let mut sent = 0;
    let chunk = frames::data(1, &[b'x'; 16_000]);
    loop {
        while stranger.leave.iter().all(|leave| *leave >= 16_000) {
            stranger.say(&chunk).await;
            sent += 16_000;
            stranger.leave = stranger.leave.map(|leave| leave - 16_000);
        }
        let frame = stranger.hear().await;
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, [0; 4], "a fault");
            break;
        }
        assert!(sent < 4 * BOUND, "all of it is read");
    }
    assert!(sent > BOUND / 2, "cut off after {sent} bytes");
    stranger.say(&frames::get(3, "/healthz")).await;
    stranger.answer(3).await;
}

#[tokio::test]
async fn what_is_read_of_a_refused_body_has_a_time() {
    let server = TestServer::start(Engine::Sqlite).await;
    let mut stranger = Conversation::with(&server).await;
    stranger.say(&frames::call(1, LIST_BUILDS)).await;
    stranger.answer(1).await;
    let begun = std::time::Instant::now();
    while !stranger.is_cut_off(1).await {
        assert!(begun.elapsed() < PATIENCE, "it is read for ever");
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Runs a program while the server goes on.
async fn output(mut program: Command) -> std::io::Result<Output> {
    tokio::task::spawn_blocking(move || program.output())
        .await
        .unwrap()
}

/// Whether there is a curl here that speaks HTTP/2.
async fn has_curl() -> bool {
    let mut version = Command::new("curl");
    version.arg("--version");
    let told = output(version).await;
    let has = told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("HTTP2"));
    if !has {
        println!("skipped: no curl that speaks HTTP/2 is installed");
    }
    has
}

/// The status that curl tells, and its own exit code. It is asked for REST alone: of an answer with status 200 that came
/// before it had sent all, curl 7.88 now and then waits for more until the server pings it.
async fn curl(server: &TestServer, path: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let mut program = Command::new("curl");
    program
        .args(["--silent", "--http2-prior-knowledge", "--output", "-"])
        .args(["--write-out", "\\n%{http_code}"])
        .args(arguments)
        .arg(server.url(path))
        .stdin(Stdio::null());
    let told = output(program).await.unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    let status = text.lines().last().unwrap_or_default().trim();
    (status.to_owned(), told.status.code())
}

#[tokio::test]
async fn curl_is_told_why_it_is_refused() {
    if !has_curl().await {
        return;
    }
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = format!("authorization: Bearer {}", server.operator(Role::Viewer).token());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.apk");
    std::fs::write(&file, vec![b'x'; 5 << 20]).unwrap();
    let upload = format!("file=@{}", file.display());
    let body = format!("@{}", file.display());
    let json = ["--json", r#"{"build_id":1}"#];
    let poll = format!("/v1/agent/update?device_id=pixel-1&package_name={PACKAGE}&current_version_code=1");
    let expired = "authorization: Bearer a.b.c";
    let asked: [(&str, Vec<&str>, &str); 9] = [
        ("/v1/agent/report", json.to_vec(), "401"),
        ("/v1/apk/1/promote", json.to_vec(), "401"),
        ("/v1/packages", [&json[..], &["-X", "PUT"]].concat(), "405"),
        ("/nowhere", json.to_vec(), "404"),
        (&poll, [&json[..], &["-X", "GET"]].concat(), "401"),
        ("/v1/apk/upload", vec!["-F", &upload], "401"),
        ("/v1/apk/upload", vec!["-H", expired, "-F", &upload], "401"),
        ("/v1/apk/upload", vec!["-H", &viewer, "-F", &upload], "403"),
        ("/v1/agent/report", vec!["--data-binary", &body], "401"),
    ];
    for (path, arguments, status) in asked {
        for _ in 0..5 {
            let told = curl(&server, path, &arguments).await;
            assert_eq!(told, (status.to_owned(), Some(0)), "{path} {arguments:?}");
        }
    }
}
