//! How a server starts and ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Running, client, err, exited, out, run, run_with_input, serve, tidegate};

/// Waits until nobody listens any more.
fn until_refused(addr: SocketAddr) {
    while TcpStream::connect(addr).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn it_answers_and_ends_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let (server, addr) = serve(folder.path());
        for path in ["healthz", "readyz", "openapi.json"] {
            let answer = client()
                .get(format!("http://{addr}/{path}"))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
        server.signal(signal);
        server.line("ota.server.stopped");
        assert_eq!(server.wait().code(), Some(0));
        until_refused(addr);
    }
}

#[test]
fn a_request_under_way_is_finished_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (server, addr) = serve(folder.path());
    let body = r#"{"name":"nobody","password":"does not matter"}"#;
    let (first, rest) = body.split_at(10);
    let mut slow = TcpStream::connect(addr).unwrap();
    let length = body.len();
    write!(
        slow,
        "POST /v1/auth/login HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{first}"
    )
    .unwrap();
    // Asked on another connection, so that the server has certainly read what came before.
    let mut other = TcpStream::connect(addr).unwrap();
    write!(
        other,
        "GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    other.read_to_string(&mut String::new()).unwrap();

    server.signal("TERM");
    until_refused(addr);
    write!(slow, "{rest}").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("login_refused"), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn asked_a_second_time_it_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (server, addr) = serve(folder.path());
    // A request that is never finished keeps the server waiting.
    let mut slow = TcpStream::connect(addr).unwrap();
    write!(
        slow,
        "POST /v1/auth/login HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    )
    .unwrap();
    // The answer to the expectation comes when the request's handler reads on.
    slow.read_exact(&mut [0; 12]).unwrap();
    server.signal("TERM");
    until_refused(addr);
    server.signal("TERM");
    server.line("asked again");
    assert_eq!(server.wait().code(), Some(1));
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_on_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, addr) = serve(folder.path());
    client();
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let answer = client.get(format!("http://{addr}/healthz")).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (server, addr) = serve(folder.path());
    let enrollment = run(folder.path(), &["admin", "enroll-token"]);
    exited(&enrollment, 0);
    let body = json!({ "enrollment_token": out(&enrollment).trim(), "device_id": "phone-1" });
    let request = client()
        .post(format!("http://{addr}/v1/agent/enroll"))
        .json(&body);
    assert_eq!(request.send().await.unwrap().status(), 201);
    server.signal("KILL");
    assert_eq!(server.wait().code(), None);

    let (_again, addr) = serve(folder.path());
    let token = out(&run(
        folder.path(),
        &["admin", "token", "--subject", "ann", "--role", "viewer"],
    ));
    let request = client()
        .get(format!("http://{addr}/v1/devices/phone-1"))
        .bearer_auth(token.trim());
    let device: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(device["device_id"], "phone-1");
}

/// `tidegate serve` under a limit on open files, as `ulimit` sets it.
fn serve_within(folder: &std::path::Path, limit: &str, connections: Option<&str>) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    let script = format!("ulimit {limit}; exec {} serve", env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(folder).args(["-c", &script]);
    command.env("TIDEGATE_LISTEN", "127.0.0.1:0");
    if let Some(connections) = connections {
        command.env("TIDEGATE_MAX_CONNECTIONS", connections);
    }
    command
}

#[test]
fn the_limit_on_open_files_is_raised_or_the_start_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(serve_within(folder.path(), "-Sn 256", Some("5000")));
    running.line("ota.server.start");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
    drop(running);

    let refused = serve_within(folder.path(), "-n 1024", Some("5000"))
        .output()
        .unwrap();
    exited(&refused, 2);
    let told = err(&refused);
    assert!(told.contains("max_connections: 5000 connections"), "{told}");
    assert!(
        told.contains("need 5512 open files") && told.contains("may have 1024"),
        "{told}"
    );
    // Without a wish of its own it takes what there is.
    Running::start(serve_within(folder.path(), "-n 1024", None)).line("ota.server.start");
}

#[tokio::test]
async fn the_command_lines_address_wins() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tidegate(folder.path());
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("TIDEGATE_LISTEN", "192.0.2.1:80");
    let running = Running::start(command);
    let line: Value = serde_json::from_str(&running.line("ota.server.start")).unwrap();
    let addr = line["listen"].as_str().unwrap();
    let answer = client()
        .get(format!("http://{addr}/healthz"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    // And it is checked like a setting.
    let refused = run(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    exited(&refused, 2);
    assert!(err(&refused).contains("public_url"), "{}", err(&refused));
}

/// On a terminal, which util-linux's `script` plays.
#[test]
fn on_a_terminal_the_log_is_for_people_and_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let program = tidegate(folder.path());
    let on_a_terminal = |folder: &std::path::Path| {
        let mut command = std::process::Command::new("/usr/bin/script");
        let line = format!("{} serve --listen 127.0.0.1:0", program.get_program().display());
        command.args(["-qec", &line, "/dev/null"]).current_dir(folder);
        command.env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        Running::start(command)
    };
    let running = on_a_terminal(folder.path());
    let started = running.line("ota.server.start");
    assert!(started.contains(" INFO ") && !started.contains('{'), "{started}");
    let hint = running.line("nobody can log in yet");
    assert!(
        hint.contains("tidegate admin user add NAME --role admin"),
        "{hint}"
    );
    drop(running);

    let add = ["admin", "user", "add", "ann", "--role", "admin"];
    exited(
        &run_with_input(folder.path(), &add, "correct horse battery staple\n"),
        0,
    );
    let (server, _) = serve(folder.path());
    server.signal("TERM");
    let (_, lines) = server.all();
    assert!(lines.contains("ota.server.stopped"), "{lines}");
    assert!(!lines.contains("ota.server.nobody"), "{lines}");
}
