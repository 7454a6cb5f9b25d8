//! Taking builds in, and what is refused at the door.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use tidegate_domain::{Role, SignerFingerprint};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

on_both_engines!(
    a_build_is_described_by_its_file,
    something_else_than_an_apk_is_refused,
    a_truncated_apk_is_refused,
    an_unsigned_apk_is_refused,
    a_test_only_apk_is_refused,
    what_no_device_of_the_fleet_installs_is_refused,
    a_repeated_version_is_refused,
    another_signer_is_refused,
    a_file_over_the_limit_is_refused,
    a_form_without_a_file_is_refused,
    a_form_with_more_than_it_should_have_is_refused,
    an_upload_that_is_broken_off_leaves_nothing,
    uploads_at_once_have_a_bound,
    the_same_file_twice_is_one_blob,
    builds_come_in_pages_newest_first,
);

/// Where a folder store keeps what it took in, and what is on its way.
pub(crate) const BLOBS: &str = "artifacts/blobs";
pub(crate) const STAGING: &str = "artifacts/staging";

fn file(apk: &[u8]) -> Part {
    Part::bytes(apk.to_vec()).file_name("app.apk")
}

/// Checks that a story left no trace: what people see, the blobs, and the staging folder.
struct Untouched {
    seen: serde_json::Value,
    blobs: Vec<String>,
}

impl Untouched {
    async fn before(server: &TestServer, olga: &Operator) -> Self {
        Self {
            seen: olga.everything().await,
            blobs: server.files_in(BLOBS),
        }
    }

    async fn check(&self, server: &TestServer, olga: &Operator) {
        assert_eq!(olga.everything().await, self.seen);
        assert_eq!(server.files_in(BLOBS), self.blobs);
        // A broken connection is noticed a moment later.
        eventually(|| async { server.files_in(STAGING) }, Vec::is_empty).await;
    }
}

async fn a_build_is_described_by_its_file(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let apk = apks::release(PACKAGE, (7 << 32) | 5)
        .version_name("7.0-beta")
        .min_sdk(26)
        .target_sdk(34)
        .lib("arm64-v8a", "libapp.so", vec![1; 100])
        .lib("x86_64", "libapp.so", vec![2; 100]);
    let apk = apks::sign(apk);
    let form = Form::new()
        .part("file", file(&apk))
        .text("notes", "Higher tides.")
        .text("build_type", "release")
        .text("ci_run_id", "4711")
        .text("git_sha", "0c0ffee");
    let answer = olga.upload_form(form).await;
    assert_eq!(answer.status, 201);
    let build = answer.json();
    let signer = SignerFingerprint(apks::key().fingerprint()).to_string();
    let expected = [
        ("package_name", json!(PACKAGE)),
        ("version_code", json!((7_i64 << 32) | 5)),
        ("version_name", json!("7.0-beta")),
        ("file_size", json!(apk.len())),
        ("signer_fingerprint", json!(signer)),
        ("min_sdk", json!(26)),
        ("target_sdk", json!(34)),
        ("abis", json!(["arm64-v8a", "x86_64"])),
        ("debuggable", json!(false)),
        ("release_notes", json!("Higher tides.")),
        ("build_type", json!("release")),
        ("ci_run_id", json!("4711")),
        ("git_sha", json!("0c0ffee")),
        ("uploaded_by", json!("olga")),
        ("is_current", json!(false)),
    ];
    for (field, value) in expected {
        assert_eq!(build[field], value, "{field}: {build}");
    }
    let schemes = build["schemes"].as_array().unwrap();
    assert!(
        schemes.contains(&json!("v2")) && schemes.contains(&json!("v3")),
        "{build}"
    );
    assert!(
        build["uploaded_at"]
            .as_str()
            .unwrap()
            .starts_with("2026-11-23T12:00:0"),
        "{build}"
    );
    assert_eq!(olga.build(build["build_id"].as_i64().unwrap()).await.ok(), build);
}

/// A server, and an upload that must be refused with this status and code and leave no trace.
async fn refused(engine: Engine, apk: &[u8], status: u16, code: &str) -> serde_json::Value {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let untouched = Untouched::before(&server, &olga).await;
    let problem = olga.upload(apk).await.refused(status, code);
    untouched.check(&server, &olga).await;
    problem
}

