//! The server behind the proxies that people run, under the configurations in `deploy/`: everything works that works without
//! them, with TLS.

#![allow(clippy::disallowed_methods, reason = "how long a server really takes")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use prost::Message as _;
use reqwest::{Certificate, Client, Response, Version};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

/// The name in the configurations.
const NAME: &str = "updates.example.com";

const PASSWORD: &str = "correct horse battery";

/// How large an app is that people complain about.
const LARGE: usize = 100 << 20;

/// How large the app is that comes by gRPC.
const STREAMED: usize = 8 << 20;

/// Far longer than a proxy takes to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy with a folder of its own, which ends with the test.
struct Proxy {
    child: Child,
    server: TestServer,
    base: String,
    http: Client,
    _folder: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration of `deploy/` with the addresses and files of a test.
fn adapted(path: &str, changes: &[(&str, &str)]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = fs::read_to_string(root.join(path)).unwrap();
    for (what, with) in changes {
        assert!(text.contains(what), "{path} has no {what:?}");
        text = text.replace(what, with);
    }
    text
}

fn nginx(folder: &Path, server: SocketAddr, port: u16) -> Command {
    let [pem, key] = certificate(folder);
    let site = adapted(
        "deploy/nginx/tidegate.conf",
        &[
            ("server 127.0.0.1:8080;", &format!("server {server};")),
            ("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl")),
            ("/etc/nginx/tls/updates.example.com.pem", &pem),
            ("/etc/nginx/tls/updates.example.com.key", &key),
        ],
    );
    let place = folder.display();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\n\
         events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {place}/body;\n\
         proxy_temp_path {place}/proxy;\nfastcgi_temp_path {place}/f;\nuwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n{site}}}\n"
    );
    fs::write(folder.join("nginx.conf"), whole).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf"));
    // Before it has read where its own log is, it writes to the distribution's.
    command.arg("-e").arg(folder.join("error.log"));
    command
}

fn caddy(folder: &Path, server: SocketAddr, port: u16) -> Command {
    let [pem, key] = certificate(folder);
    let site = adapted(
        "deploy/caddy/Caddyfile",
        &[
            ("127.0.0.1:8080 {", &format!("{server} {{")),
            (
                "https://updates.example.com {",
                &format!("https://updates.example.com:{port} {{\n\tbind 127.0.0.1"),
            ),
            ("/etc/caddy/tls/updates.example.com.pem", &pem),
            ("/etc/caddy/tls/updates.example.com.key", &key),
        ],
    );
    let own = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
    fs::write(folder.join("Caddyfile"), format!("{own}{site}")).unwrap();
    let mut command = Command::new("caddy");
    command.arg("run").arg("--config").arg(folder.join("Caddyfile"));
    command.args(["--adapter", "caddyfile"]);
    command
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env("XDG_CONFIG_HOME", folder);
    command
}

/// Makes a certificate for the name, and says where it and its key are.
fn certificate(folder: &Path) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let files = [
        ("tls.pem", made.cert.pem()),
        ("tls.key", made.signing_key.serialize_pem()),
    ];
    files.map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    })
}

impl Proxy {
    async fn start(program: &str, command: fn(&Path, SocketAddr, u16) -> Command) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let base = format!("https://{NAME}:{}", free.port());
        let server = TestServer::start_with(Engine::Sqlite, |config| {
            config.public_url = Some(base.clone());
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let child = command(folder.path(), server.config().listen, free.port())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|_| panic!("{program} is missing: `just proxies` installs it"));
        let pem = fs::read(folder.path().join("tls.pem")).unwrap();
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(NAME, free)
            .tls_certs_only([Certificate::from_pem(&pem).unwrap()])
            .build()
            .unwrap();
        let mut proxy = Self {
            child,
            server,
            base,
            http,
            _folder: folder,
        };
        proxy.is_up(program).await;
        proxy
    }

