//! People who leave and tokens that leak: what ends their access, and how fast.

#![allow(clippy::disallowed_methods, reason = "the promise is one of real time")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::hmac;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::people_service_client::PeopleServiceClient;
use tidegate_signing::MasterKey;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};
use tonic::{Code, Request};

on_both_engines!(
    logging_out_leaves_the_cookie_worthless,
    a_person_is_listed_changed_and_removed,
    what_changes_a_person_ends_their_tokens,
    the_last_admin_stays_one,
    a_leaked_ci_token_is_revoked,
    a_token_limited_to_a_package_cannot_promote_another,
    a_token_of_before_holds_until_its_person_is_changed,
    the_same_over_grpc,
);

const PASSWORD: &str = "correct horse battery";

/// The promise: on every replica within a second.
const PROMISED: Duration = Duration::from_secs(1);

async fn log_in(server: &TestServer, name: &str, password: &str) -> Operator {
    let body = json!({ "name": name, "password": password });
    let request = server.http().post(server.url("/v1/auth/login")).json(&body);
    let login = Answer::to(request).await.ok();
    let token = login["token"].as_str().unwrap();
    server.operator(Role::Viewer).with_token(token)
}

/// The token, in the page's cookie.
async fn page(server: &TestServer, path: &str, token: &str) -> Answer {
    let cookie = format!("tidegate_session={token}");
    Answer::to(server.http().get(server.url(path)).header("cookie", cookie)).await
}

async fn logging_out_leaves_the_cookie_worthless(engine: Engine) {
    let server = TestServer::start(engine).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let (olga, elsewhere) = (
        log_in(&server, "olga", PASSWORD).await,
        log_in(&server, "olga", PASSWORD).await,
    );
    let shown = page(&server, "/", olga.token()).await;
    assert_eq!(shown.status, 200);
    let html = String::from_utf8(shown.body).unwrap();
    let csrf = html.split("name=\"csrf\" content=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap();

    let form = server
        .http()
        .post(server.url("/logout"))
        .header("cookie", format!("tidegate_session={}", olga.token()))
        .form(&[("csrf", csrf)]);
    let answer = Answer::to(form).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));

    // A copy of the cookie that somebody took before, at the page and at the API.
    assert_eq!(page(&server, "/", olga.token()).await.status, 303);
    assert_eq!(page(&server, "/session", olga.token()).await.status, 401);
    olga.builds("").await.refused(401, "token_revoked");
    elsewhere.builds("").await.ok();

    // The API's own way out.
    elsewhere.post_text("/v1/auth/logout", "").await.ok();
    elsewhere.builds("").await.refused(401, "token_revoked");
    let ada = server.operator(Role::Admin);
    assert_eq!(ada.audit("?action=user.logout&actor=olga").await.len(), 2);
    assert!(ada.audit_is_intact().await);
}

async fn a_person_is_listed_changed_and_removed(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let new = json!({ "name": "olga", "role": "viewer", "password": PASSWORD });
    assert_eq!(ada.post("/v1/users", &new).await.status, 201);
    let users = ada.get("/v1/users").await.ok();
    assert_eq!(users["items"][0]["name"], "olga");
    assert_eq!(users["items"][0]["last_login_at"], Value::Null);
    assert!(!users.to_string().contains("argon2"), "{users}");

    let olga = log_in(&server, "olga", PASSWORD).await;
    let users = ada.get("/v1/users").await.ok();
    assert!(users["items"][0]["last_login_at"].is_string(), "{users}");
    olga.get("/v1/users").await.refused(403, "role_too_low");

    let role = json!({ "role": "operator" });
    let changed = ada.post("/v1/users/olga/role", &role).await.ok();
    assert_eq!(changed["role"], "operator");
    ada.post("/v1/users/olga/role", &json!({ "role": "owner" }))
        .await
        .invalid("role");
    ada.post("/v1/users/omar/role", &role)
        .await
        .refused(404, "not_found");
    let weak = json!({ "password": "short" });
    ada.post("/v1/users/olga/password", &weak)
        .await
        .invalid("password");

    let disabled = ada.post_text("/v1/users/olga/disable", "").await.ok();
    assert!(disabled["disabled_at"].is_string(), "{disabled}");
    let body = json!({ "name": "olga", "password": PASSWORD });
    let login = server.http().post(server.url("/v1/auth/login")).json(&body);
    Answer::to(login).await.refused(401, "login_refused");
    ada.post_text("/v1/users/olga/enable", "").await.ok();
    log_in(&server, "olga", PASSWORD).await.builds("").await.ok();

    ada.post_text("/v1/users/olga/remove", "").await.ok();
    ada.post_text("/v1/users/olga/remove", "")
        .await
        .refused(404, "not_found");
    let log = ada.audit("?target=user/olga").await;
    let actions: Vec<&str> = log
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "user.remove",
            "user.login",
            "user.enable",
            "user.disable",
            "user.role",
            "user.login",
            "user.add"
        ],
        "what changed nothing is not told"
    );
    assert_eq!(log[4]["before"], json!({ "role": "viewer", "disabled": false }));
    assert_eq!(log[4]["after"], json!({ "role": "operator", "disabled": false }));
    assert!(ada.audit_is_intact().await);
}

