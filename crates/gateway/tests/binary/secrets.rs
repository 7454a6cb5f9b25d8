//! What must never be printed: every secret of a server that tells all it can, searched for in all that it wrote.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tidegate_testkit::apks;
use tidegate_testkit::fcm::StandIn;

use crate::program::{Running, err, feed, out, tidegate};
use crate::traces::Collector;

const MASTER: [u8; 32] = *b"canary: the master key, 32 bytes";
const ROTATION: [u8; 32] = *b"canary: the rotation key, 32 too";
const SHARED: [u8; 32] = *b"canary: the shared command key..";
const SHARED_ROTATION: [u8; 32] = *b"canary: the other shared command";
const S3_SECRET: &str = "canary-s3-secret";
const PASSWORD: &str = "canary-password-of-ann";
const WRONG_PASSWORD: &str = "canary-of-a-slip-of-the-finger";
const FCM_TOKEN: &str = "canary-registration-token";
const SMUGGLED: &str = "canary-token-in-the-wrong-place";
const DATABASE_PASSWORD: &str = "canary-database-password";

/// Words that must not be found, each with what it is.
#[derive(Default)]
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn add(&mut self, what: &'static str, text: &str) {
        // A word that is too short would be found by chance.
        assert!(text.len() >= 12, "{what}: {text}");
        self.0.push((what, text.to_owned()));
    }

    /// In every spelling that a program might print bytes in.
    fn add_key(&mut self, what: &'static str, key: &[u8]) {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(what, &hex);
        self.add(what, STANDARD.encode(key).trim_end_matches('='));
        self.add(what, &URL_SAFE_NO_PAD.encode(key));
        self.add(what, &String::from_utf8_lossy(key));
        // The beginning of a list of numbers, as `Debug` prints bytes.
        let numbers: Vec<String> = key[..8].iter().map(u8::to_string).collect();
        self.add(what, &numbers.join(", "));
    }

    fn search(&self, place: &str, text: &str) {
        for (what, canary) in &self.0 {
            if let Some(line) = text.lines().find(|line| line.contains(canary.as_str())) {
                panic!("{place} tells {what}: {line}");
            }
        }
    }
}

