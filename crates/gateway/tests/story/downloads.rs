//! Fetching a build's file: parts, resumption, and who may not.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_testkit::agent::{Agent, download_url};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

on_both_engines!(
    the_whole_file_comes_with_all_that_a_client_needs_to_resume,
    parts_are_the_very_bytes,
    a_part_of_another_file_is_no_use_so_all_of_it_comes,
    a_range_beyond_the_end_tells_the_size,
    a_malformed_range_is_refused,
    a_head_tells_everything_and_counts_nothing,
    a_download_counts_when_every_byte_was_sent,
    a_cut_download_and_its_resumption_are_one,
    an_altered_url_is_refused,
    an_expired_url_is_refused,
    each_answer_is_dated_by_the_servers_clock,
    another_devices_url_is_refused,
    the_url_never_follows_a_request_header,
    people_fetch_with_their_token,
);

/// A server, somebody to release things, a device that is offered a build, the manifest, and the file.
struct Offered {
    server: TestServer,
    olga: Operator,
    device: Agent,
    build: i64,
    manifest: Value,
    file: Vec<u8>,
}

async fn offered(engine: Engine, padding: usize) -> Offered {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let file = apks::large(PACKAGE, 2, padding);
    let build = olga.uploaded(&file).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let manifest = device.poll(1).await.manifest.unwrap();
    Offered {
        server,
        olga,
        device,
        build,
        manifest,
        file,
    }
}

impl Offered {
    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.get_url(download_url(&self.manifest), headers).await
    }

    async fn get_url(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.server.http().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request).await
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.manifest["sha256"].as_str().unwrap())
    }
}

async fn the_whole_file_comes_with_all_that_a_client_needs_to_resume(engine: Engine) {
    let story = offered(engine, 50_000).await;
    let whole = story.get(&[]).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, story.file);
    let digest = BASE64_STANDARD.encode(Sha256::digest(&story.file));
    assert_eq!(whole.header("repr-digest"), format!("sha-256=:{digest}:"));
    assert_eq!(whole.header("etag"), story.etag());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-length"), story.file.len().to_string());
    assert_eq!(
        whole.header("content-type"),
        "application/vnd.android.package-archive"
    );
    assert_eq!(story.manifest["file_size"], story.file.len());
    assert!(
        whole.header("cache-control").contains("no-transform"),
        "a proxy must not recompress it"
    );
}

async fn parts_are_the_very_bytes(engine: Engine) {
    let story = offered(engine, 50_000).await;
    let size = story.file.len();
    let parts = [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=100-199".to_owned(), 100..200),
        (format!("bytes={}-", size - 7), size - 7..size),
        ("bytes=-500".to_owned(), size - 500..size),
        (format!("bytes=40000-{}", size * 2), 40_000..size),
        (format!("bytes=-{}", size * 2), 0..size),
    ];
    for (range, expected) in parts {
        let part = story.get(&[("range", &range), ("if-range", &story.etag())]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, story.file[expected.clone()], "{range}");
        let told = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), told, "{range}");
        assert_eq!(part.header("etag"), story.etag());
        assert!(
            part.header("repr-digest").starts_with("sha-256=:"),
            "of the whole file"
        );
    }
    // Several ranges at once, or another unit: a server may send everything, and this one does.
    for range in ["bytes=0-1,5-6", "pages=1-2"] {
        let whole = story.get(&[("range", range)]).await;
        assert_eq!((whole.status, whole.body.len()), (200, size), "{range}");
    }
}

async fn a_part_of_another_file_is_no_use_so_all_of_it_comes(engine: Engine) {
    let story = offered(engine, 10_000).await;
    let weak = format!("W/{}", story.etag());
    for validator in ["\"0000\"", &weak, "Mon, 23 Nov 2026 12:00:00 GMT"] {
        let whole = story
            .get(&[("range", "bytes=5000-"), ("if-range", validator)])
            .await;
        assert_eq!(whole.status, 200, "{validator}");
        assert_eq!(whole.body, story.file, "{validator}");
    }
}

async fn a_range_beyond_the_end_tells_the_size(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let size = story.file.len();
    for range in [
        format!("bytes={size}-"),
        "bytes=99999999999999999999-".to_owned(),
        "bytes=-0".to_owned(),
    ] {
        let beyond = story.get(&[("range", &range)]).await;
        let problem = beyond.refused(416, "range_beyond_end");
        assert_eq!(problem["field"], "Range", "{range}");
        assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
    }
}