async fn what_changes_a_person_ends_their_tokens(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let changes = [
        ("disable", Value::Null),
        ("role", json!({ "role": "viewer" })),
        ("password", json!({ "password": "another horse battery" })),
        ("remove", Value::Null),
    ];
    let mut password = PASSWORD;
    for (verb, body) in changes {
        let olga = log_in(&server, "olga", password).await;
        olga.builds("").await.ok();
        let path = format!("/v1/users/olga/{verb}");
        if body.is_null() {
            ada.post_text(&path, "").await.ok();
        } else {
            ada.post(&path, &body).await.ok();
        }
        olga.builds("").await.refused(401, "token_revoked");
        ada.post_text("/v1/users/olga/enable", "").await;
        olga.builds("").await.refused(401, "token_revoked");
        if verb == "password" {
            password = "another horse battery";
        }
    }
    // Somebody else of that name begins anew, and the tokens of the first stay ended.
    server.add_user("olga", Role::Operator, PASSWORD).await;
    log_in(&server, "olga", PASSWORD).await.builds("").await.ok();
}

async fn the_last_admin_stays_one(engine: Engine) {
    let server = TestServer::start(engine).await;
    let root = server.person("root", Role::Admin);
    server.add_user("ada", Role::Admin, PASSWORD).await;
    server.add_user("bea", Role::Admin, PASSWORD).await;
    root.post_text("/v1/users/bea/disable", "").await.ok();
    let ada = log_in(&server, "ada", PASSWORD).await;
    let before = root.audit("").await;
    let viewer = json!({ "role": "viewer" });
    for refused in [
        ada.post_text("/v1/users/ada/disable", "").await,
        ada.post_text("/v1/users/ada/remove", "").await,
        ada.post("/v1/users/ada/role", &viewer).await,
    ] {
        refused.refused(409, "last_admin");
    }
    assert_eq!(root.audit("").await, before);
    ada.builds("").await.ok();

    root.post_text("/v1/users/bea/enable", "").await.ok();
    // Both at once: one of them stays.
    let (first, second) = tokio::join!(
        root.post("/v1/users/ada/role", &viewer),
        root.post("/v1/users/bea/role", &viewer),
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn a_disabled_colleague_is_out_within_a_second_on_two_replicas() {
    let first = TestServer::start(Engine::Postgres).await;
    let second = first.replica().await;
    first.add_user("olga", Role::Operator, PASSWORD).await;
    first.add_user("omar", Role::Operator, PASSWORD).await;
    let (olga, omar) = (
        log_in(&first, "olga", PASSWORD).await,
        log_in(&second, "omar", PASSWORD).await,
    );
    let at_second = |person: &Operator| second.operator(Role::Viewer).with_token(person.token());
    at_second(&olga).builds("").await.ok();

    let ada = first.person("ada", Role::Admin);
    ada.post_text("/v1/users/olga/disable", "").await.ok();
    let begun = Instant::now();
    olga.builds("").await.refused(401, "token_revoked");
    gone(&at_second(&olga), begun).await;

    // And a session that was logged out on one.
    at_second(&omar).post_text("/v1/auth/logout", "").await.ok();
    let begun = Instant::now();
    at_second(&omar).builds("").await.refused(401, "token_revoked");
    gone(&first.operator(Role::Viewer).with_token(omar.token()), begun).await;
}

/// Asks until the token is refused, which is to be soon.
async fn gone(person: &Operator, begun: Instant) {
    while person.builds("").await.status == 200 {
        assert!(begun.elapsed() < PROMISED, "still let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    person.builds("").await.refused(401, "token_revoked");
}

/// Makes a service account, and returns it with its first token, and that token's id.
async fn service_account(server: &TestServer, ada: &Operator, new: &Value) -> (Operator, String) {
    let made = ada.post("/v1/service-accounts", new).await;
    assert_eq!(made.status, 201, "{:?}", made.json());
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    let account = server
        .operator(Role::Viewer)
        .with_token(made["token"].as_str().unwrap());
    (account, made["token_id"].as_str().unwrap().to_owned())
}

async fn a_leaked_ci_token_is_revoked(engine: Engine) {
    let mut server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let new = json!({ "name": "ci", "role": "operator" });
    let (leaked, leaked_id) = service_account(&server, &ada, &new).await;
    ada.post("/v1/service-accounts", &new)
        .await
        .refused(409, "exists_already");
    let another = ada
        .post_text("/v1/service-accounts/ci/tokens", r#"{"ttl_s":3600}"#)
        .await;
    assert_eq!(another.status, 201);
    let another = leaked.with_token(another.json()["token"].as_str().unwrap());
    let build = leaked.uploaded(&apks::build(PACKAGE, 1)).await;
    assert_eq!(leaked.build(build).await.ok()["uploaded_by"], "service:ci");

    let revoked = ada
        .post_text(&format!("/v1/tokens/{leaked_id}/revoke"), "")
        .await
        .ok();
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    leaked.builds("").await.refused(401, "token_revoked");
    another.builds("").await.ok();
    ada.post_text(&format!("/v1/tokens/{leaked_id}/revoke"), "")
        .await
        .ok();
    ada.post_text("/v1/tokens/nobody/revoke", "")
        .await
        .refused(404, "not_found");

    // Uses are written once a minute, and when the server stops.
    server.stop().await;
    server.start_again().await;
    let ada = server.person("ada", Role::Admin);
    let tokens = ada.get("/v1/tokens?subject=service:ci").await.ok();
    let tokens = tokens["items"].as_array().unwrap();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[1]["token_id"], leaked_id);
    assert!(
        tokens.iter().all(|token| token["last_used_at"].is_string()),
        "{tokens:?}"
    );
    assert_eq!(tokens[0]["revoked_at"], Value::Null);
    let (leaked, another) = (
        server.operator(Role::Viewer).with_token(leaked.token()),
        server.operator(Role::Viewer).with_token(another.token()),
    );
    leaked.builds("").await.refused(401, "token_revoked");

    server.clock().advance(TimeDelta::hours(1));
    another.builds("").await.refused(401, "invalid_token");
    let ada = server.person("ada", Role::Admin);
    let last = ada.post_text("/v1/service-accounts/ci/tokens", "").await.json();
    let last = another.with_token(last["token"].as_str().unwrap());
    last.builds("").await.ok();
    ada.post_text("/v1/service-accounts/ci/remove", "").await.ok();
    last.builds("").await.refused(401, "token_revoked");
    let accounts = ada.get("/v1/service-accounts").await.ok();
    assert_eq!(accounts["items"], json!([]));

    // The name is free again, and the tokens of the first stay ended.
    let (again, _) = service_account(&server, &ada, &new).await;
    again.builds("").await.ok();
    last.builds("").await.refused(401, "token_revoked");
    let log = ada.audit("?target=service-account/ci").await;
    let actions: Vec<&str> = log
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "service_account.add",
            "service_account.remove",
            "service_account.token",
            "service_account.token",
            "service_account.add"
        ]
    );
    assert_eq!(ada.audit("?action=admin_token.revoke").await.len(), 1);
    assert!(ada.audit_is_intact().await);
}

async fn a_token_limited_to_a_package_cannot_promote_another(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let own = ada.uploaded(&apks::build(PACKAGE, 1)).await;
    let other = ada.uploaded(&apks::build("com.example.other", 1)).await;
    let new = json!({
        "name": "ci", "role": "operator", "packages": [PACKAGE], "verbs": ["upload", "promote", "roll_back"],
    });
    let (ci, _) = service_account(&server, &ada, &new).await;
    let before = ada.everything().await;
    ci.promote(other, 10).await.refused(403, "token_limited");
    ci.upload(&apks::build("com.example.other", 2))
        .await
        .refused(403, "token_limited");
    ci.pause(own).await.refused(403, "token_limited");
    let roll_back = json!({ "package_name": "com.example.other" });
    ci.post("/v1/apk/rollback", &roll_back)
        .await
        .refused(403, "token_limited");
    for beyond in ["/v1/devices/pixel-1/retry", "/v1/apk/nudge-update"] {
        ci.post(beyond, &json!({})).await.refused(403, "token_limited");
    }
    ci.get("/v1/users").await.refused(403, "role_too_low");
    assert_eq!(ada.everything().await, before);

    ci.promote(own, 10).await.ok();
    ci.uploaded(&apks::build(PACKAGE, 2)).await;
    ci.builds("").await.ok();
    let accounts = ada.get("/v1/service-accounts").await.ok();
    assert_eq!(accounts["items"][0]["packages"], json!([PACKAGE]));
    assert_eq!(
        accounts["items"][0]["verbs"],
        json!(["upload", "promote", "roll_back"])
    );
    let admin = json!({ "name": "root", "role": "admin", "packages": [PACKAGE] });
    ada.post("/v1/service-accounts", &admin).await.invalid("role");
    let verb = json!({ "name": "root", "role": "operator", "verbs": ["release"] });
    ada.post("/v1/service-accounts", &verb).await.invalid("verbs");
}

/// Earlier versions' tokens bear no generation, and count as of the first.
async fn a_token_of_before_holds_until_its_person_is_changed(engine: Engine) {
    let master: Vec<u8> = (0..32).collect();
    let text: String = master.iter().map(|byte| format!("{byte:02x}")).collect();
    let master_key = MasterKey::from_text(&text).unwrap();
    let server = TestServer::start_with(engine, |config| config.master_key = Some(master_key)).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let now = server.person("olga", Role::Operator).token().to_owned();
    let mut parts = now.split('.');
    let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
    let mut claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims.as_object_mut().unwrap().remove("gen").unwrap();
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    // HKDF (RFC 5869), as the key ring derives its keys.
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let root = mac(b"tidegate key ring 1", &master);
    let key = mac(root.as_ref(), b"admin-jwt\x01");
    let tag = BASE64_URL_SAFE_NO_PAD.encode(mac(key.as_ref(), signed.as_bytes()));
    let before = server
        .operator(Role::Viewer)
        .with_token(&format!("{signed}.{tag}"));
    before.builds("").await.ok();
    let ada = server.person("ada", Role::Admin);
    ada.post("/v1/users/olga/role", &json!({ "role": "viewer" }))
        .await
        .ok();
    before.builds("").await.refused(401, "token_revoked");
}

async fn the_same_over_grpc(engine: Engine) {
    let server = TestServer::start(engine).await;
    let mut people = PeopleServiceClient::new(server.channel().await);
    fn by<T>(person: &Operator, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", person.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }
    let ada = server.person("ada", Role::Admin);
    let new = v1::AddUserRequest {
        name: "olga".into(),
        role: "operator".into(),
        password: PASSWORD.into(),
    };
    people.add_user(by(&ada, new)).await.unwrap();
    let olga = log_in(&server, "olga", PASSWORD).await;
    let list = |person: &Operator| by(person, v1::ListUsersRequest::default());
    let refused = people.list_users(list(&olga)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let users = people.list_users(list(&ada)).await.unwrap().into_inner();
    assert!(users.items[0].last_login_at.is_some());
    let name = || "olga".to_owned();
    let disable = v1::DisableUserRequest { name: name() };
    people.disable_user(by(&ada, disable)).await.unwrap();
    let refused = people.list_users(list(&olga)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let enable = v1::EnableUserRequest { name: name() };
    people.enable_user(by(&ada, enable)).await.unwrap();
    let role = "viewer".to_owned();
    let set = v1::SetUserRoleRequest { name: name(), role };
    let changed = people.set_user_role(by(&ada, set)).await.unwrap().into_inner();
    assert_eq!((changed.role.as_str(), changed.disabled_at), ("viewer", None));
    let password = "another horse battery".to_owned();
    let set = v1::SetUserPasswordRequest {
        name: name(),
        password,
    };
    people.set_user_password(by(&ada, set)).await.unwrap();
    let olga = log_in(&server, "olga", "another horse battery").await;
    people.log_out(by(&olga, v1::LogOutRequest {})).await.unwrap();
    let refused = people.log_out(by(&olga, v1::LogOutRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let remove = v1::RemoveUserRequest { name: name() };
    people.remove_user(by(&ada, remove)).await.unwrap();

    let new = v1::AddServiceAccountRequest {
        name: "ci".into(),
        role: "viewer".into(),
        ..v1::AddServiceAccountRequest::default()
    };
    let made = people
        .add_service_account(by(&ada, new))
        .await
        .unwrap()
        .into_inner();
    let ci = ada.with_token(&made.token);
    ci.builds("").await.ok();
    let accounts = by(&ada, v1::ListServiceAccountsRequest::default());
    let accounts = people.list_service_accounts(accounts).await.unwrap().into_inner();
    assert_eq!(accounts.items[0].created_by, "ada");
    let another = v1::AddServiceTokenRequest {
        name: "ci".into(),
        ttl_s: 60,
    };
    people.add_service_token(by(&ada, another)).await.unwrap();
    let tokens = by(&ada, v1::ListTokensRequest::default());
    assert_eq!(
        people.list_tokens(tokens).await.unwrap().into_inner().items.len(),
        2
    );
    let revoke = v1::RevokeTokenRequest {
        token_id: made.token_id,
    };
    people.revoke_token(by(&ada, revoke)).await.unwrap();
    ci.builds("").await.refused(401, "token_revoked");
    let remove = v1::RemoveServiceAccountRequest { name: "ci".into() };
    people.remove_service_account(by(&ada, remove)).await.unwrap();
}