fn settings(folder: &Path, push: &StandIn, collector: SocketAddr, format: &str) -> Vec<(String, String)> {
    let account = folder.join("account.json");
    std::fs::write(&account, push.service_account()).unwrap();
    let text = |key: &[u8]| STANDARD.encode(key);
    [
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("MASTER_KEY", text(&MASTER)),
        ("ROTATION_KEY", text(&ROTATION)),
        ("COMMAND_SHARED_KEY", text(&SHARED)),
        ("COMMAND_SHARED_ROTATION_KEY", text(&SHARED_ROTATION)),
        ("S3_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("S3_SECRET_ACCESS_KEY", S3_SECRET.to_owned()),
        ("FCM_SERVICE_ACCOUNT", account.to_str().unwrap().to_owned()),
        ("FCM_ENDPOINT", push.endpoint()),
        ("FCM_RAMP", "0s".to_owned()),
        ("OTLP_ENDPOINT", format!("http://{collector}")),
        ("TRACE_PERCENT", "100".to_owned()),
        ("LOG", "trace".to_owned()),
        ("LOG_FORMAT", format.to_owned()),
        ("LOG_POLLS_PER_SECOND", "1000000".to_owned()),
    ]
    .map(|(name, value)| (format!("TIDEGATE_{name}"), value))
    .into()
}

/// A day in which every credential is made and used, rightly and wrongly.
struct Day {
    base: String,
    http: Client,
    canaries: Canaries,
    admin: String,
    enrollment: String,
}

impl Day {
    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    async fn live(&mut self) {
        self.people().await;
        let build = self.release().await;
        let device = self.device(build).await;
        self.slips(&device).await;
        let revoke = self.post("/v1/devices/phone/revoke");
        good(revoke.bearer_auth(&self.admin)).await;
    }

    async fn people(&mut self) {
        for password in [WRONG_PASSWORD, PASSWORD] {
            let login = self.post("/v1/auth/login");
            let answer = login.json(&json!({ "name": "ann", "password": password })).send();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status() == 200, password == PASSWORD);
            if let Some(token) = answer.json::<Value>().await.unwrap()["token"].as_str() {
                self.canaries.add("a login's token", token);
            }
        }
        let fields = [("name", "ann"), ("password", PASSWORD), ("next", "/")];
        let login = self
            .post("/login")
            .header("origin", &self.base)
            .form(&fields)
            .send();
        let login = login.await.unwrap();
        assert_eq!(login.status(), 303);
        let cookie = login.headers()["set-cookie"].to_str().unwrap();
        let session = cookie.split_once('=').unwrap().1.split(';').next().unwrap();
        self.canaries.add("a session", session);
        let page = self
            .get("/devices")
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), 200);
    }

    async fn release(&self) -> Value {
        let apk = Part::bytes(apks::build(apks::PACKAGE, 2)).file_name("app.apk");
        let upload = self.post("/v1/apk/upload").bearer_auth(&self.admin);
        let upload = good(upload.multipart(Form::new().part("file", apk))).await;
        let build = json_of(upload).await["build_id"].clone();
        let promote = self
            .post(&format!("/v1/apk/{build}/promote"))
            .bearer_auth(&self.admin);
        good(promote.json(&json!({ "rollout_percent": 100 }))).await;
        build
    }

    async fn device(&mut self, build: Value) -> String {
        let order = json!({ "enrollment_token": self.enrollment, "device_id": "phone" });
        let device = json_of(good(self.post("/v1/agent/enroll").json(&order)).await).await;
        let token = device["device_token"].as_str().unwrap().to_owned();
        self.canaries.add("a device's token", &token);
        for key in ["primary", "rotation"] {
            let key = device["command_keys"][key].as_str().unwrap();
            self.canaries.add("a device's command key", key);
        }
        let set = self.http.put(format!("{}/v1/agent/fcm-token", self.base));
        good(set.bearer_auth(&token).json(&json!({ "fcm_token": FCM_TOKEN }))).await;
        let poll = format!(
            "/v1/agent/update?device_id=phone&current_version_code=1&package_name={}",
            apks::PACKAGE
        );
        let manifest = json_of(good(self.get(&poll).bearer_auth(&token)).await).await;
        let url = manifest["download_url"].as_str().unwrap();
        let signature = url
            .split_once('?')
            .unwrap()
            .1
            .split('&')
            .map(|pair| pair.split_once('=').unwrap().1);
        let signature = signature.max_by_key(|value| value.len()).unwrap();
        self.canaries.add("a download URL's signature", signature);
        good(self.http.get(url)).await.bytes().await.unwrap();
        let report = json!({ "build_id": build, "status": "install_success" });
        good(self.post("/v1/agent/report").bearer_auth(&token).json(&report)).await;
        let nudge = self.post("/v1/apk/nudge-update").bearer_auth(&self.admin);
        let told = json_of(good(nudge.json(&json!({ "device_ids": ["phone"] }))).await).await;
        assert_eq!(told["success_count"], 1, "{told}");
        token
    }

    /// Secrets where they do not belong, and bodies that are none.
    async fn slips(&self, device: &str) {
        let refused = [
            self.get("/v1/apk").header("authorization", SMUGGLED),
            self.get("/v1/apk").bearer_auth(SMUGGLED),
            self.get(&format!("/v1/apk?token={SMUGGLED}")),
            self.get(&format!("/v1/agent/update?device_token={SMUGGLED}")),
            self.get(&format!("/v1/apk/1/download?sig={SMUGGLED}")),
            self.get("/devices")
                .header("cookie", format!("tidegate_session={SMUGGLED}")),
            self.post("/v1/agent/enroll")
                .json(&json!({ "enrollment_token": SMUGGLED, "device_id": "x" })),
            self.post("/v1/agent/enroll").json(&json!({ SMUGGLED: SMUGGLED })),
            self.post("/v1/auth/login")
                .body(format!("{{\"password\": \"{SMUGGLED}\"")),
            self.post("/v1/auth/login")
                .json(&json!({ "name": "ann", "password": [SMUGGLED] })),
            self.http
                .put(format!("{}/v1/agent/fcm-token", self.base))
                .bearer_auth(device)
                .json(&json!({ "fcm_token": { SMUGGLED: 1 } })),
            self.get("/v1/devices").bearer_auth(device),
        ];
        for request in refused {
            let answer = request.send().await.unwrap();
            assert!(!answer.status().is_success(), "{answer:?}");
        }
    }
}

async fn good(request: RequestBuilder) -> Response {
    request.send().await.unwrap().error_for_status().unwrap()
}

