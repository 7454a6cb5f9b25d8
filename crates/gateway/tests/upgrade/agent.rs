//! What agents of the previous release send, word for word, is answered as it was.

use std::collections::HashMap;
use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

use crate::likeness::differences;
use crate::previous::data;

on_both_engines!(agents_of_the_previous_release_are_served_as_before);

const TIDEPOOL: &str = "com.example.tidepool";

/// More bytes than any recorded range begins behind.
const PADDING: usize = 510_000;

/// What every server makes anew.
fn varies(field: &str) -> bool {
    let names = [
        "device_token",
        "primary",
        "download_url",
        "sha256",
        "signer_fingerprint",
        "file_size",
        "version_name",
        "release_notes",
        "rollout_id",
    ];
    names.contains(&field)
}

/// The server and what the devices know.
struct Scene {
    server: TestServer,
    fcm: StandIn,
    olga: Operator,
    builds: HashMap<String, i64>,
    enrollment_token: String,
    tokens: HashMap<String, String>,
    manifests: HashMap<String, Value>,
}

impl Scene {
    async fn set(engine: Engine) -> Self {
        let fcm = StandIn::start().await.unwrap();
        let server = TestServer::start_with(engine, |config| fcm::send_to(&fcm, config)).await;
        let olga = server.person("olga", Role::Admin);
        let mut builds = HashMap::new();
        for (package, version) in [(TIDEPOOL, 100), (TIDEPOOL, 110), (TIDEPOOL, 120), (PACKAGE, 2)] {
            let build = olga.uploaded(&apks::large(package, version, PADDING)).await;
            builds.insert(format!("<build {package} {version}>"), build);
        }
        let enrollment_token = olga.enroll_token(100).await;
        let (tokens, manifests) = (HashMap::new(), HashMap::new());
        Self {
            server,
            fcm,
            olga,
            builds,
            enrollment_token,
            tokens,
            manifests,
        }
    }

    /// Puts what is here into the places that the record leaves open.
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("<enrollment_token>", &self.enrollment_token);
        if let Some(message) = self.fcm.messages().first() {
            text = text.replace("<request_id>", &message.data["request_id"]);
        }
        for (place, build) in &self.builds {
            let number = build.to_string();
            text = text
                .replace(&format!("\"{place}\""), &number)
                .replace(place, &number);
        }
        text
    }

    /// Operators go to work as they did; what they are told is not compared.
    async fn operate(&self, line: &Value) {
        let answer = self
            .olga
            .post(line["path"].as_str().unwrap(), &line["body"])
            .await;
        answer.ok();
        if line["path"] == "/v1/apk/nudge-update" {
            eventually(|| async { self.fcm.messages().len() }, |sent| *sent > 0).await;
        }
    }

    async fn send(&self, line: &Value) -> Answer {
        let device = line["as"].as_str().unwrap();
        let path = line["path"].as_str().unwrap();
        let url = match path {
            "<download_url>" => self.manifests[device]["download_url"]
                .as_str()
                .unwrap()
                .to_owned(),
            path => self.server.url(path),
        };
        let method: Method = line["method"].as_str().unwrap().parse().unwrap();
        let mut request = self.server.http().request(method, url);
        for (name, value) in line["headers"].as_object().into_iter().flatten() {
            let token = self.tokens.get(device).map_or("", String::as_str);
            let mut value = value.as_str().unwrap().replace("<device_token>", token);
            if let Some(manifest) = self.manifests.get(device) {
                value = value.replace("<sha256>", manifest["sha256"].as_str().unwrap());
            }
            request = request.header(name, value);
        }
        if line["body"].is_object() {
            request = request.body(line["body"].to_string());
        }
        Answer::to(request).await
    }

    /// What the device has to remember of an answer.
    fn learn(&mut self, line: &Value, answer: &Answer) {
        let device = line["as"].as_str().unwrap().to_owned();
        match line["path"].as_str().unwrap() {
            "/v1/agent/enroll" => {
                let token = answer.json()["device_token"].as_str().unwrap().to_owned();
                self.tokens.insert(device, token);
            }
            path if path.starts_with("/v1/agent/update") && answer.status == 200 => {
                self.manifests.insert(device, answer.json());
            }
            _ => {}
        }
    }

    /// A whole file, or the rest that was asked for.
    fn check_file(&self, line: &Value, answer: &Answer) {
        let size = self.manifests[line["as"].as_str().unwrap()]["file_size"]
            .as_u64()
            .unwrap();
        let range = line["headers"]["range"].as_str().unwrap_or("bytes=0-");
        let from: u64 = range["bytes=".len()..].trim_end_matches('-').parse().unwrap();
        assert_eq!(answer.body.len() as u64, size - from, "{line}");
    }
}

async fn agents_of_the_previous_release_are_served_as_before(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let record = fs::read_to_string(data("agent.jsonl")).unwrap();
    assert!(record.lines().count() > 100);
    for line in record.lines() {
        let line: Value = serde_json::from_str(&scene.filled(line)).unwrap();
        if line["operator"] == true {
            scene.operate(&line).await;
            continue;
        }
        let answer = scene.send(&line).await;
        assert_eq!(json!(answer.status), line["status"], "{line}: {answer:?}");
        assert_eq!(
            answer.header("tidegate-reason"),
            line["reason"].as_str().unwrap_or(""),
            "{line}"
        );
        if line["path"] == "<download_url>" {
            scene.check_file(&line, &answer);
        }
        if line["path"].as_str().unwrap().starts_with("/v1/agent/update") {
            assert!(
                answer.header("tidegate-poll-after").parse::<u64>().is_ok(),
                "{line}"
            );
        }
        if line["answer"].is_object() {
            assert_eq!(
                differences("", &line["answer"], &answer.json(), &varies),
                Vec::<String>::new(),
                "{line}"
            );
        }
        scene.learn(&line, &answer);
    }
}
