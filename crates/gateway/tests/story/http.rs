//! What HTTP itself asks of a server: preconditions, one `Host`, who is refused before what.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::agent::download_url;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::frames;

on_both_engines!(
    a_file_that_the_caller_has_is_not_sent_again,
    a_resumption_of_another_file_begins_anew,
    nothing_for_you_has_no_length_and_is_not_kept,
    a_request_has_one_host,
    a_host_is_well_formed_and_over_http_2_the_authority,
    a_body_that_is_too_long_is_refused_by_its_length,
    downloads_wait_for_a_store_that_is_away,
    a_refused_token_is_challenged_as_such,
    no_cache_keeps_a_secret,
    a_name_that_cannot_be_seen_is_refused,
    a_stranger_is_told_so_before_what_is_wrong_with_the_query,
);

/// What comes back for these bytes until the server closes the connection.
async fn raw(server: &TestServer, request: &str) -> String {
    let mut socket = TcpStream::connect(server.config().listen).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    let all = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    all.expect("the server waits").unwrap();
    String::from_utf8_lossy(&answer).to_lowercase()
}

struct Offered {
    server: TestServer,
    build: i64,
    file: Vec<u8>,
    url: String,
    etag: String,
}

async fn offered(engine: Engine) -> Offered {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let file = apks::large(PACKAGE, 2, 10_000);
    let build = olga.uploaded(&file).await;
    olga.promote(build, 100).await.ok();
    let manifest = server.device("pixel-1").await.poll(1).await.manifest.unwrap();
    Offered {
        server,
        build,
        file,
        url: download_url(&manifest).to_owned(),
        etag: format!("\"{}\"", manifest["sha256"].as_str().unwrap()),
    }
}

impl Offered {
    async fn ask(&self, method: Method, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.server.http().request(method, &self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request).await
    }
}

async fn a_file_that_the_caller_has_is_not_sent_again(engine: Engine) {
    let story = offered(engine).await;
    let (etag, weak) = (story.etag.as_str(), format!("W/{}", story.etag));
    for method in [Method::GET, Method::HEAD] {
        let whole = story
            .ask(method.clone(), &[("if-none-match", "\"another\"")])
            .await;
        assert_eq!(whole.status, 200, "{method}");
        for tag in [etag, &weak, "*", &format!("\"another\", {etag}")] {
            let same = story.ask(method.clone(), &[("if-none-match", tag)]).await;
            assert_eq!((same.status, same.body.len()), (304, 0), "{method} {tag}");
            assert_eq!(same.header("etag"), etag);
            assert_eq!(same.header("cache-control"), whole.header("cache-control"));
            assert!(!same.headers.contains_key("content-length"), "{:?}", same.headers);
            assert!(!same.headers.contains_key("content-type"), "{:?}", same.headers);
        }
    }
    // It comes before the range, which would be for a file that the caller does not have.
    let part = [
        ("if-none-match", etag),
        ("range", "bytes=0-1"),
        ("if-range", etag),
    ];
    assert_eq!(story.ask(Method::GET, &part).await.status, 304);
}

/// As Android's own download manager resumes.
async fn a_resumption_of_another_file_begins_anew(engine: Engine) {
    let story = offered(engine).await;
    let (etag, weak) = (story.etag.as_str(), format!("W/{}", story.etag));
    let rest = ("range", "bytes=100-");
    for tag in [etag, "*", &format!("\"another\", {etag}")] {
        let part = story.ask(Method::GET, &[("if-match", tag), rest]).await;
        assert_eq!((part.status, &part.body[..]), (206, &story.file[100..]), "{tag}");
    }
    for tag in ["\"another\"", &weak] {
        let refused = story.ask(Method::GET, &[("if-match", tag), rest]).await;
        refused.refused(412, "precondition_failed");
        assert_eq!(story.ask(Method::HEAD, &[("if-match", tag)]).await.status, 412);
        let both = [
            ("if-match", tag),
            ("if-none-match", etag),
            ("range", "bytes=9999999-"),
        ];
        story
            .ask(Method::GET, &both)
            .await
            .refused(412, "precondition_failed");
    }
    // Who may not have the file learns nothing of it.
    let unsigned = story.server.url(&format!("/v1/apk/{}/download", story.build));
    let stranger = story.server.http().get(unsigned).header("if-none-match", etag);
    Answer::to(stranger).await.refused(401, "no_token");
}

async fn nothing_for_you_has_no_length_and_is_not_kept(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let path = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    for method in ["GET", "HEAD"] {
        let answer = raw(
            &server,
            &format!(
                "{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
                device.token
            ),
        )
        .await;
        assert!(answer.starts_with("http/1.1 304 "), "{answer}");
        assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
        assert!(!answer.contains("\r\ncontent-length:"), "{method}: {answer}");
        assert!(!answer.contains("\r\ntransfer-encoding:"), "{method}: {answer}");
    }
}

