//! `docs/rollouts.md`, `docs/plans.md` and `docs/health-gate.md`, taken at their word: their examples are sent to the server, one after the other, and the answers must
//! say what the page says. What the page leaves out of an answer is not compared.

use reqwest::Method;
use serde_json::Value;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    every_example_about_rollouts_is_answered_as_the_page_says,
    every_example_about_plans_is_answered_as_the_page_says,
    every_example_about_gates_is_answered_as_the_page_says,
);

const ROLLOUTS: &str = include_str!("../../../../docs/rollouts.md");
const PLANS: &str = include_str!("../../../../docs/plans.md");
const GATES: &str = include_str!("../../../../docs/health-gate.md");

/// The page's requests and answers: first line and body.
fn messages(page: &'static str) -> Vec<(&'static str, Option<Value>)> {
    let blocks = page.split("```http\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("\n```").next().unwrap());
    let parts = blocks.map(|block| block.split_once("\n\n").unwrap_or((block, "")));
    parts
        .map(|(first, body)| {
            let body = (!body.is_empty()).then(|| serde_json::from_str(body).expect(body));
            (first, body)
        })
        .collect()
}

/// Whether an answer says all that the page says.
fn compare(place: &str, said: &Value, answered: &Value) {
    match said {
        Value::Object(said) => {
            for (name, value) in said {
                compare(&format!("{place}.{name}"), value, &answered[name]);
            }
        }
        Value::Number(said) => assert_eq!(said.as_f64(), answered.as_f64(), "{place}: {answered}"),
        said => assert_eq!(said, answered, "{place}"),
    }
}

async fn every_example_about_rollouts_is_answered_as_the_page_says(engine: Engine) {
    every_example_is_answered(engine, ROLLOUTS, 18, Role::Operator).await;
}

async fn every_example_about_plans_is_answered_as_the_page_says(engine: Engine) {
    // What a package asks for is an admin's to say.
    every_example_is_answered(engine, PLANS, 14, Role::Admin).await;
}

async fn every_example_about_gates_is_answered_as_the_page_says(engine: Engine) {
    // What a package proposes is an admin's to say.
    every_example_is_answered(engine, GATES, 14, Role::Admin).await;
}

async fn every_example_is_answered(engine: Engine, page: &'static str, least: usize, role: Role) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", role);
    for version in [41, 42] {
        olga.uploaded(&apks::build(PACKAGE, version)).await;
    }
    olga.promote(1, 100).await.ok();
    take_at_its_word(page, least, &olga).await;
}

/// Sends a page's examples, of which there are at least so many messages, and compares the answers.
pub(crate) async fn take_at_its_word(page: &'static str, least: usize, olga: &Operator) {
    let messages = messages(page);
    assert!(messages.len() >= least, "only {} were found", messages.len());
    for pair in messages.chunks(2) {
        let [(request, body), (status, said)] = pair else {
            panic!("a request without an answer: {}", pair[0].0)
        };
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let mut sent = olga.request(method, path);
        if let Some(body) = body {
            sent = sent.json(body);
        }
        let answer = Answer::to(sent).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let code = status.split(' ').next().unwrap();
        assert_eq!(answer.status.to_string(), code, "{request}: {text}");
        if let Some(said) = said {
            compare(request, said, &answer.json());
        }
    }
}
