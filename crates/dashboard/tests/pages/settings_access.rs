//! What machines and devices come in with: shown once, listed without it, and revoked.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

/// A text as it was before it was escaped for a page.
fn unescaped(text: &str) -> String {
    text.replace("&#34;", "\"").replace("&#38;", "&")
}

fn refused(answer: &Answer, fault: &str) {
    assert_eq!(answer.status, 400, "{fault}: {}", text(answer));
    let page = text(answer);
    let said = between(&page, "id=\"error\"", "</p>");
    assert!(said.contains(fault), "{said}");
}

/// The status that a token gets which is sent as a credential.
async fn status_with(server: &TestServer, token: &str) -> u16 {
    let request = server.http().get(server.admin_url("/v1/devices"));
    Answer::to(request.bearer_auth(token)).await.status
}

#[tokio::test]
async fn a_service_accounts_token_is_shown_once_and_revoked() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let path = "/settings/service-accounts";
    let asked = |role: &'static str, verbs: &'static str, packages: &'static str, days: &'static str| {
        [
            ("name", "ci"),
            ("role", role),
            ("verbs", verbs),
            ("packages", packages),
            ("days", days),
        ]
    };
    for (fields, fault) in [
        (asked("boss", "", "", "30"), "role"),
        (asked("operator", "upload erase", "", "30"), "verbs must be"),
        (asked("operator", "", "app", "30"), "package_name"),
        (
            asked("admin", "upload", "", "30"),
            "role must be operator beside limits",
        ),
        (asked("operator", "", "", "0"), "from one second"),
        (asked("operator", "", "", "99999999999999"), "out of reach"),
        (asked("operator", "", "", "soon"), "days must be a whole number"),
    ] {
        refused(
            &admin.post("/settings/service-accounts/add", &fields).await,
            fault,
        );
    }
    assert!(admin.page(path).await.contains("There is no service account yet"));

    let fields = asked(
        "operator",
        "upload, promote",
        "com.example.app\ncom.example.other",
        "30",
    );
    let made = admin.post("/settings/service-accounts/add", &fields).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"));
    let shown = text(&made);
    let token = between(&shown, "id=\"secret\">", "<").to_owned();
    assert!(token.len() > 40, "{token}");
    assert_eq!(status_with(&server, &token).await, 200);
    let second = admin
        .post("/settings/service-accounts/ci/token", &[("days", "7")])
        .await;
    let second = between(&text(&second), "id=\"secret\">", "<").to_owned();

    let list = admin.page(path).await;
    assert!(
        !list.contains(&token) && !list.contains(&second),
        "shown once alone"
    );
    assert!(!admin.page("/audit").await.contains(&token));
    assert!(
        list.contains("upload, promote of com.example.app, com.example.other"),
        "{list}"
    );
    assert_eq!(list.matches("Revoke …").count(), 2);

    // The newest stands first.
    let id = between(&list, "<tr data-token=\"", "\"").to_owned();
    let sheet = admin.page(&format!("/settings/tokens/{id}/revoke")).await;
    assert!(sheet.contains(&id));
    let revoked = admin.post(&format!("/settings/tokens/{id}/revoke"), &[]).await;
    assert_eq!(
        (revoked.status, revoked.header("location")),
        (303, "/settings/service-accounts?done=token_revoked")
    );
    assert_eq!(status_with(&server, &second).await, 401);
    assert_eq!(status_with(&server, &token).await, 200);
    let list = admin.page(path).await;
    assert!(
        list.contains(">revoked<") && list.matches("Revoke …").count() == 1,
        "{list}"
    );

    assert_eq!(
        admin
            .post("/settings/service-accounts/cd/token", &[("days", "7")])
            .await
            .status,
        404
    );
    assert_eq!(admin.post("/settings/tokens/none/revoke", &[]).await.status, 404);
    let removed = admin.post("/settings/service-accounts/ci/remove", &[]).await;
    assert_eq!(removed.status, 303, "{}", text(&removed));
    assert_eq!(status_with(&server, &token).await, 401);
    assert!(!admin.page(path).await.contains("data-account"));
}

