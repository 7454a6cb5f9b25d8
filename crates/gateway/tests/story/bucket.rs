//! Files in a bucket, and devices that are sent there for them.

use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::Value;
use tidegate_domain::Role;
use tidegate_signing::SecretString;
use tidegate_testkit::agent::{Agent, download_url};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};
use tokio::net::TcpListener;

const BUCKET: &str = "apks";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "a-secret-for-loopback-only";

/// An S3 server on loopback with a bucket in this folder, until the test ends: its port.
async fn serve(folder: &Path) -> u16 {
    std::fs::create_dir_all(folder.join(BUCKET)).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service: S3Service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(socket), service).await);
            });
        }
    });
    port
}

struct Scene {
    server: TestServer,
    device: Agent,
    build: i64,
    url: String,
    file: Vec<u8>,
    public: String,
    _folder: tempfile::TempDir,
}

async fn scene(redirect: bool) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let port = serve(folder.path()).await;
    let public = format!("http://localhost:{port}");
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.artifact_store = format!("s3://{BUCKET}/fleet");
        config.s3.endpoint = Some(format!("http://127.0.0.1:{port}"));
        config.s3.public_endpoint = Some(public.clone());
        config.s3.access_key = Some(ACCESS_KEY.to_owned());
        config.s3.secret_key = Some(SecretString::from(SECRET_KEY));
        config.download_redirect = redirect;
    })
    .await;
    let olga = server.operator(Role::Operator);
    let file = apks::large(PACKAGE, 2, 300_000);
    let build = olga.uploaded(&file).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let manifest = device.poll(1).await.manifest.unwrap();
    Scene {
        url: download_url(&manifest).to_owned(),
        server,
        device,
        build,
        file,
        public,
        _folder: folder,
    }
}

#[tokio::test]
async fn a_device_that_follows_is_sent_to_the_bucket() {
    let scene = scene(true).await;
    let http = scene.server.http();
    let sent = Answer::to(http.get(format!("{}&redirect=1", scene.url))).await;
    assert_eq!(sent.status, 302);
    assert_eq!(sent.header("cache-control"), "no-store");
    let place = sent.header("location").to_owned();
    assert!(place.starts_with(&scene.public), "{place}");
    assert!(place.contains("X-Amz-Expires=900"), "{place}");
    let whole = Answer::to(http.get(&place)).await;
    assert_eq!((whole.status, &whole.body), (200, &scene.file));
    let rest = http.get(&place).header("range", "bytes=1000-");
    let rest = Answer::to(rest.header("if-match", whole.header("etag"))).await;
    assert_eq!((rest.status, &rest.body[..]), (206, &scene.file[1000..]));

    // What the bucket sent is counted when the device says so, once.
    let olga = scene.server.operator(Role::Operator);
    let downloads = |stats: &Value| stats["total_downloads"].clone();
    assert_eq!(downloads(&olga.stats(scene.build).await), 0);
    for _ in 0..2 {
        scene.device.report(scene.build, "downloaded").await.ok();
    }
    assert_eq!(downloads(&olga.stats(scene.build).await), 1);
}

#[tokio::test]
async fn all_others_are_served_as_before() {
    let scene = scene(true).await;
    let http = scene.server.http();
    let old = Answer::to(http.get(&scene.url)).await;
    assert_eq!((old.status, &old.body), (200, &scene.file));
    let olga = scene.server.operator(Role::Viewer);
    let person = olga
        .get(&format!("/v1/apk/{}/download?redirect=1", scene.build))
        .await;
    assert_eq!((person.status, &person.body), (200, &scene.file));
    let forged = scene.url.replace("signature=", "signature=x");
    let forged = Answer::to(http.get(format!("{forged}&redirect=1"))).await;
    assert_eq!(forged.status, 403);
    scene.server.operator(Role::Admin).revoke("pixel-1").await.ok();
    let revoked = Answer::to(http.get(format!("{}&redirect=1", scene.url))).await;
    assert_eq!(revoked.status, 403);
}

#[tokio::test]
async fn nobody_is_sent_away_unless_it_is_set() {
    let scene = scene(false).await;
    let http = scene.server.http();
    let answer = Answer::to(http.get(format!("{}&redirect=1", scene.url))).await;
    assert_eq!((answer.status, &answer.body), (200, &scene.file));
}
