//! Enrolment as somebody meets it who has an enrolment token and the ids of devices that are not theirs.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    a_batch_token_gives_nobody_another_devices_credential,
    an_id_is_taken_over_only_where_somebody_allowed_it,
    a_repaired_phone_comes_back_by_an_operators_leave,
    a_lost_answer_is_repeated_to_the_key_alone,
    tokens_are_listed_and_end_when_they_are_revoked,
    an_agent_with_its_previous_token_alone_ends_up_polling,
    a_guessed_previous_token_opens_nothing,
);

const KEY: &str = "AAECAwQFBgcICQoLDA0ODw";
const OTHER_KEY: &str = "0123456789abcdef0123456789abcdef";

fn words(token: &str, id: &str, key: Option<&str>) -> Value {
    let mut words = json!({ "enrollment_token": token, "device_id": id });
    if let Some(key) = key {
        words["enrollment_key"] = json!(key);
    }
    words
}

async fn refused(server: &TestServer, words: &Value) -> Answer {
    server.enroll_as(words).await.unwrap_err()
}

/// A batch token whose uses are left, and one whose are not, are worth the same to a thief: nothing.
async fn a_batch_token_gives_nobody_another_devices_credential(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 2)).await;
    ada.promote(build, 100).await.ok();
    for uses in [2, 100] {
        let token = ada.enroll_token(uses).await;
        let (with_key, without) = (format!("keyed-{uses}"), format!("plain-{uses}"));
        let victim = server
            .enroll_as(&words(&token, &with_key, Some(KEY)))
            .await
            .unwrap();
        let of_before = server.enroll(&token, &without).await;
        of_before.poll(1).await;
        eventually(
            || async { ada.device(&without).await.ok() },
            |page| page["last_seen_at"].is_string(),
        )
        .await;
        for theft in [
            words(&token, &with_key, None),
            words(&token, &with_key, Some(OTHER_KEY)),
            words(&token, &without, None),
            words(&token, &without, Some(OTHER_KEY)),
        ] {
            let answer = refused(&server, &theft).await;
            answer.refused(409, "device_known");
            let told = String::from_utf8(answer.body.to_vec()).unwrap();
            for secret in [&victim.token, &of_before.token] {
                assert!(!told.contains(secret.as_str()), "{told}");
            }
        }
        assert_eq!(victim.poll(1).await.build(), Some(build));
        assert_eq!(of_before.poll(1).await.build(), Some(build));
    }
    let log = ada.audit("?action=device.enrolment_refused").await;
    assert_eq!(log.len(), 4, "one of each device: {log:?}");
}

async fn an_id_is_taken_over_only_where_somebody_allowed_it(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 2)).await;
    ada.promote(build, 100).await.ok();
    let first = ada.enroll_token(1).await;
    let phone = server
        .enroll_as(&words(&first, "pixel-1", Some(KEY)))
        .await
        .unwrap();
    let second = ada.enroll_token(1).await;
    refused(&server, &words(&second, "pixel-1", Some(OTHER_KEY)))
        .await
        .refused(409, "device_known");
    assert_eq!(phone.poll(1).await.build(), Some(build), "nothing has ended");

    let taking = ada
        .enroll_token_as(&json!({ "uses": 1, "allow_known": true }))
        .await;
    let other = server
        .enroll_as(&words(&taking, "pixel-1", Some(OTHER_KEY)))
        .await
        .unwrap();
    phone.ask(PACKAGE, 1, "").await.refused(401, "token_revoked");
    assert_eq!(other.poll(1).await.build(), Some(build));
    assert_ne!(
        phone.enrollment["command_keys"], other.enrollment["command_keys"],
        "whoever had the phone before can't read or write its commands"
    );
    let log = ada.audit("?action=device.takeover").await;
    assert_eq!(
        (log.len(), &log[0]["target"], &log[0]["after"]["allowed_by"]),
        (1, &json!("device/pixel-1"), &json!("token"))
    );
    assert_eq!(ada.device("pixel-1").await.ok()["awaits_enrolment"], false);
}

async fn a_repaired_phone_comes_back_by_an_operators_leave(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let token = ada.enroll_token(9).await;
    server
        .enroll_as(&words(&token, "pixel-1", Some(KEY)))
        .await
        .unwrap();
    let wiped = words(&token, "pixel-1", Some(OTHER_KEY));
    refused(&server, &wiped).await.refused(409, "device_known");
    let olga = server.person("olga", Role::Operator);
    let path = "/v1/devices/pixel-1/allow-enrolment";
    olga.post(path, &json!({ "ttl_s": -1 })).await.invalid("ttl_s");
    olga.post("/v1/devices/nobody/allow-enrolment", &json!({}))
        .await
        .refused(404, "not_found");
    olga.post(path, &json!({ "ttl_s": 60 })).await.ok();
    let page = ada.device("pixel-1").await.ok();
    assert!(page["enrolment_allowed_until"].is_string(), "{page}");
    server.clock().advance(TimeDelta::seconds(60));
    refused(&server, &wiped).await.refused(409, "device_known");

    olga.post_text(path, "").await.ok();
    server.enroll_as(&wiped).await.unwrap();
    let page = ada.device("pixel-1").await.ok();
    assert_eq!(
        page["enrolment_allowed_until"],
        json!(null),
        "it was for one enrolment"
    );
    refused(&server, &words(&token, "pixel-1", Some(KEY)))
        .await
        .refused(409, "device_known");
    let log = ada.audit("?action=device.allow_enrolment").await;
    assert_eq!((log.len(), &log[0]["actor"]), (2, &json!("olga")));
}