#[tokio::test]
async fn a_device_enrols_with_what_the_setup_reads_and_a_revoked_token_lets_nobody_in() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let path = "/settings/enrolment";
    let signer = "ab".repeat(32);
    let agent = |component: &'static str, apk: &'static str, signer: &str, server: &'static str| {
        [
            ("uses", "2".to_owned()),
            ("days", "3".to_owned()),
            ("note", "line <2>".to_owned()),
            ("component", component.to_owned()),
            ("apk_url", apk.to_owned()),
            ("signer", signer.to_owned()),
            ("server", server.to_owned()),
        ]
    };
    let post = async |fields: &[(&str, String)]| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        admin.post("/settings/enrolment/add", &fields).await
    };
    let (owner, apk, here) = (
        "com.example.agent/.Owner",
        "https://example.com/agent.apk",
        "https://tide.example",
    );
    for (fields, fault) in [
        (
            agent("agent", apk, &signer, here),
            "component must be a package and a class",
        ),
        (
            agent(owner, "http://example.com/a.apk", &signer, here),
            "apk_url must begin with https://",
        ),
        (agent(owner, apk, "ab:cd", here), "signer"),
        (
            agent(owner, apk, &signer, "tide.example"),
            "server must begin with https://",
        ),
        (agent(owner, "", "", here), "apk_url"),
    ] {
        refused(&post(&fields).await, fault);
    }
    for (name, value, fault) in [
        ("uses", "0", "uses"),
        ("uses", "-1", "uses"),
        ("days", "367", "366 days"),
    ] {
        let mut fields = agent("", "", "", here);
        fields.iter_mut().find(|(field, _)| *field == name).unwrap().1 = value.to_owned();
        refused(&post(&fields).await, fault);
    }
    assert!(
        admin.page(path).await.contains("No token was made yet"),
        "nothing was made"
    );

    let made = post(&agent(owner, apk, &signer, here)).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"));
    let page = text(&made);
    let token = between(&page, "id=\"secret\">", "<").to_owned();
    let said: Value =
        serde_json::from_str(&unescaped(between(&page, "id=\"provisioning\">", "</code>"))).unwrap();
    let extras = &said["android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"];
    assert_eq!(
        *extras,
        json!({ "tidegate_server": here, "tidegate_enrollment_token": token })
    );
    assert!(
        page.contains("<svg class=\"qr\"") && page.contains("M4 4h7v1h-7z"),
        "its code is drawn"
    );
    server
        .enroll_as(&json!({ "enrollment_token": token, "device_id": "till-1" }))
        .await
        .unwrap();

    let list = admin.page(path).await;
    assert!(!list.contains(&token), "shown once alone");
    let row = between(&list, "<tr data-token=\"1\">", "</tr>");
    assert!(
        row.contains("1 of 2") && row.contains("line &#60;2&#62;") && row.contains(">active<"),
        "{row}"
    );

    // Without the agent there is a token and no code.
    let plain = text(&post(&agent("", "", "", "")).await);
    assert!(
        plain.contains("id=\"secret\"") && !plain.contains("<svg class=\"qr\""),
        "{plain}"
    );

    let revoked = admin.post("/settings/enrolment/1/revoke", &[]).await;
    assert_eq!(
        (revoked.status, revoked.header("location")),
        (303, "/settings/enrolment?done=enroll_token_revoked")
    );
    let late = json!({ "enrollment_token": token, "device_id": "till-2" });
    let refused = server.enroll_as(&late).await.expect_err("it lets nobody in");
    assert_eq!(refused.status, 401);
    assert_eq!(admin.post("/settings/enrolment/9/revoke", &[]).await.status, 404);
    server.clock().advance(TimeDelta::hours(11));
    let list = admin.page(path).await;
    assert!(between(&list, "<tr data-token=\"1\">", "</tr>").contains(">revoked<"));
    assert!(between(&list, "<tr data-token=\"2\">", "</tr>").contains(">active<"));
}
