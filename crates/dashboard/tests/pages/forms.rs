//! Forms that are refused, and buttons that are not shown.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{PASSWORD, Person, text};

/// What changes something, and the role that it needs.
const CHANGES: &[(&str, Role)] = &[
    ("/builds/1/promote", Role::Operator),
    ("/builds/1/rollout", Role::Operator),
    ("/builds/1/pause", Role::Operator),
    ("/builds/1/resume", Role::Operator),
    ("/builds/1/rollback", Role::Operator),
    ("/rollouts/1/hold", Role::Operator),
    ("/rollouts/1/pause", Role::Operator),
    ("/rollouts/1/start", Role::Operator),
    ("/rollouts/1/advance", Role::Operator),
    ("/rollouts/1/approve", Role::Operator),
    ("/rollouts/1/deny", Role::Operator),
    ("/nudges/new", Role::Operator),
    ("/nudges/1/cancel", Role::Operator),
    ("/nudges/1/pause", Role::Operator),
    ("/nudges/1/resume", Role::Operator),
    ("/restored/dismiss", Role::Operator),
    ("/hold", Role::Operator),
    ("/hold/lift", Role::Operator),
    ("/devices/pixel-1/retry", Role::Operator),
    ("/devices/pixel-1/revoke", Role::Admin),
];

async fn with_a_release() -> TestServer {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = server.person("ci", Role::Operator);
    let build = operator.uploaded(&apks::build(PACKAGE, 1)).await;
    operator.promote(build, 50).await.ok();
    server.device("pixel-1").await;
    server
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let server = with_a_release().await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let before = server.operator(Role::Viewer).everything().await;
    for (path, _) in CHANGES
        .iter()
        .chain(&[("/logout", Role::Viewer), ("/audit/verify", Role::Viewer)])
    {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            let request = admin.request(Method::POST, path).header(name, value);
            let answer = Answer::to(request.form(&[("csrf", &admin.csrf)])).await;
            assert_eq!(answer.status, 403, "{path} {name}: {value}");
            assert!(text(&answer).contains("a page of another site"), "{path}");
        }
        for token in ["", "0", &admin.csrf[1..]] {
            let answer = Answer::to(admin.request(Method::POST, path).form(&[("csrf", token)])).await;
            assert_eq!(answer.status, 403, "{path} with the token {token:?}");
        }
    }
    assert_eq!(server.operator(Role::Viewer).everything().await, before);
}

#[tokio::test]
async fn another_sessions_token_is_worth_nothing() {
    let server = with_a_release().await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    assert_ne!(admin.csrf, viewer.csrf);
    let request = admin.request(Method::POST, "/builds/1/pause");
    let answer = Answer::to(request.form(&[("csrf", &viewer.csrf)])).await;
    assert_eq!(answer.status, 403, "{}", text(&answer));
}

#[tokio::test]
async fn a_login_from_another_site_is_refused() {
    let server = TestServer::start(Engine::Sqlite).await;
    server.add_user("olga", Role::Operator, PASSWORD).await;
    let request = server.http().post(server.admin_url("/login"));
    let request = request.header("origin", "https://evil.example");
    let answer = Answer::to(request.form(&[("name", "olga"), ("password", PASSWORD)])).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (403, ""));
}