async fn something_else_than_an_apk_is_refused(engine: Engine) {
    for bytes in [&b"GIF89a, which is no archive"[..], b"", &[0; 100_000]] {
        refused(engine, bytes, 422, "not_an_apk").await;
    }
    let no_manifest = apks::sign(apks::release(PACKAGE, 2).raw_manifest(*b"<manifest/>"));
    refused(engine, &no_manifest, 422, "manifest_refused").await;
}

async fn a_truncated_apk_is_refused(engine: Engine) {
    let apk = apks::large(PACKAGE, 2, 20_000);
    for left in [apk.len() - 1, apk.len() / 2, 100] {
        refused(engine, &apk[..left], 422, "not_an_apk").await;
    }
}

async fn what_no_device_of_the_fleet_installs_is_refused(engine: Engine) {
    let compressed = apks::release(PACKAGE, 2)
        .min_sdk(30)
        .target_sdk(34)
        .file("resources.arsc", vec![0; 5000]);
    let problem = refused(engine, &apks::sign(compressed), 422, "not_installable").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("resources.arsc: "), "{detail}");
    assert!(detail.contains("[resources-compressed]"), "{detail}");
}

async fn an_unsigned_apk_is_refused(engine: Engine) {
    let problem = refused(engine, &apks::release(PACKAGE, 2).unsigned(), 422, "unsigned").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("apksigner"),
        "what to do: {problem}"
    );
}

async fn a_test_only_apk_is_refused(engine: Engine) {
    let apk = apks::sign(apks::release(PACKAGE, 2).test_only(true));
    let problem = refused(engine, &apk, 422, "test_only").await;
    assert!(
        problem["detail"].as_str().unwrap().contains("testOnly"),
        "{problem}"
    );
}

async fn a_repeated_version_is_refused(engine: Engine) {
    let another_file = apks::large(PACKAGE, 1, 500);
    let problem = refused(engine, &another_file, 409, "version_exists").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(PACKAGE) && detail.contains('1'), "{detail}");
    assert_eq!(problem["build_id"], 1, "{problem}");
    assert!(problem["sha256"].as_str().unwrap().len() == 64, "{problem}");
}

async fn another_signer_is_refused(engine: Engine) {
    let apk = apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    let problem = refused(engine, &apk, 409, "signer_conflict").await;
    let (own, foreign) = (apks::key().fingerprint(), apks::foreign_key().fingerprint());
    for fingerprint in [own, foreign] {
        let fingerprint = SignerFingerprint(fingerprint).to_string();
        assert!(
            problem["detail"].as_str().unwrap().contains(&fingerprint),
            "{fingerprint}: {problem}"
        );
    }
}

async fn a_file_over_the_limit_is_refused(engine: Engine) {
    const LIMIT: usize = 64 << 10;
    let server = TestServer::start_with(engine, |config| config.max_upload_bytes = LIMIT as u64).await;
    let olga = server.operator(Role::Operator);
    olga.uploaded(&apks::large(PACKAGE, 1, 40 << 10)).await;
    let untouched = Untouched::before(&server, &olga).await;
    for size in [LIMIT, 8 << 20] {
        let problem = olga
            .upload(&apks::large(PACKAGE, 2, size))
            .await
            .refused(413, "too_large");
        assert!(problem["detail"].as_str().unwrap().contains("65536"), "{problem}");
    }
    untouched.check(&server, &olga).await;
}

async fn a_form_without_a_file_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let untouched = Untouched::before(&server, &olga).await;
    olga.upload_form(Form::new().text("notes", "all talk"))
        .await
        .invalid("file");
    olga.post("/v1/apk/upload", &json!({ "file": "…" }))
        .await
        .refused(400, "invalid_argument");
    olga.post_text("/v1/apk/upload", "")
        .await
        .refused(400, "invalid_argument");
    untouched.check(&server, &olga).await;
}

async fn a_form_with_more_than_it_should_have_is_refused(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let untouched = Untouched::before(&server, &olga).await;
    let apk = apks::build(PACKAGE, 1);
    let form = || Form::new().part("file", file(&apk));
    olga.upload_form(form().text("rollout_percent", "100"))
        .await
        .invalid("rollout_percent");
    olga.upload_form(form().part("file", file(&apk)))
        .await
        .invalid("file");
    olga.upload_form(form().text("notes", "x".repeat((64 << 10) + 1)))
        .await
        .invalid("notes");
    olga.upload_form(form().text("git_sha", "x".repeat(257)))
        .await
        .invalid("git_sha");
    olga.upload_form(form().part("notes", Part::bytes(vec![0xff, 0xfe])))
        .await
        .invalid("notes");
    let many = (0..6).fold(Form::new(), |form, _| form.text("notes", "again"));
    olga.upload_form(many).await.refused(400, "invalid_argument");
    untouched.check(&server, &olga).await;
}