async fn a_malformed_range_is_refused(engine: Engine) {
    let story = offered(engine, 1_000).await;
    for range in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=1--2",
        "bytes 1-2",
    ] {
        let problem = story.get(&[("range", range)]).await.invalid("Range");
        assert!(
            problem["detail"].as_str().unwrap().contains("bytes=500-999"),
            "{range}: {problem}"
        );
    }
}

async fn a_head_tells_everything_and_counts_nothing(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let head = Answer::to(story.server.http().head(download_url(&story.manifest))).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), story.file.len().to_string());
    assert_eq!(head.header("etag"), story.etag());
    // A download that does count comes through the same queue, after it.
    let other = story.server.device("pixel-2").await;
    let manifest = other.poll(1).await.manifest.unwrap();
    other.download(&manifest, None).await;
    let stats = counted(&story, 1).await;
    assert_eq!(stats["total_downloads"], 1);
    let untouched = story.olga.device("pixel-1").await.ok();
    assert!(untouched["builds"][0]["downloaded_at"].is_null(), "{untouched}");
}

async fn counted(story: &Offered, downloads: i64) -> Value {
    let enough = |stats: &Value| stats["total_downloads"].as_i64() >= Some(downloads);
    eventually(|| story.olga.stats(story.build), enough).await
}

impl Offered {
    /// Fetches a part of the file for a device.
    async fn part(&self, device: &Agent, range: &str) {
        let manifest = device.poll(1).await.manifest.unwrap();
        assert_eq!(
            device.download(&manifest, Some(range)).await.status,
            206,
            "{range}"
        );
    }

    /// Waits for so many counted downloads, with one that is a new device's: it goes through the same queue, behind
    /// what came before it.
    async fn counts_beside(&self, newcomer: &str, downloads: i64) {
        let device = self.server.device(newcomer).await;
        let manifest = device.poll(1).await.manifest.unwrap();
        device.download(&manifest, None).await;
        let arrived = |state: &Value| !state["builds"][0]["downloaded_at"].is_null();
        eventually(|| async { self.olga.device(newcomer).await.ok() }, arrived).await;
        assert_eq!(counted(self, downloads).await["total_downloads"], downloads);
    }
}

async fn a_download_counts_when_every_byte_was_sent(engine: Engine) {
    let story = offered(engine, 50_000).await;
    let middle = story.file.len() / 2;
    let (first, second) = (format!("bytes=0-{}", middle - 1), format!("bytes={middle}-"));
    let last_byte = story.server.device("last-byte").await;
    let all_but_one = story.server.device("all-but-one").await;
    let one_half = story.server.device("one-half").await;
    let two_halves = story.server.device("two-halves").await;
    story.part(&last_byte, "bytes=-1").await;
    let most = format!("bytes=0-{}", story.file.len() - 2);
    story.part(&all_but_one, &most).await;
    for _ in 0..2 {
        story.part(&one_half, &second).await;
    }
    story.counts_beside("newcomer-1", 1).await;
    // The parts may come in any order, and with a URL of each poll.
    story.part(&two_halves, &second).await;
    story.part(&two_halves, &first).await;
    story.counts_beside("newcomer-2", 3).await;
    for id in ["last-byte", "all-but-one", "one-half"] {
        let untouched = story.olga.device(id).await.ok();
        assert!(untouched["builds"][0]["downloaded_at"].is_null(), "{untouched}");
    }
    // What completes them counts; again, and told by the device, it counts for nothing more.
    story.part(&last_byte, &most).await;
    story.part(&all_but_one, "bytes=-1").await;
    story.part(&one_half, &first).await;
    story.part(&two_halves, "bytes=0-").await;
    two_halves.report(story.build, "downloaded").await.ok();
    story.counts_beside("newcomer-3", 7).await;
}

/// A file of more bytes than the sockets between hold, and a client that goes away in the middle of it.
async fn a_cut_download_and_its_resumption_are_one(engine: Engine) {
    const CAME: usize = 1 << 20;
    let story = offered(engine, 24 << 20).await;
    let url = reqwest::Url::parse(download_url(&story.manifest)).unwrap();
    let address = story.server.config().listen;
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut begin = vec![0; CAME];
    socket.read_exact(&mut begin).await.unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200"));
    drop(socket);

    story.part(&story.device, "bytes=-1").await;
    story.counts_beside("newcomer-1", 1).await;
    let head = begin.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let rest = format!("bytes={}-{}", CAME - head, story.file.len() - 2);
    story.part(&story.device, &rest).await;
    // The server may notice only now that the first connection is gone.
    assert_eq!(counted(&story, 2).await["total_downloads"], 2);
}