#[tokio::test]
async fn each_role_may_do_its_share_and_sees_no_button_beyond_it() {
    let server = with_a_release().await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let before = server.operator(Role::Viewer).everything().await;
    for (path, _) in CHANGES {
        let answer = viewer
            .post(path, &[("rollout_percent", "5"), ("audience", "all")])
            .await;
        assert_eq!(answer.status, 403, "{path}: {}", text(&answer));
    }
    for path in [
        "/builds/1/promote",
        "/builds/1/rollout",
        "/builds/1/rollback",
        "/builds/upload",
        "/nudges/new",
    ] {
        assert_eq!(viewer.get(path).await.status, 403, "{path}");
    }
    for path in [
        "/",
        "/builds",
        "/builds/1",
        "/devices",
        "/devices/pixel-1",
        "/nudges",
        "/audit",
    ] {
        let page = viewer.page(path).await;
        // Logging out and checking the chain are everybody's.
        let forms = page.matches("method=\"post\"").count();
        assert_eq!(forms, if path == "/audit" { 2 } else { 1 }, "{path}");
        for button in [
            "/promote",
            "/rollout\"",
            "/rollback",
            "/upload",
            "/revoke",
            "/pause",
            "/nudges/new",
        ] {
            assert!(!page.contains(button), "{path} shows {button}");
        }
    }
    assert_eq!(server.operator(Role::Viewer).everything().await, before);

    let operator = Person::logged_in(&server, Role::Operator).await;
    let page = operator.page("/builds/1").await;
    for button in [
        "id=\"promote\"",
        "id=\"adjust\"",
        "id=\"rollback\"",
        "id=\"pause\"",
    ] {
        assert!(page.contains(button), "{button}");
    }
    assert!(!operator.page("/devices/pixel-1").await.contains("id=\"revoke\""));
    assert_eq!(operator.post("/devices/pixel-1/revoke", &[]).await.status, 403);

    let admin = Person::logged_in(&server, Role::Admin).await;
    assert!(admin.page("/devices/pixel-1").await.contains("id=\"revoke\""));
    let revoked = admin.post("/devices/pixel-1/revoke", &[]).await;
    assert_eq!(
        (revoked.status, revoked.header("location")),
        (303, "/devices/pixel-1?done=revoked")
    );
}

#[tokio::test]
async fn an_upload_needs_its_token_before_its_file() {
    let server = TestServer::start(Engine::Sqlite).await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let apk = apks::build(PACKAGE, 1);
    let file = || Part::bytes(apk.clone()).file_name("app.apk");
    let upload = |form: Form| Answer::to(operator.request(Method::POST, "/builds/upload").multipart(form));

    let late = Form::new()
        .part("file", file())
        .text("csrf", operator.csrf.clone());
    assert_eq!(upload(late).await.status, 403);
    let wrong = Form::new().text("csrf", "0").part("file", file());
    assert_eq!(upload(wrong).await.status, 403);
    let none = Form::new().text("csrf", operator.csrf.clone());
    let none = upload(none).await;
    assert!(none.status == 400 && text(&none).contains("choose an APK file first"));
    let broken = Form::new()
        .text("csrf", operator.csrf.clone())
        .part("file", Part::bytes(b"no apk".to_vec()).file_name("x.apk"));
    let broken = upload(broken).await;
    assert!(
        broken.status == 422 && text(&broken).contains("id=\"error\""),
        "{}",
        text(&broken)
    );

    let good = Form::new()
        .text("csrf", operator.csrf.clone())
        .part("file", file())
        .text("notes", "First.");
    let good = upload(good).await;
    assert_eq!(
        (good.status, good.header("location")),
        (303, "/builds/1?done=uploaded"),
        "{}",
        text(&good)
    );
    assert!(
        operator
            .page("/builds/1?done=uploaded")
            .await
            .contains("id=\"done\"")
    );

    let by_script = |file: Part| {
        let request = operator
            .request(Method::POST, "/builds/upload")
            .header("x-csrf-token", &operator.csrf)
            .header("accept", "application/json");
        Answer::to(request.multipart(Form::new().part("file", file)))
    };
    let again = by_script(file()).await;
    assert_eq!(again.status, 200, "the same file again");
    assert_eq!(again.json()["next"], "/builds/1?done=uploaded");
    let other = apks::large(PACKAGE, 1, 500);
    let other = by_script(Part::bytes(other).file_name("app.apk")).await;
    assert_eq!(
        (other.status, &other.json()["code"]),
        (409, &"version_exists".into())
    );
}