/// What a tunnel does to a phone.
async fn an_upload_that_is_broken_off_leaves_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let untouched = Untouched::before(&server, &olga).await;
    let apk = apks::large(PACKAGE, 1, 1 << 20);
    let socket = begin_upload(&server, &olga, &apk[..apk.len() / 2], apk.len()).await;
    drop(socket);
    untouched.check(&server, &olga).await;
    olga.uploaded(&apk).await;
}

/// An upload that has sent this much of its file, once the server has begun to take it in.
async fn begin_upload(server: &TestServer, olga: &Operator, begin: &[u8], of: usize) -> TcpStream {
    let address = server.config().listen;
    let head = format!(
        "POST /v1/apk/upload HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=tide\r\ncontent-length: {}\r\n\r\n\
         --tide\r\ncontent-disposition: form-data; name=\"file\"; filename=\"app.apk\"\r\n\r\n",
        olga.token(),
        of + 1000,
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(begin).await.unwrap();
    eventually(|| async { server.files_in(STAGING) }, |files| !files.is_empty()).await;
    socket
}

async fn uploads_at_once_have_a_bound(engine: Engine) {
    let server = TestServer::start_with(engine, |config| config.max_concurrent_uploads = 1).await;
    let olga = server.operator(Role::Operator);
    let apk = apks::build(PACKAGE, 1);
    let stalled = begin_upload(&server, &olga, &apk[..100], apk.len()).await;
    let refused = olga.upload(&apk).await;
    let problem = refused.refused(429, "too_many_uploads");
    let told = format!("try again in {} seconds", refused.header("retry-after"));
    assert!(
        problem["detail"].as_str().unwrap().ends_with(&told),
        "{problem} {told}"
    );
    drop(stalled);
    eventually(|| olga.upload(&apk), |answer| answer.status == 201).await;
}

async fn the_same_file_twice_is_one_blob(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    let apk = apks::build(PACKAGE, 1);
    let build = olga.uploaded(&apk).await;
    let blobs = server.files_in(BLOBS);
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    let (there, before) = (olga.build(build).await.ok(), olga.everything().await);
    // Whoever got no answer to an upload may send it again, with other notes too, and so may somebody else.
    let again = olga.upload(&apk).await;
    assert_eq!((again.status, again.json()), (200, there.clone()));
    let form = Form::new()
        .part("file", Part::bytes(apk.clone()))
        .text("notes", "Once more.");
    let again = server.person("oscar", Role::Operator).upload_form(form).await;
    assert_eq!((again.status, again.json()), (200, there));
    assert_eq!(olga.everything().await, before, "the audit log says nothing new");
    server
        .operator(Role::Viewer)
        .upload(&apk)
        .await
        .refused(403, "role_too_low");
    // Another file of the version is refused, which must not take the first one's bytes along.
    let other = olga
        .upload(&apks::large(PACKAGE, 1, 500))
        .await
        .refused(409, "version_exists");
    assert_eq!(
        (&other["build_id"], &other["sha256"]),
        (&build.into(), &olga.build(build).await.ok()["sha256"])
    );
    assert_eq!(server.files_in(BLOBS), blobs);
    assert_eq!(olga.get(&format!("/v1/apk/{build}/download")).await.body, apk);
    assert!(server.files_in(STAGING).is_empty());
}

async fn builds_come_in_pages_newest_first(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.operator(Role::Operator);
    for version in 1..=5 {
        olga.uploaded(&apks::build(PACKAGE, version)).await;
    }
    olga.uploaded(&apks::build("com.example.other", 1)).await;
    let (mut versions, mut next) = (vec![], String::new());
    loop {
        let query = format!("?package_name={PACKAGE}&page_size=2&page_token={next}");
        let page = olga.builds(&query).await.ok();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        versions.extend(items.iter().map(|build| build["version_code"].as_i64().unwrap()));
        next = page["next_page_token"].as_str().unwrap().to_owned();
        if next.is_empty() {
            break;
        }
    }
    assert_eq!(versions, [5, 4, 3, 2, 1]);
    assert_eq!(olga.builds("").await.ok()["items"].as_array().unwrap().len(), 6);
}
