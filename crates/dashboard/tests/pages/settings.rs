//! What admins set: people, service accounts, what devices enrol with.

use reqwest::Method;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{PASSWORD, Person, between, log_in, text};

const OTHER_PASSWORD: &str = "battery horse correct";

/// The pages that only admins have.
const PAGES: &[&str] = &[
    "/settings/people",
    "/settings/people/add",
    "/settings/people/viewer/role",
    "/settings/people/viewer/remove",
    "/settings/service-accounts",
    "/settings/service-accounts/add",
    "/settings/service-accounts/ci/token",
    "/settings/service-accounts/ci/remove",
    "/settings/tokens/none/revoke",
    "/settings/enrolment",
    "/settings/enrolment/add",
    "/settings/enrolment/1/revoke",
    "/settings/packages",
    "/settings/packages/add",
    "/settings/packages/com.example.app/gate",
    "/settings/tags",
    "/settings/tags/lab/rename",
    "/settings/policies",
    "/settings/policies/add",
    "/settings/calendars",
    "/settings/calendars/add",
    "/settings/calendars/nights/delete",
    "/settings/server",
    "/settings/server/test",
];

/// What changes something.
const CHANGES: &[&str] = &[
    "/settings/people/add",
    "/settings/people/viewer/role",
    "/settings/people/viewer/password",
    "/settings/people/viewer/disable",
    "/settings/people/viewer/enable",
    "/settings/people/viewer/remove",
    "/settings/service-accounts/add",
    "/settings/service-accounts/ci/token",
    "/settings/service-accounts/ci/remove",
    "/settings/tokens/none/revoke",
    "/settings/enrolment/add",
    "/settings/enrolment/1/revoke",
    "/settings/packages/add",
    "/settings/packages/com.example.app/pin",
    "/settings/packages/com.example.app/unpin",
    "/settings/packages/com.example.app/debuggable",
    "/settings/packages/com.example.app/approval",
    "/settings/packages/com.example.app/plan",
    "/settings/packages/com.example.app/gate",
    "/settings/tags/lab/rename",
    "/settings/tags/lab/delete",
    "/settings/policies/add",
    "/settings/policies/1/lift",
    "/settings/calendars/add",
    "/settings/calendars/nights/change",
    "/settings/calendars/nights/delete",
    "/settings/server/test",
];