#[tokio::test]
async fn a_retry_names_its_build() {
    let server = with_a_release().await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ci = server.person("ci", Role::Operator);
    let phone = server.device("pixel-4").await;
    assert!(
        phone.poll(0).await.build().is_some(),
        "cohorts below 50 are offered it"
    );
    let conflict = serde_json::json!({ "build_id": 1, "status": "install_failed", "android_status": 5 });
    phone.report_as(&conflict).await.ok();
    assert_eq!(phone.poll(0).await.why_not(), "rejected_by_device");

    let path = "/devices/pixel-4/retry";
    assert!(operator.page("/devices/pixel-4").await.contains("id=\"retry-1\""));
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    assert!(!viewer.page("/devices/pixel-4").await.contains("id=\"retry-1\""));
    assert_eq!(viewer.get(&format!("{path}?build_id=1")).await.status, 403);
    for fields in [&[][..], &[("build_id", "all")]] {
        let refused = operator.post(path, fields).await;
        assert_eq!(refused.status, 400, "{fields:?}");
        assert!(text(&refused).contains("build_id"), "{fields:?}");
    }
    let nobody = operator.post("/devices/nobody/retry", &[("build_id", "1")]).await;
    assert_eq!(nobody.status, 404);
    assert_eq!(operator.get(&format!("{path}?build_id=999")).await.status, 404);
    assert_eq!(phone.poll(0).await.why_not(), "rejected_by_device");
    assert_eq!(ci.audit("?action=device.retry").await.len(), 0);

    let sheet = operator.page(&format!("{path}?build_id=1")).await;
    assert!(sheet.contains("Let pixel-4 try"), "{sheet}");
    let done = operator.post(path, &[("build_id", "1")]).await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, "/devices/pixel-4?done=retried")
    );
    assert_eq!(phone.poll(0).await.build(), Some(1));
    assert_eq!(ci.audit("?action=device.retry").await.len(), 1);
}

#[tokio::test]
async fn everything_is_stopped_and_every_page_says_so_until_it_is_lifted() {
    let server = with_a_release().await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let ci = server.person("ci", Role::Operator);
    let phone = server.device("pixel-4").await;
    assert_eq!(phone.poll(0).await.build(), Some(1));
    assert!(operator.page("/").await.contains("id=\"stop-everything\""));
    assert!(!viewer.page("/").await.contains("id=\"stop-everything\""));
    assert_eq!(viewer.get("/hold").await.status, 403);
    assert!(
        operator
            .page("/hold")
            .await
            .contains(&format!("<option value=\"{PACKAGE}\""))
    );

    let silent = operator
        .post("/hold", &[("package_name", ""), ("remark", " ")])
        .await;
    assert_eq!(silent.status, 400);
    assert!(text(&silent).contains("remark must say why"), "{}", text(&silent));
    let elsewhere = [("package_name", "com.example.other"), ("remark", "x")];
    assert_eq!(operator.post("/hold", &elsewhere).await.status, 404);
    assert_eq!(phone.poll(0).await.build(), Some(1));

    let why = [("package_name", ""), ("remark", "tills <lose> receipts")];
    let held = operator.post("/hold", &why).await;
    assert_eq!((held.status, held.header("location")), (303, "/?done=held"));
    assert_eq!(
        phone.poll_as(PACKAGE, 0, "&protocol=2").await.why_not(),
        "held_by_policy"
    );
    for path in [
        "/",
        "/builds",
        "/builds/1",
        "/devices",
        "/devices/pixel-4",
        "/nudges",
        "/audit",
    ] {
        let page = viewer.page(path).await;
        assert!(page.contains("All updates are stopped"), "{path}");
        assert!(page.contains("tills &#60;lose&#62; receipts"), "{path}");
        assert!(!page.contains("/hold/lift"), "a viewer lifts nothing: {path}");
        assert!(
            operator.page(path).await.contains("href=\"/hold/lift\""),
            "{path}"
        );
    }
    assert!(
        operator
            .page("/hold/lift")
            .await
            .contains("Lift the hold on all packages")
    );
    assert_eq!(viewer.get("/hold/lift").await.status, 403);

    let lifted = operator.post("/hold/lift", &[("package_name", "")]).await;
    assert_eq!((lifted.status, lifted.header("location")), (303, "/?done=lifted"));
    assert!(!viewer.page("/").await.contains("All updates are stopped"));
    assert_eq!(phone.poll(0).await.build(), Some(1));
    for action in ["hold.set", "hold.lift"] {
        assert_eq!(ci.audit(&format!("?action={action}")).await.len(), 1);
    }
}
