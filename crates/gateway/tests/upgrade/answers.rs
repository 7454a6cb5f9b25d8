//! The answers of the previous release over its data are this release's answers over the same data.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_storage::Store;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};

use crate::likeness::differences;
use crate::previous::{LAST_MIGRATION, Recorded};

on_both_engines!(
    everything_is_answered_as_before,
    what_was_migrated_can_be_taken_back_and_migrated_again,
    credentials_hold_and_files_are_there,
);

/// A difference that is meant.
struct Deliberate {
    /// What the request's path contains.
    request: &'static str,
    /// What the difference's words contain, such as `.reason was "already_current" and is "newer_installed"`.
    words: &'static str,
    /// Why it is right.
    #[expect(dead_code, reason = "for whoever reads this list")]
    why: &'static str,
}

impl Deliberate {
    fn covers(&self, request: &str, difference: &str) -> bool {
        request.contains(self.request) && difference.contains(self.words)
    }
}

/// Each of them must occur.
const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        request: "/v1/agent/update",
        words: r#".reason was "already_current" and is "not_in_cohort""#,
        why: "whether a device is one of a rollout's own is asked before what it runs",
    },
    Deliberate {
        request: "/v1/apk",
        words: ".promoted_at was null",
        why: "a build tells of its last rollout when none serves it",
    },
    Deliberate {
        request: "/v1/apk",
        words: ".promoted_by was null",
        why: "a build tells of its last rollout when none serves it",
    },
    Deliberate {
        request: "/v1/apk",
        words: ".staged_rollout_percent was null",
        why: "a build tells of its last rollout when none serves it",
    },
    Deliberate {
        request: "/v1/apk",
        words: ".rollback_from_build_id was",
        why: "it names the build that the promotion replaced",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".force_downgrade was true and is false",
        why: "only devices of the version that is taken back are forced",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".staged_rollout_percent was",
        why: "agents that judge the share themselves know no salt",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".attempt was 1 and is 2",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".build_id was 4 and is 2",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".file_size was",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".force_downgrade was false and is true",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".release_notes was",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".rollout_id was 6 and is 5",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".sha256 was",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".version_code was 4 and is 2",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".version_name was",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/v1/agent/update",
        words: ".wifi_only was true and is false",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/explain",
        words: ".body.build_id was 4 and is 2",
        why: "the version that a forced roll-back takes back is asked for before all other rollouts",
    },
    Deliberate {
        request: "/explain",
        words: ".body.rules had",
        why: "forcing is a rule of its own, and no input of the version's",
    },
    Deliberate {
        request: "/v1/audit/verify",
        words: ".body.entries was",
        why: "what was there is sealed, and an entry says so",
    },
];

/// What depends on the server's address and key, or on the moment.
fn varies(field: &str) -> bool {
    field == "download_url"
}

async fn everything_is_answered_as_before(engine: Engine) {
    let recorded = Recorded::read(engine);
    let server = recorded.server(engine).await;
    compare(&recorded, &server).await;
}

async fn what_was_migrated_can_be_taken_back_and_migrated_again(engine: Engine) {
    let recorded = Recorded::read(engine);
    let mut server = recorded.server(engine).await;
    server.stop().await;
    let store = Store::connect(&server.config().database).await.unwrap();
    let reverted = store.revert_to(LAST_MIGRATION).await.unwrap();
    let pending = store.pending().await.unwrap();
    assert_eq!(pending.len(), reverted.len(), "{pending:?}");
    drop(store);
    server.start_again().await;
    compare(&recorded, &server).await;
}

/// Asks all that was asked before, in that order.
async fn compare(recorded: &Recorded, server: &TestServer) {
    let olga = server.person("olga", Role::Admin);
    assert!(recorded.exchanges.len() > 200, "{}", recorded.exchanges.len());
    let (mut offences, mut met) = (vec![], BTreeSet::new());
    for exchange in &recorded.exchanges {
        let (asked, now) = ask(recorded, server, &olga, exchange).await;
        for difference in differences("", exchange, &now, &varies) {
            match DELIBERATE
                .iter()
                .position(|meant| meant.covers(&asked, &difference))
            {
                Some(meant) => {
                    met.insert(meant);
                }
                None => offences.push(format!("{asked}: {difference}")),
            }
        }
    }
    assert!(offences.is_empty(), "{offences:#?}");
    assert_eq!(
        met.len(),
        DELIBERATE.len(),
        "a difference that is no more: {met:?}"
    );
}

/// What was asked, and the answer in the form in which it was recorded.
async fn ask(recorded: &Recorded, server: &TestServer, olga: &Operator, exchange: &Value) -> (String, Value) {
    if let Some(path) = exchange["get"].as_str() {
        let answer = olga.get(path).await;
        let mut now = json!({ "get": path, "status": answer.status, "body": answer.json() });
        if path.starts_with("/v1/audit?") {
            // It seals what the previous release wrote, and is the only entry that came since.
            let items = now["body"]["items"].as_array_mut().unwrap();
            items.retain(|entry| entry["action"] != "audit.seal");
        }
        return (path.to_owned(), now);
    }
    let (path, device) = (
        exchange["poll"].as_str().unwrap(),
        exchange["as"].as_str().unwrap(),
    );
    let request = server
        .http()
        .get(server.url(path))
        .bearer_auth(&recorded.tokens[device]);
    let answer = Answer::to(request).await;
    let mut now = json!({ "poll": path, "as": device, "status": answer.status });
    if answer.status == 304 {
        now["reason"] = answer.header("tidegate-reason").into();
    } else {
        now["body"] = answer.json();
    }
    now["poll_after"] = answer.header("tidegate-poll-after").into();
    (path.to_owned(), now)
}

async fn credentials_hold_and_files_are_there(engine: Engine) {
    let recorded = Recorded::read(engine);
    let server = recorded.server(engine).await;
    let login = json!({ "name": "ann", "password": recorded.password });
    let request = server.http().post(server.url("/v1/auth/login")).json(&login);
    assert_eq!(Answer::to(request).await.ok()["role"], "operator");

    let fresh = server.enroll(&recorded.enrollment_token, "phone-77").await;
    // A token alone gives nobody what a device was given, whether it is in use or was revoked.
    for known in ["phone-01", "phone-20"] {
        let words = json!({ "enrollment_token": recorded.enrollment_token, "device_id": known });
        let refusal = server.enroll_as(&words).await.unwrap_err();
        refusal.refused(409, "device_known");
    }

    let mut fetched = BTreeSet::new();
    for exchange in recorded
        .exchanges
        .iter()
        .filter(|exchange| exchange["body"]["download_url"].is_string())
    {
        if fetched.insert(exchange["body"]["build_id"].as_i64()) {
            let olga = server.person("olga", Role::Admin);
            let (_, now) = ask(&recorded, &server, &olga, exchange).await;
            let file = fresh.download(&now["body"], None).await;
            assert_eq!(
                (file.status, &json!(file.body.len())),
                (200, &now["body"]["file_size"])
            );
        }
    }
    assert_eq!(fetched.len(), 3, "{fetched:?}");
}
