//! `docs/agent.md`, taken at its word: its examples are sent to the real server, and its answers must be those.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_agent::domain::{Role, cohort};
use tidegate_agent::signing::{Command, CommandKey, sign_command};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

const PAGE: &str = include_str!("../../../../docs/agent.md");

/// What differs from one server to the next: only its kind is compared.
const VARYING: &[&str] = &[
    "device_token",
    "primary",
    "rotation",
    "download_url",
    "offer",
    "sha256",
    "signer_fingerprint",
    "file_size",
    "poll_after_s",
    "detail",
];

/// A request or an answer of the page: first line, headers, body.
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn parse(block: &str) -> Self {
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        let mut lines = head.lines();
        Self {
            first: lines.next().unwrap().to_owned(),
            headers: lines
                .map(|line| line.split_once(": ").expect(line))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.trim().to_owned(),
        }
    }
}

/// The page's code blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let ends = PAGE.split(begin.as_str()).skip(1);
    ends.map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// Puts what the page leaves open into a text.
fn filled(text: &str, known: &BTreeMap<&str, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("<{name}>"), value)
    })
}

async fn send(server: &TestServer, request: &Message, known: &BTreeMap<&str, String>) -> Answer {
    let (method, target) = request.first.split_once(' ').unwrap();
    let target = filled(target, known);
    let url = if target.starts_with("http") {
        target
    } else {
        server.url(&target)
    };
    let mut sent = server.http().request(method.parse().unwrap(), url);
    for (name, value) in &request.headers {
        sent = sent.header(name, filled(value, known));
    }
    Answer::to(sent.body(filled(&request.body, known))).await
}

fn compare(place: &str, said: &Value, answered: &Value) {
    match (said, answered) {
        (Value::Object(said), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(said), names(answered), "{place}");
            for (name, value) in said {
                compare(&format!("{place}.{name}"), value, &answered[name]);
            }
        }
        _ if VARYING.iter().any(|name| place.ends_with(&format!(".{name}"))) => {
            let kind = |value: &Value| (value.is_string(), value.is_number());
            assert_eq!(kind(said), kind(answered), "{place}: {said} and {answered}");
        }
        _ => assert_eq!(said, answered, "{place}"),
    }
}

#[tokio::test]
async fn every_example_of_the_page_is_answered_as_the_page_says() {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&push, config)).await;
    let operator = server.operator(Role::Admin);
    let release = apks::release(PACKAGE, 42).version_name("4.2");
    let build = operator.uploaded(&apks::sign(release.padding(5_000))).await;
    assert_eq!(build, 1, "the page's build");
    operator.promote(build, 100).await.ok();

    let mut known = BTreeMap::from([("enrollment_token", operator.enroll_token(1).await)]);
    let messages: Vec<_> = blocks("http").into_iter().map(Message::parse).collect();
    assert!(
        messages.len() >= 30,
        "only {} messages were found",
        messages.len()
    );
    for pair in messages.chunks(2) {
        let [request, said] = pair else {
            panic!("a request without an answer: {}", pair[0].first)
        };
        let place = &request.first;
        let answer = send(&server, request, &known).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let status = said.first.split(' ').next().unwrap();
        assert_eq!(answer.status.to_string(), status, "{place}: {text}");
        for (name, value) in &said.headers {
            let found = answer.header(name);
            assert!(
                !found.is_empty(),
                "{place}: {name} is missing in {:?}",
                answer.headers
            );
            assert!(value.contains('…') || value == found, "{place}: {name}: {found}");
        }
        if said.body.starts_with('{') {
            let said = serde_json::from_str(&filled(&said.body, &known)).unwrap();
            compare(place, &said, &answer.json());
        } else if status == "304" {
            assert!(answer.body.is_empty(), "{place}");
        }
        if let Ok(answered) = serde_json::from_slice::<Value>(&answer.body) {
            for name in ["device_token", "download_url", "sha256", "offer"] {
                if let Some(value) = answered[name].as_str() {
                    known.insert(name, value.to_owned());
                }
            }
        }
        if place.ends_with("/v1/agent/fcm-token") {
            // The device can be woken from now on, and the page goes on with the command that it was sent.
            let nudge = json!({ "device_ids": ["abc123"] });
            operator.post("/v1/apk/nudge-update", &nudge).await.ok();
            let command = push.messages().pop().unwrap();
            known.insert("request_id", command.data["request_id"].clone());
        }
    }
}

#[test]
fn the_vectors_of_the_page_are_those_that_the_crates_compute() {
    let [commands, cohorts] = &blocks("json vectors")[..] else {
        panic!("two blocks of vectors")
    };
    let commands: Vec<Value> = serde_json::from_str(commands).unwrap();
    assert!(commands.len() >= 2);
    for vector in commands {
        let command: Command = serde_json::from_value(vector.clone()).unwrap();
        let key = CommandKey::from_text(vector["key"].as_str().unwrap()).unwrap();
        let device = command.device_id.parse().unwrap();
        let now = command.ts.parse().unwrap();
        let signed = sign_command(&key, &command.action, &command.request_id, &device, now).unwrap();
        assert_eq!(signed.hmac, command.hmac);
    }
    let cohorts: BTreeMap<String, u8> = serde_json::from_str(cohorts).unwrap();
    assert!(cohorts.len() >= 3);
    for (device, expected) in cohorts {
        assert_eq!(cohort(&device), expected, "{device}");
    }
}

/// The words of reports and answers that the page lists are those that the agent says.
#[test]
fn the_page_names_every_word_that_this_agent_reports() {
    let sources = [
        include_str!("../../src/expected_apk.rs"),
        include_str!("../../src/verifying.rs"),
        include_str!("../../src/installing.rs"),
        include_str!("../../src/checking.rs"),
        include_str!("../../src/downloading.rs"),
    ];
    let words = [
        "size_mismatch",
        "sha256_mismatch",
        "signature_refused",
        "package_mismatch",
        "version_mismatch",
        "signer_mismatch",
        "installed_signer_mismatch",
        "check_failed",
        "downgrade_refused",
        "not_there",
        "given_up",
        "no_update",
        "installed",
        "failed",
        "refused",
    ];
    for word in words {
        assert!(
            sources
                .iter()
                .any(|source| source.contains(&format!("\"{word}\""))),
            "{word}"
        );
        assert!(PAGE.contains(&format!("`{word}`")), "{word} is not on the page");
    }
    for reason in tidegate_agent::domain::DeferReason::ALL {
        assert!(
            PAGE.contains(&format!("`{reason}`")),
            "{reason} is not on the page"
        );
    }
    assert_eq!(json!(tidegate_agent::UPDATE), "update");
}