#[tokio::test]
async fn the_settings_are_the_admins_alone() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let before = server.person("reader", Role::Admin).audit("").await.len();
    for role in [Role::Viewer, Role::Operator] {
        let person = Person::logged_in(&server, role).await;
        assert!(!person.page("/").await.contains("href=\"/settings\""), "{role}");
        for path in PAGES.iter().chain(&["/settings"]) {
            assert_eq!(person.get(path).await.status, 403, "{role} {path}");
        }
        for path in CHANGES {
            let answer = person
                .post(path, &[("role", "admin"), ("password", OTHER_PASSWORD)])
                .await;
            assert_eq!(answer.status, 403, "{role} {path}: {}", text(&answer));
        }
    }
    for path in CHANGES {
        for token in ["", "0", &admin.csrf[1..]] {
            let answer = Answer::to(admin.request(Method::POST, path).form(&[("csrf", token)])).await;
            assert_eq!(answer.status, 403, "{path} with the token {token:?}");
        }
        let foreign = admin
            .request(Method::POST, path)
            .header("sec-fetch-site", "cross-site");
        let answer = Answer::to(foreign.form(&[("csrf", &admin.csrf)])).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    // Two people were added and logged in since; nothing else happened.
    let after = server.person("reader", Role::Admin).audit("").await;
    assert_eq!(after.len(), before + 4, "{after:?}");

    let first = admin.get("/settings").await;
    assert_eq!(
        (first.status, first.header("location")),
        (303, "/settings/people")
    );
    assert!(admin.page("/").await.contains("href=\"/settings\""));
    for path in PAGES {
        let answer = admin.get(path).await;
        // There is no package yet.
        let expected = if path.contains("com.example.app") {
            404
        } else {
            200
        };
        assert_eq!(answer.status, expected, "{path}: {}", text(&answer));
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn somebody_comes_changes_and_leaves() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let list = async || admin.page("/settings/people").await;
    let row = |page: &str| between(page, "<tr data-person=\"olga\">", "</tr>").to_owned();

    for (fields, fault) in [
        (
            [("name", "olga"), ("role", "boss"), ("password", PASSWORD)],
            "role",
        ),
        (
            [("name", "o/lga"), ("role", "viewer"), ("password", PASSWORD)],
            "letters, digits",
        ),
        (
            [("name", "olga"), ("role", "viewer"), ("password", "short")],
            "role=\"alert\">password must have 8 to",
        ),
    ] {
        let refused = admin.post("/settings/people/add", &fields).await;
        assert_eq!(refused.status, 400, "{fault}");
        let page = text(&refused);
        let said = between(&page, "id=\"error\"", "</p>");
        assert!(said.contains(fault), "{said}");
        assert!(
            page.contains(&format!("value=\"{}\"", fields[0].1)),
            "what was typed stays"
        );
        assert!(
            !page.contains(PASSWORD) && !page.contains("short"),
            "but no password"
        );
    }
    assert!(!list().await.contains("olga"));

    let new = [("name", "olga"), ("role", "viewer"), ("password", PASSWORD)];
    let added = admin.post("/settings/people/add", &new).await;
    assert_eq!(
        (added.status, added.header("location")),
        (303, "/settings/people?done=person_added")
    );
    assert_eq!(admin.post("/settings/people/add", &new).await.status, 409);
    assert!(row(&list().await).contains(">never<"));
    let olga = Person::log_in(&server, "olga").await;
    assert!(!row(&list().await).contains(">never<"));

    let change = async |verb: &str, fields: &[(&str, &str)]| {
        let sheet = admin.page(&format!("/settings/people/olga/{verb}")).await;
        assert!(sheet.contains(" olga</h1>"), "{sheet}");
        let answer = admin.post(&format!("/settings/people/olga/{verb}"), fields).await;
        assert_eq!(answer.status, 303, "{verb}: {}", text(&answer));
    };
    change("role", &[("role", "operator")]).await;
    assert!(row(&list().await).contains("operator"));
    assert_eq!(olga.get("/session").await.status, 401, "she is logged out");
    assert_eq!(
        Person::log_in(&server, "olga")
            .await
            .get("/nudges/new")
            .await
            .status,
        200
    );
    change("disable", &[]).await;
    assert!(row(&list().await).contains("disabled"));
    assert_eq!(log_in(&server, "olga", PASSWORD, "/").await.status, 401);
    change("enable", &[]).await;
    assert_eq!(log_in(&server, "olga", PASSWORD, "/").await.status, 303);
    change("password", &[("password", OTHER_PASSWORD)]).await;
    assert_eq!(log_in(&server, "olga", PASSWORD, "/").await.status, 401);
    assert_eq!(log_in(&server, "olga", OTHER_PASSWORD, "/").await.status, 303);
    change("remove", &[]).await;
    assert!(!list().await.contains("olga"));
    assert_eq!(admin.get("/settings/people/olga/promote").await.status, 404);
    assert_eq!(admin.post("/settings/people/olga/remove", &[]).await.status, 404);

    // Somebody must be left who can do all this.
    for (verb, fields) in [
        ("disable", vec![]),
        ("remove", vec![]),
        ("role", vec![("role", "viewer")]),
    ] {
        let refused = admin
            .post(&format!("/settings/people/admin/{verb}"), &fields)
            .await;
        assert_eq!(refused.status, 409, "{verb}");
        assert!(text(&refused).contains("id=\"error\""));
    }
    assert_eq!(admin.get("/session").await.status, 204);
}

#[tokio::test]
async fn everybody_may_change_their_own_password_who_knows_the_old_one() {
    let server = TestServer::start(Engine::Sqlite).await;
    let olga = Person::logged_in(&server, Role::Viewer).await;
    let elsewhere = Person::log_in(&server, "viewer").await;
    let change = async |old: &str, new: &str, again: &str| {
        let fields = [("old_password", old), ("new_password", new), ("again", again)];
        olga.post("/settings/password", &fields).await
    };
    assert!(olga.page("/").await.contains("href=\"/settings/password\""));
    assert_eq!(olga.get("/settings/password").await.status, 200);
    for (old, new, again, fault) in [
        (
            "guess guess guess",
            OTHER_PASSWORD,
            OTHER_PASSWORD,
            "old_password is wrong",
        ),
        (PASSWORD, OTHER_PASSWORD, "another", "the two differ"),
        (
            PASSWORD,
            "short",
            "short",
            "role=\"alert\">password must have 8 to",
        ),
    ] {
        let refused = change(old, new, again).await;
        assert_eq!(
            (refused.status, refused.header("set-cookie")),
            (400, ""),
            "{fault}"
        );
        assert!(text(&refused).contains(fault), "{}", text(&refused));
    }
    assert_eq!(elsewhere.get("/session").await.status, 204);

    let changed = change(PASSWORD, OTHER_PASSWORD, OTHER_PASSWORD).await;
    assert_eq!(changed.status, 303, "{}", text(&changed));
    assert_eq!(
        elsewhere.get("/session").await.status,
        401,
        "the other browser is logged out"
    );
    let olga = Person::with_cookie(&server, &changed).await;
    assert_eq!(olga.get("/session").await.status, 204, "and this one is not");
    assert_eq!(log_in(&server, "viewer", PASSWORD, "/").await.status, 401);
    assert_eq!(log_in(&server, "viewer", OTHER_PASSWORD, "/").await.status, 303);

    // Nobody guesses the old password here who may not guess it at the login.
    let guess = [
        ("old_password", "guess"),
        ("new_password", PASSWORD),
        ("again", PASSWORD),
    ];
    let mut last = 0;
    for _ in 0..=tidegate_service::MAX_FAILURES_PER_NAME {
        last = olga.post("/settings/password", &guess).await.status;
    }
    assert_eq!(last, 429);
}