async fn a_request_has_one_host(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let poll = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    let ask = async |path: &str, version: &str, hosts: &str| {
        let token = &device.token;
        let head = format!("GET {path} HTTP/{version}\r\n{hosts}authorization: Bearer {token}\r\n");
        raw(&server, &format!("{head}connection: close\r\n\r\n")).await
    };
    for path in [
        poll.as_str(),
        "/healthz",
        "/v1/apk",
        "/openapi.json",
        "/",
        "/nowhere",
    ] {
        for hosts in ["", "host: a\r\nhost: b\r\n", "host: a\r\nhost: a\r\n"] {
            let answer = ask(path, "1.1", hosts).await;
            assert!(answer.starts_with("http/1.1 400 "), "{path} {hosts:?}: {answer}");
            assert!(answer.contains("\"bad_host\""), "{path} {hosts:?}: {answer}");
        }
        let answer = ask(path, "1.1", "host: a\r\n").await;
        assert!(!answer.starts_with("http/1.1 400 "), "{path}: {answer}");
    }
    assert!(ask("/healthz", "1.0", "").await.contains(" 200 "));
}

async fn a_host_is_well_formed_and_over_http_2_the_authority(engine: Engine) {
    let server = TestServer::start(engine).await;
    let poll = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    for path in [poll.as_str(), "/healthz", "/v1/apk", "/nowhere"] {
        for (version, hosts) in [
            ("1.1", "host: a b@/\r\n"),
            ("1.1", "host: a, b\r\n"),
            ("1.1", "host: a:b\r\n"),
            ("1.0", "host: a\r\nhost: b\r\n"),
            ("1.0", "host: a b\r\n"),
        ] {
            let ask = format!("GET {path} HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let answer = raw(&server, &ask).await;
            assert!(
                answer.starts_with(&format!("http/{version} 400 ")),
                "{hosts:?}: {answer}"
            );
            assert!(answer.contains("\"bad_host\""), "{path} {hosts:?}: {answer}");
        }
        for (hosts, is_refused) in [
            (&["h"][..], false),
            (&["H:80"], false),
            (&["another"], true),
            (&["h", "h"], true),
            (&["h h"], true),
        ] {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let body = frames_of(&server, &frames::get_with(1, path, &fields)).await;
            assert_eq!(
                body.contains("\"bad_host\""),
                is_refused,
                "{path} {hosts:?}: {body}"
            );
        }
    }
}

/// All that comes back for these frames on the first stream of a connection until the stream's end.
async fn frames_of(server: &TestServer, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.config().listen).await.unwrap();
    let opening = frames::opening(65_535);
    socket.write_all(&[&opening, request].concat()).await.unwrap();
    let (mut read, mut body) = (vec![], vec![]);
    let all = async {
        loop {
            while let Some(frame) = frames::next(&mut read) {
                let ends = frame.flags & frames::END_STREAM != 0 && frame.stream == 1;
                body.extend(frame.payload);
                if ends {
                    return;
                }
            }
            assert!(socket.read_buf(&mut read).await.unwrap() > 0, "it is cut off");
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), all).await;
    ended.expect("the server waits");
    String::from_utf8_lossy(&body).into_owned()
}

async fn a_stranger_is_told_so_before_what_is_wrong_with_the_query(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let bad = [
        "",
        "device_id=pixel-1",
        "device_id=pixel-1&package_name=no+package&current_version_code=1",
        "device_id=pixel-1&package_name=com.example.app&current_version_code=x",
        "device_id=pixel-1&package_name=com.example.app&current_version_code=1&sdk=x",
    ];
    for query in bad {
        let url = server.url(&format!("/v1/agent/update?{query}"));
        let ask = |token: Option<&str>| {
            let request = server.http().get(&url);
            Answer::to(match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            })
        };
        ask(None).await.refused(401, "no_token");
        ask(Some("forged")).await.refused(401, "invalid_token");
        ask(Some(&device.token)).await.refused(400, "invalid_argument");
    }
}