    async fn is_up(&mut self, program: &str) {
        let begun = Instant::now();
        while self.http.get(self.url("/healthz")).send().await.is_err() {
            let log = fs::read_to_string(self._folder.path().join("error.log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "{program} ended: {log}");
            assert!(begun.elapsed() < PATIENCE, "{program} does not answer: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Uploads a large build, offers it to a device, and has it fetched as a whole and by its end.
    async fn releases_a_large_build(&self) {
        let file = apks::large(PACKAGE, 2, LARGE);
        let olga = self.server.operator(Role::Operator);
        let part = reqwest::multipart::Part::bytes(file.clone()).file_name("app.apk");
        let form = reqwest::multipart::Form::new().part("file", part);
        let upload = self.http.post(self.url("/v1/apk/upload")).multipart(form);
        let build = Answer::to(upload.bearer_auth(olga.token())).await.ok();
        let id = build["build_id"].as_i64().unwrap();
        let promote = self.http.post(self.url(&format!("/v1/apk/{id}/promote")));
        let promote = promote
            .bearer_auth(olga.token())
            .json(&json!({ "rollout_percent": 100 }));
        Answer::to(promote).await.ok();

        let token = self.server.operator(Role::Admin).enroll_token(1).await;
        let body = json!({ "enrollment_token": token, "device_id": "pixel-1" });
        let enrolled = Answer::to(self.http.post(self.url("/v1/agent/enroll")).json(&body))
            .await
            .ok();
        let query = format!("device_id=pixel-1&package_name={PACKAGE}&current_version_code=1");
        let poll = self.http.get(self.url(&format!("/v1/agent/update?{query}")));
        let poll = poll.bearer_auth(enrolled["device_token"].as_str().unwrap());
        let manifest = Answer::to(poll).await.ok();
        let url = manifest["download_url"].as_str().unwrap();
        assert!(url.starts_with(&self.base), "{url}");

        let whole = Answer::to(self.http.get(url)).await;
        assert_eq!(whole.status, 200);
        assert_eq!(Sha256::digest(&whole.body), Sha256::digest(&file));
        let from = file.len() - 1000;
        let end = self.http.get(url).header("range", format!("bytes={from}-"));
        let end = Answer::to(end.header("if-range", whole.header("etag"))).await;
        assert_eq!(end.status, 206);
        assert_eq!(
            end.header("content-range"),
            format!("bytes {from}-{}/{}", file.len() - 1, file.len())
        );
        assert_eq!(end.body, file[from..]);
    }

    /// Calls with these messages.
    async fn call(&self, method: &str, messages: &[Vec<u8>], token: Option<&str>) -> Response {
        let mut body = vec![];
        for message in messages {
            body.push(0);
            body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            body.extend(message);
        }
        let mut request = self.http.post(self.url(method)).body(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        request.version(Version::HTTP_2).send().await.unwrap()
    }

    /// What a call that succeeds is answered with.
    async fn answer<M: prost::Message + Default>(&self, method: &str, messages: &[Vec<u8>]) -> M {
        let olga = self.server.operator(Role::Operator);
        let answer = self.call(method, messages, Some(olga.token())).await;
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, Version::HTTP_2)
        );
        // The status comes after the message: a proxy that speaks HTTP/1.1 to the server loses it.
        let whole = http::Response::<reqwest::Body>::from(answer)
            .into_body()
            .collect();
        let whole = whole.await.unwrap();
        let trailers = whole.trailers().expect("the call's status is lost").clone();
        assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
        M::decode(&whole.to_bytes()[5..]).unwrap()
    }

    async fn speaks_grpc(&self) {
        let list = [v1::ListBuildsRequest::default().encode_to_vec()];
        let method = "/tidegate.v1.BuildService/ListBuilds";
        let builds: v1::ListBuildsResponse = self.answer(method, &list).await;
        assert_eq!(builds.items.len(), 1);
        assert_eq!(builds.items[0].package_name, PACKAGE);
        let refused = self.call(method, &list, None).await;
        assert_eq!(refused.headers()["grpc-status"], "16");
    }

    /// Uploads as a stream of messages that is longer than proxies let through unasked.
    async fn takes_an_upload_by_grpc(&self) {
        use v1::upload_build_request::Part;

        let file = apks::large(PACKAGE, 3, STREAMED);
        let metadata = Part::Metadata(v1::UploadMetadata::default());
        let chunks = file.chunks(256 << 10).map(|chunk| Part::Chunk(chunk.to_vec()));
        let messages: Vec<_> = std::iter::once(metadata)
            .chain(chunks)
            .map(|part| v1::UploadBuildRequest { part: Some(part) }.encode_to_vec())
            .collect();
        let method = "/tidegate.v1.BuildService/UploadBuild";
        let build: v1::Build = self.answer(method, &messages).await;
        assert_eq!(build.version_code, 3);
        assert_eq!(build.file_size, i64::try_from(file.len()).unwrap());
    }

    async fn shows_the_page_with_live_numbers(&self) {
        self.server.add_user("vera", Role::Viewer, PASSWORD).await;
        let form = [("name", "vera"), ("password", PASSWORD)];
        let login = self.http.post(self.url("/login")).form(&form);
        let login = login
            .header("origin", &self.base)
            .header("x-forwarded-for", "198.51.100.7")
            .header("forwarded", "for=198.51.100.7");
        let login = Answer::to(login).await;
        assert_eq!(login.status, 303, "{}", String::from_utf8_lossy(&login.body));
        let cookie = login.header("set-cookie").split(';').next().unwrap();
        assert!(cookie.starts_with("__Host-tidegate_session="), "{cookie}");
        let foreign = self.http.post(self.url("/login")).form(&form);
        let foreign = Answer::to(foreign.header("origin", "https://evil.example")).await;
        assert_eq!(foreign.status, 403);

        let page = Answer::to(self.http.get(self.url("/builds")).header("cookie", cookie)).await;
        assert_eq!(page.status, 200);
        let request = self.http.get(self.url("/live")).header("cookie", cookie);
        let mut live = request.send().await.unwrap();
        assert_eq!(live.headers()["content-type"], "text/event-stream");
        let (begun, mut heard) = (Instant::now(), String::new());
        while heard.matches("event: tick").count() < 3 {
            let chunk = tokio::time::timeout(PATIENCE, live.chunk()).await;
            let chunk = chunk.expect("numbers do not move").unwrap().expect("it ended");
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
        // One a second: had they been kept back, they would come in one lump when a buffer is full.
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        self.knows_who_called().await;
    }

    async fn knows_who_called(&self) {
        let admin = self.server.operator(Role::Admin);
        let log: Vec<Value> = admin.audit("?action=user.login").await;
        assert_eq!(
            log[0]["after"]["address"], "127.0.0.1",
            "the caller's own word is not believed: {log:?}"
        );
    }

    async fn works(&self) {
        self.releases_a_large_build().await;
        self.speaks_grpc().await;
        self.takes_an_upload_by_grpc().await;
        self.shows_the_page_with_live_numbers().await;
    }
}

#[tokio::test]
async fn everything_works_behind_nginx() {
    Proxy::start("nginx", nginx).await.works().await;
}

#[tokio::test]
async fn everything_works_behind_caddy() {
    Proxy::start("caddy", caddy).await.works().await;
}