async fn json_of(response: Response) -> Value {
    response.json().await.unwrap()
}

/// With command keys that the whole fleet shares, or with each device's own.
async fn nothing_is_told(format: &str, are_keys_shared: bool) {
    tidegate_gateway::choose_cryptography();
    let push = StandIn::start().await.unwrap();
    let (collector, address) = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), &push, address, format);
    settings.retain(|(name, _)| are_keys_shared || !name.contains("SHARED"));
    let with = |arguments: &[&str], input: &str| {
        let mut command = tidegate(folder.path());
        command.args(arguments).envs(settings.iter().cloned());
        feed(command, input)
    };
    let added = with(
        &["admin", "--init", "user", "add", "ann", "--role", "operator"],
        &format!("{PASSWORD}\n"),
    );
    let admin = with(&["admin", "token", "--subject", "bob", "--role", "admin"], "");
    let enrollment = with(&["admin", "enroll-token"], "");
    let shown = with(&["config"], "");
    let (admin, enrollment) = (out(&admin).trim().to_owned(), out(&enrollment).trim().to_owned());

    let mut command = tidegate(folder.path());
    command.arg("serve").envs(settings.iter().cloned());
    let server = Running::start(command);
    let line = server.line("ota.server.start");
    let base = line
        .split(['"', ' ', '='])
        .find(|word| word.starts_with("http://127.0.0.1:"));
    let mut day = Day {
        base: base.unwrap().to_owned(),
        http: Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
        canaries: Canaries::default(),
        admin,
        enrollment,
    };
    day.live().await;
    let metrics = good(day.get("/metrics").bearer_auth(&day.admin))
        .await
        .text()
        .await
        .unwrap();
    collector.span("POST /v1/apk/nudge-update").await;
    server.signal("TERM");
    let (status, lines) = server.all();
    assert_eq!(status.code(), Some(0));

    let mut canaries = day.canaries;
    for (what, key) in [
        ("the master key", &MASTER),
        ("the rotation key", &ROTATION),
        ("the shared command key", &SHARED),
        ("the other shared command key", &SHARED_ROTATION),
    ] {
        canaries.add_key(what, key);
    }
    let account: Value = serde_json::from_str(&push.service_account()).unwrap();
    let key = account["private_key"].as_str().unwrap().lines().nth(1).unwrap();
    canaries.add("the service account's key", key);
    canaries.add("the S3 secret", S3_SECRET);
    canaries.add("a password", PASSWORD);
    canaries.add("a mistyped password", WRONG_PASSWORD);
    canaries.add("a registration token", FCM_TOKEN);
    canaries.add("a secret in the wrong place", SMUGGLED);
    let hmac = push.messages()[0].data["hmac"].clone();
    canaries.add("a command's HMAC", &hmac);
    canaries.add("an access token of Google's", "stand-in-access-");
    canaries.add("the enrolment token", &day.enrollment);
    canaries.add("an admin token", &day.admin);

    // The log did tell, and of the very requests that bore the secrets.
    for event in [
        "ota.manifest.200",
        "ota.download.complete",
        "ota.nudge.sent",
        "ota.login.refused",
    ] {
        assert!(lines.contains(event), "no {event} in {lines}");
    }
    assert!(lines.contains("TRACE"), "the log tells all that it can");
    canaries.search("the log", &lines);
    canaries.search("a span", &collector.text());
    canaries.search("the metrics page", &metrics);
    canaries.search("`tidegate config`", &format!("{}{}", out(&shown), err(&shown)));
    canaries.search(
        "`tidegate admin user add`",
        &format!("{}{}", out(&added), err(&added)),
    );
}

#[tokio::test]
async fn no_line_in_json_no_span_and_no_page_tells_a_secret() {
    nothing_is_told("json", true).await;
}

#[tokio::test]
async fn no_line_in_text_tells_a_secret() {
    nothing_is_told("text", false).await;
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tidegate(folder.path());
    let url = format!("postgres://tidegate:{DATABASE_PASSWORD}@127.0.0.1:1/tidegate");
    command
        .arg("serve")
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_LOG", "trace")
        .env("TIDEGATE_DATABASE_URL", url);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("database_url"), "{}", err(&output));
    let mut canaries = Canaries::default();
    canaries.add("the database's password", DATABASE_PASSWORD);
    canaries.search(
        "the refusal to start",
        &format!("{}{}", out(&output), err(&output)),
    );
}