async fn an_altered_url_is_refused(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let other_build = story.olga.uploaded(&apks::build(PACKAGE, 3)).await;
    let url = download_url(&story.manifest);
    let query = reqwest::Url::parse(url).unwrap();
    let value = |name: &str| {
        let found = query.query_pairs().find(|(key, _)| key == name);
        found.unwrap().1.into_owned()
    };
    let (signature, expires) = (value("signature"), value("expires"));
    let later = (expires.parse::<i64>().unwrap() + 1).to_string();
    let flipped = flip_last(&signature);
    let altered = [
        ("signature", url.replace(&signature, &flipped)),
        (
            "cut signature",
            url.replace(&signature, &signature[..signature.len() - 2]),
        ),
        ("empty signature", url.replace(&signature, "")),
        ("later end", url.replace(&expires, &later)),
        ("no end", url.replace(&expires, "never")),
        ("device", url.replace("pixel-1", "pixel-2")),
        (
            "build",
            url.replace(&format!("/apk/{}/", story.build), &format!("/apk/{other_build}/")),
        ),
    ];
    for (what, altered) in altered {
        assert_ne!(altered, url, "{what}");
        story.get_url(&altered, &[]).await.refused(403, "url_refused");
    }
    let unsigned = url.split_once('?').unwrap().0;
    story.get_url(unsigned, &[]).await.refused(401, "no_token");
    assert_eq!(
        story.get_url(url, &[]).await.status,
        200,
        "and the right one works"
    );
}

/// Another letter of the same alphabet. The first one, because the last carries unused bits.
fn flip_last(signature: &str) -> String {
    let other = if signature.starts_with('A') { "B" } else { "A" };
    format!("{other}{}", &signature[1..])
}

async fn an_expired_url_is_refused(engine: Engine) {
    let story = offered(engine, 1_000).await;
    story.server.clock().advance(TimeDelta::minutes(59));
    assert_eq!(story.get(&[]).await.status, 200);
    story.server.clock().advance(TimeDelta::minutes(2));
    story.get(&[]).await.refused(403, "url_expired");
    // The next poll brings a new one.
    let manifest = story.device.poll(1).await.manifest.unwrap();
    assert_eq!(story.device.download(&manifest, None).await.status, 200);
}

/// Agents correct their clocks by any answer, and windows are told by the server's.
async fn each_answer_is_dated_by_the_servers_clock(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let now = story
        .server
        .clock()
        .read()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let nobody = story.server.http().get(story.server.url("/nothing-here"));
    for (what, answer) in [
        ("a file", story.get(&[]).await),
        ("a part", story.get(&[("range", "bytes=0-9")]).await),
        ("a refusal", Answer::to(nobody).await),
        (
            "a report",
            story.device.report(story.build, "download_started").await,
        ),
    ] {
        assert_eq!(answer.header("date"), now, "{what}: {}", answer.status);
    }
}

async fn another_devices_url_is_refused(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let thief = story.server.device("thief").await;
    let request = story
        .server
        .http()
        .get(download_url(&story.manifest))
        .bearer_auth(&thief.token);
    Answer::to(request).await.refused(403, "foreign_device");
    let own = story
        .server
        .http()
        .get(download_url(&story.manifest))
        .bearer_auth(&story.device.token);
    assert_eq!(Answer::to(own).await.status, 200);
}

async fn the_url_never_follows_a_request_header(engine: Engine) {
    let server = TestServer::start_with(engine, |config| {
        config.public_url = Some("https://updates.example.com".to_owned());
    })
    .await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let path = format!("/v1/agent/update?device_id=pixel-1&current_version_code=1&package_name={PACKAGE}");
    let request = device
        .request(reqwest::Method::GET, &path)
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example;proto=http");
    let manifest = Answer::to(request).await.ok();
    let expected = format!("https://updates.example.com/v1/apk/{build}/download?");
    assert!(download_url(&manifest).starts_with(&expected), "{manifest}");
}

async fn people_fetch_with_their_token(engine: Engine) {
    let story = offered(engine, 1_000).await;
    let path = format!("/v1/apk/{}/download", story.build);
    let viewer = story.server.operator(Role::Viewer);
    assert_eq!(viewer.get(&path).await.body, story.file);
    viewer
        .get("/v1/apk/9999/download")
        .await
        .refused(404, "not_found");
    // It is no device's download.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(viewer.stats(story.build).await["total_downloads"], 0);
}