/// The first line that comes back to a client that asks before it sends its body.
async fn first_line(server: &TestServer, head: &str, token: &str) -> String {
    let mut socket = TcpStream::connect(server.config().listen).await.unwrap();
    let head = format!("{head}\r\nhost: a\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut answer)).await;
    let read = read.expect("the server waits").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    answer.lines().next().unwrap_or_default().to_owned()
}

async fn a_body_that_is_too_long_is_refused_by_its_length(engine: Engine) {
    let server = TestServer::start_with(engine, |config| config.max_upload_bytes = 1 << 20).await;
    let device = server.device("pixel-1").await;
    let olga = server.operator(Role::Operator);
    let report = |length: usize| {
        format!(
            "POST /v1/agent/report HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}"
        )
    };
    let upload = |length: usize| {
        format!(
            "POST /v1/apk/upload HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=tide\r\ncontent-length: {length}"
        )
    };
    let nudge = |length: usize| format!("POST /v1/apk/nudge-update HTTP/1.1\r\ncontent-length: {length}");
    let (asked, refused) = ("HTTP/1.1 100 Continue", "HTTP/1.1 413 Payload Too Large");
    for (head, token, line) in [
        (report(100), device.token.as_str(), asked),
        (report(64 << 10), &device.token, asked),
        (report((64 << 10) + 1), &device.token, refused),
        (report(usize::MAX / 2), &device.token, refused),
        (report(100), "forged", "HTTP/1.1 401 Unauthorized"),
        (nudge(2 << 20), olga.token(), asked),
        (nudge((2 << 20) + 1), olga.token(), refused),
        (upload(2 << 20), olga.token(), asked),
        (upload((2 << 20) + 1), olga.token(), refused),
        (upload(100), device.token.as_str(), "HTTP/1.1 401 Unauthorized"),
    ] {
        assert_eq!(first_line(&server, &head, token).await, line, "{head}");
    }
}

async fn downloads_wait_for_a_store_that_is_away(engine: Engine) {
    let story = offered(engine).await;
    let data = &story.server.config().data_dir;
    let (there, away) = (data.join("artifacts"), data.join("away"));
    std::fs::rename(&there, &away).unwrap();
    for headers in [&[][..], &[("range", "bytes=5-")]] {
        let refused = story.ask(Method::GET, headers).await;
        refused.refused(503, "unavailable");
        assert!(
            refused
                .header("retry-after")
                .parse::<u32>()
                .is_ok_and(|seconds| seconds > 0)
        );
    }
    std::fs::rename(&away, &there).unwrap();
    assert_eq!(story.ask(Method::GET, &[]).await.body, story.file);
}

async fn a_refused_token_is_challenged_as_such(engine: Engine) {
    let server = TestServer::start(engine).await;
    let viewer = server.operator(Role::Viewer);
    let device = server.device("pixel-1").await;
    server.operator(Role::Admin).revoke("pixel-1").await.ok();
    let poll = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    let ask = async |path: &str, authorization: &str| {
        let mut request = server.http().get(server.url(path));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let answer = Answer::to(request).await;
        (answer.status, answer.header("www-authenticate").to_owned())
    };
    let invalid = (401, "Bearer error=\"invalid_token\"".to_owned());
    for path in ["/v1/apk", "/v1/apk/1/download", &poll] {
        assert_eq!(ask(path, "").await, (401, "Bearer".to_owned()), "{path}");
        assert_eq!(
            ask(path, "Basic YTpi").await,
            (401, "Bearer".to_owned()),
            "{path}"
        );
        assert_eq!(ask(path, "Bearer a.b.c").await, invalid, "{path}");
    }
    assert_eq!(
        ask(&poll, &format!("Bearer {}", device.token)).await,
        invalid,
        "revoked"
    );
    let low = viewer.upload(b"x").await;
    low.refused(403, "role_too_low");
    assert_eq!(
        low.header("www-authenticate"),
        "Bearer error=\"insufficient_scope\""
    );
}

async fn no_cache_keeps_a_secret(engine: Engine) {
    let story = offered(engine).await;
    let server = &story.server;
    server
        .add_user("olga", Role::Operator, "correct horse battery")
        .await;
    let login = json!({ "name": "olga", "password": "correct horse battery" });
    let ada = server.operator(Role::Admin);
    let token = ada.enroll_token(1).await;
    let enroll = json!({ "enrollment_token": token, "device_id": "pixel-2" });
    let post =
        |path: &str, body: &serde_json::Value| Answer::to(server.http().post(server.url(path)).json(body));
    let device = server.device("pixel-3").await;
    let poll = format!("/v1/agent/update?device_id=pixel-3&current_version_code=1&package_name={PACKAGE}");
    for (secret, answer) in [
        ("token", post("/v1/auth/login", &login).await),
        ("device_token", post("/v1/agent/enroll", &enroll).await),
        (
            "enrollment_token",
            ada.post("/v1/enrollment-tokens", &json!({})).await,
        ),
        (
            "download_url",
            Answer::to(device.request(Method::GET, &poll)).await,
        ),
    ] {
        assert!(!answer.ok()[secret].as_str().unwrap().is_empty(), "{secret}");
        assert_eq!(answer.header("cache-control"), "no-store", "{secret}");
    }
}

async fn a_name_that_cannot_be_seen_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let token = server.operator(Role::Admin).enroll_token(1).await;
    let enroll = async |id: &str, alias: &str| {
        let request = json!({ "enrollment_token": token, "device_id": id, "alias": alias });
        server.enroll_as(&request).await
    };
    for id in ["pixel\u{200b}1", "\u{202e}1-lexip", "pixel-1\u{3164}", "\u{2800}"] {
        enroll(id, "Front desk").await.unwrap_err().invalid("device_id");
    }
    for alias in ["Front\u{200b}desk", "\u{202e}ksed", "a\nb"] {
        enroll("pixel-1", alias).await.unwrap_err().invalid("alias");
    }
    enroll("pixel-1", "Front desk \u{2764}\u{fe0f}").await.unwrap();
}