async fn a_lost_answer_is_repeated_to_the_key_alone(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let token = ada.enroll_token(1).await;
    let ours = words(&token, "pixel-1", Some(KEY));
    let first = server.enroll_as(&ours).await.unwrap();
    server.clock().advance(TimeDelta::days(3));
    let again = server.enroll_as(&ours).await.unwrap();
    assert_eq!(first.enrollment, again.enrollment);
    for weak in ["short", &"=".repeat(30), &"k".repeat(129)] {
        refused(&server, &words(&token, "pixel-2", Some(weak)))
            .await
            .invalid("enrollment_key");
    }
}

async fn tokens_are_listed_and_end_when_they_are_revoked(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let asked = json!({ "uses": 5, "note": "line 2" });
    let made = ada.post("/v1/enrollment-tokens", &asked).await.ok();
    ada.enroll_token(1).await;
    let secret = made["enrollment_token"].as_str().unwrap();
    server.enroll(secret, "pixel-1").await;
    let list = ada.get("/v1/enrollment-tokens").await.ok();
    assert!(!list.to_string().contains(secret), "{list}");
    let shown = &list["items"][1];
    assert_eq!(
        [
            &shown["token_id"],
            &shown["uses"],
            &shown["uses_left"],
            &shown["note"],
            &shown["created_by"],
            &shown["allow_known"],
            &shown["revoked_at"],
        ],
        [
            &made["token_id"],
            &json!(5),
            &json!(4),
            &json!("line 2"),
            &json!("ada"),
            &json!(false),
            &json!(null),
        ]
    );
    let path = format!("/v1/enrollment-tokens/{}/revoke", made["token_id"]);
    let revoked = ada.post_text(&path, "").await.ok();
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    refused(&server, &words(secret, "pixel-2", None))
        .await
        .refused(401, "enrollment_token_revoked");
    ada.post_text("/v1/enrollment-tokens/99/revoke", "")
        .await
        .refused(404, "not_found");
}

/// The hashes that another server kept of "old-token-1" and "old-token-2"; the second is bcrypt's, of the cost 4.
const SHA256: &str = "dd9ab6d2b6a9ce08d32d0d84cde5c77bdee6cb6fed93a8ef595fb0c11d4a33d2";
const BCRYPT: &str = "$2b$04$y3wacDFN.5dDw.3ePJnnsOZwMj3SFLSTQNj2TMnmid.Io10JXmjy6";

fn imported() -> String {
    let first = json!({ "device_id": "till-1", "alias": "Till 1", "region": "eu", "token_sha256": SHA256 });
    let second = json!({ "device_id": "till-2", "tags": ["lab"], "token_bcrypt": BCRYPT });
    format!("{first}\n{second}\n")
}

fn moving(id: &str, previous: &str) -> Value {
    json!({ "device_id": id, "previous_token": previous, "enrollment_key": KEY })
}

async fn an_agent_with_its_previous_token_alone_ends_up_polling(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 2)).await;
    ada.promote(build, 100).await.ok();
    assert_eq!(server.import_devices(&imported()).await.added, 2);
    assert_eq!(ada.device("till-1").await.ok()["awaits_enrolment"], true);
    for (id, previous) in [("till-1", "old-token-1"), ("till-2", "old-token-2")] {
        let moved = server.enroll_as(&moving(id, previous)).await.unwrap();
        assert_eq!(moved.poll(1).await.build(), Some(build), "{id}");
        let again = server.enroll_as(&moving(id, previous)).await.unwrap();
        assert_eq!(moved.enrollment, again.enrollment, "the answer may be lost");
        let stolen = json!({ "device_id": id, "previous_token": previous, "enrollment_key": OTHER_KEY });
        refused(&server, &stolen).await.refused(401, "enrollment_refused");
    }
    let page = ada.device("till-1").await.ok();
    assert_eq!(
        (&page["alias"], &page["region"], &page["awaits_enrolment"]),
        (&json!("Till 1"), &json!("eu"), &json!(false))
    );
    assert_eq!(server.import_devices("").await.added, 0);
}

async fn a_guessed_previous_token_opens_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    server.import_devices(&imported()).await;
    let mut keyless = moving("till-2", "old-token-2");
    keyless["enrollment_key"] = json!(null);
    refused(&server, &keyless).await.invalid("enrollment_key");
    let mut both = moving("till-2", "old-token-2");
    both["enrollment_token"] = json!(ada.enroll_token(1).await);
    refused(&server, &both).await.invalid("previous_token");
    // A batch token does not open it either: somebody holds a credential for this id.
    let token = ada.enroll_token(1).await;
    refused(&server, &words(&token, "till-2", Some(KEY)))
        .await
        .refused(409, "device_known");
    for _ in 0..5 {
        refused(&server, &moving("till-2", "guess"))
            .await
            .refused(401, "enrollment_refused");
    }
    let slower = refused(&server, &moving("till-2", "old-token-2")).await;
    slower.refused(429, "too_many_tries");
    assert_eq!(slower.header("retry-after"), "3600");
    refused(&server, &moving("nobody", "guess"))
        .await
        .refused(401, "enrollment_refused");
    server.clock().advance(TimeDelta::hours(1));
    server.enroll_as(&moving("till-2", "old-token-2")).await.unwrap();
}
