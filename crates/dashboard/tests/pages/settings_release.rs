//! How packages are released, by what the settings say: packages, tags, policies, calendars, and the server itself.

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::fcm::{self, StandIn};
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{PASSWORD, Person, between, text};

async fn with_a_package() -> (TestServer, Person) {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    ci.uploaded(&apks::build(PACKAGE, 1)).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    (server, admin)
}

fn refused(answer: &Answer, status: u16, fault: &str) {
    assert_eq!(answer.status, status, "{fault}: {}", text(answer));
    let page = text(answer);
    let said = between(&page, "id=\"error\"", "</p>");
    assert!(said.contains(fault), "{fault}: {said}");
}

fn changed(answer: &Answer, location: &str) {
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, location),
        "{}",
        text(answer)
    );
}

async fn package(server: &TestServer) -> Value {
    let packages = server.operator(Role::Viewer).get("/v1/packages").await.ok();
    packages["items"][0].clone()
}

#[tokio::test]
async fn a_packages_signer_approval_and_templates_are_changed() {
    let (server, admin) = with_a_package().await;
    let before = package(&server).await;
    let path = |verb: &str| format!("/settings/packages/{PACKAGE}/{verb}");
    let post = async |verb: &str, fields: &[(&str, &str)]| admin.post(&path(verb), fields).await;
    let gate = |mode: &'static str, failed: &'static str| {
        [
            ("mode", mode),
            ("failed_percent", failed),
            ("corrupt_percent", "0.5"),
            ("holdback", "yes"),
            ("on_halt", "roll_back"),
        ]
    };
    refused(&post("pin", &[("signer", "ab")]).await, 400, "signer");
    refused(
        &post("debuggable", &[("debuggable", "maybe")]).await,
        400,
        "must be yes or no",
    );
    refused(
        &post("approval", &[("approval", "above 101 %")]).await,
        400,
        "approval must be",
    );
    refused(
        &post("plan", &[("plan", "{\"steps\": [\n{\"percent\": 1,}]}")]).await,
        400,
        "line 2 column 15",
    );
    refused(&post("plan", &[("plan", "{\"steps\": []}")]).await, 400, "plan");
    refused(&post("gate", &gate("act", "51")).await, 400, "failed_percent");
    refused(&post("gate", &gate("guess", "2")).await, 400, "mode");
    assert_eq!(package(&server).await, before);
    for verb in ["pin", "unpin", "debuggable", "approval", "plan", "gate"] {
        let sheet = admin.page(&path(verb)).await;
        assert!(sheet.contains(&format!("{PACKAGE}</h1>")), "{verb}");
    }
    assert_eq!(admin.get(&path("erase")).await.status, 404);
    assert_eq!(
        admin.get("/settings/packages/com.example.none/pin").await.status,
        404
    );

    let done = "/settings/packages?done=package_changed";
    let plan = "{\"steps\": [{\"percent\": 5, \"bake\": \"1h\"}, {\"percent\": 100}]}";
    changed(&post("plan", &[("plan", plan)]).await, done);
    changed(&post("gate", &gate("act", "1.5")).await, done);
    changed(&post("debuggable", &[("debuggable", "yes")]).await, done);
    let page = admin.page("/settings/packages").await;
    assert!(page.contains("halts and rolls back above 1.5 % failed"), "{page}");
    assert!(page.contains(">taken in<"), "{page}");
    let now = package(&server).await;
    assert_eq!(now["gate"]["failed_percent"], 1.5);
    assert_eq!(now["gate"]["holdback"], true);
    assert_eq!(now["gate"]["lost"], false, "a box that is not ticked says no");
    assert_eq!(now["plan"]["steps"][0]["percent"], 5.0);
    // The sheet holds what it is now, and an empty text takes it away.
    assert!(
        admin
            .page(&path("plan"))
            .await
            .contains("&#34;bake&#34;: &#34;1h&#34;")
    );
    changed(&post("plan", &[("plan", "")]).await, done);
    changed(&post("gate", &[("mode", "none")]).await, done);
    let now = package(&server).await;
    assert_eq!((&now["plan"], &now["gate"]), (&before["plan"], &Value::Null));

    let signer = "ab".repeat(32);
    changed(&post("pin", &[("signer", &signer)]).await, done);
    assert!(admin.page("/settings/packages").await.contains("AB:AB:AB"));
    changed(&post("unpin", &[]).await, done);
    assert!(admin.page("/settings/packages").await.contains("not pinned"));
}

#[tokio::test]
async fn lowering_approval_takes_two_admins() {
    let (server, admin) = with_a_package().await;
    server.add_user("ada", Role::Admin, PASSWORD).await;
    let ada = Person::log_in(&server, "ada").await;
    let path = format!("/settings/packages/{PACKAGE}/approval");
    let shown = async || {
        let page = admin.page("/settings/packages").await;
        between(&page, "<span data-approval>", "<").to_owned()
    };
    let (done, asked) = (
        "/settings/packages?done=package_changed",
        "/settings/packages?done=approval_asked",
    );
    changed(&admin.post(&path, &[("approval", "always")]).await, done);
    changed(&admin.post(&path, &[("approval", "never")]).await, asked);
    assert_eq!(shown().await, "always");
    assert!(
        admin
            .page("/settings/packages")
            .await
            .contains("admin asked for “never”")
    );
    changed(&ada.post(&path, &[("approval", "never")]).await, done);
    assert_eq!(shown().await, "never");
    changed(&admin.post(&path, &[("approval", "above 5 %")]).await, done);
    let alone = [("approval", "never"), ("break_glass", "yes")];
    changed(&admin.post(&path, &alone).await, done);
    assert_eq!(shown().await, "never");
}

#[tokio::test]
async fn tags_are_renamed_and_deleted_and_policies_added_and_lifted() {
    let (server, admin) = with_a_package().await;
    server.device("till-1").await;
    let operator = server.operator(Role::Operator);
    let add = json!({ "add": ["till-1"] });
    operator.post("/v1/tags/lab/devices", &add).await.ok();
    operator.post("/v1/tags/shop/devices", &add).await.ok();

    refused(
        &admin.post("/settings/tags/lab/rename", &[("to", "shop")]).await,
        409,
        "shop",
    );
    refused(
        &admin.post("/settings/tags/lab/rename", &[("to", "a/b c")]).await,
        400,
        "tag",
    );
    assert_eq!(admin.get("/settings/tags/lab/paint").await.status, 404);
    assert_eq!(admin.post("/settings/tags/none/delete", &[]).await.status, 404);
    changed(
        &admin.post("/settings/tags/lab/rename", &[("to", "bench")]).await,
        "/settings/tags?done=tag_renamed",
    );
    let page = admin.page("/settings/tags").await;
    assert!(!page.contains("data-tag=\"lab\""), "{page}");
    assert!(
        between(&page, "data-tag=\"bench\"", "</tr>").contains(">1<"),
        "{page}"
    );

    let policy = |subject: &'static str,
                  who: &'static str,
                  version: &'static str,
                  until: &'static str,
                  remark: &'static str| {
        [
            ("subject", subject),
            ("who", who),
            ("package_name", PACKAGE),
            ("max_version", version),
            ("hold_until", until),
            ("remark", remark),
        ]
    };
    for (fields, status, fault) in [
        (policy("somebody", "", "4", "", "why"), 400, "subject must be"),
        (
            policy("everybody", "lab", "4", "", "why"),
            400,
            "who must be empty",
        ),
        (policy("tag", "", "4", "", "why"), 400, "tag"),
        (policy("tag", "bench", "", "", "why"), 400, "max_version"),
        (
            policy("tag", "bench", "four", "", "why"),
            400,
            "max_version must be a whole number",
        ),
        (
            policy("tag", "bench", "4", "soon", "why"),
            400,
            "hold_until must be such as",
        ),
        (
            policy("tag", "bench", "4", "2001-01-01 00:00", "why"),
            400,
            "hold_until",
        ),
        (policy("tag", "bench", "4", "", ""), 400, "remark"),
    ] {
        refused(
            &admin.post("/settings/policies/add", &fields).await,
            status,
            fault,
        );
    }
    let nobody = policy("device", "till-9", "4", "", "why");
    assert_eq!(admin.post("/settings/policies/add", &nobody).await.status, 404);
    assert!(
        admin
            .page("/settings/policies")
            .await
            .contains("No policy stands")
    );
    let good = policy("tag", "bench", "4", "2099-01-04T06:00", "tests go on");
    changed(
        &admin.post("/settings/policies/add", &good).await,
        "/settings/policies?done=policy_added",
    );
    let page = admin.page("/settings/policies").await;
    for said in [
        "tag bench",
        "nothing above version code 4",
        "no update until 2099-01-04 06:00 UTC",
        "tests go on",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    refused(
        &admin.post("/settings/tags/bench/delete", &[]).await,
        409,
        "polic",
    );
    let id = between(&page, "data-policy=\"", "\"").to_owned();
    assert!(
        admin
            .page(&format!("/settings/policies/{id}/lift"))
            .await
            .contains("tests go on")
    );
    changed(
        &admin.post(&format!("/settings/policies/{id}/lift"), &[]).await,
        "/settings/policies?done=policy_lifted",
    );
    changed(
        &admin.post("/settings/tags/bench/delete", &[]).await,
        "/settings/tags?done=tag_deleted",
    );
    assert!(!admin.page("/settings/tags").await.contains("bench"));
}

#[tokio::test]
async fn a_calendar_is_written_as_json_and_its_faults_are_found() {
    let (server, admin) = with_a_package().await;
    let calendar = |zone: &'static str, fallback: &'static str, windows: &'static str| {
        [
            ("name", "nights"),
            ("zone", zone),
            ("fallback_zone", fallback),
            ("windows", windows),
            (
                "freezes",
                "[{\"from\": \"12-20\", \"to\": \"01-03\", \"yearly\": true}]",
            ),
        ]
    };
    let nights = "[{\"days\": [\"mon\", \"fri\"], \"start\": \"22:00\", \"end\": \"04:00\"}]";
    for (fields, fault) in [
        (
            calendar("device", "UTC", "[\n  {\"days\" [\"mon\"]}]"),
            "line 2 column 11",
        ),
        (
            calendar(
                "device",
                "UTC",
                "[{\"days\": [\"moon\"], \"start\": \"22:00\", \"end\": \"04:00\"}]",
            ),
            "moon",
        ),
        (calendar("Europe/Berlin", "UTC", nights), "fallback_zone"),
        (calendar("Mars/Base", "", nights), "zone"),
        (calendar("device", "nowhere at all", nights), "fallback_zone"),
    ] {
        refused(&admin.post("/settings/calendars/add", &fields).await, 400, fault);
    }
    assert!(
        admin
            .page("/settings/calendars")
            .await
            .contains("There is no calendar yet")
    );
    changed(
        &admin
            .post("/settings/calendars/add", &calendar("device", "", nights))
            .await,
        "/settings/calendars?done=calendar_added",
    );
    let page = admin.page("/settings/calendars").await;
    assert!(
        page.contains("mon, fri 22:00–04:00") && page.contains("12-20 to 01-03, every year"),
        "{page}"
    );
    let operator = server.operator(Role::Viewer);
    let made = operator.get("/v1/calendars/nights").await.ok();
    assert_eq!(
        (&made["zone"], &made["fallback_zone"]),
        (&json!("device"), &json!("UTC"))
    );

    let sheet = admin.page("/settings/calendars/nights/change").await;
    let revision = between(&sheet, "name=\"revision\" value=\"", "\"").to_owned();
    let mut fields = calendar("Europe/Berlin", "", "[]").to_vec();
    fields.push(("revision", &revision));
    changed(
        &admin.post("/settings/calendars/nights/change", &fields).await,
        "/settings/calendars?done=calendar_changed",
    );
    // Somebody else was faster.
    fields[1].1 = "Europe/Paris";
    assert_eq!(
        admin
            .post("/settings/calendars/nights/change", &fields)
            .await
            .status,
        409
    );
    assert!(admin.page("/settings/calendars").await.contains("Europe/Berlin"));
    changed(
        &admin.post("/settings/calendars/nights/delete", &[]).await,
        "/settings/calendars?done=calendar_deleted",
    );
    assert_eq!(admin.get("/settings/calendars/nights/change").await.status, 404);
}

#[tokio::test]
async fn the_servers_page_tells_how_it_is_and_no_secret() {
    let push = StandIn::start().await.unwrap();
    let server = TestServer::start_with(Engine::Sqlite, |config| fcm::send_to(&push, config)).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let device = server.device("till-1").await;
    device.set_fcm_token("at-till-1").await.ok();
    let mut page = String::new();
    for _ in 0..100 {
        page = admin.page("/settings/server").await;
        if page.contains(">running<") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(
        page.contains(">running<") && page.contains(env!("CARGO_PKG_VERSION")),
        "{page}"
    );
    assert!(
        page.contains(">ready<") && page.contains(">configured<"),
        "{page}"
    );
    told_names_what_there_is(between(&page, "id=\"told\"", "</p>"));
    let settings = between(&page, "id=\"in-force\"", "</pre>");
    assert!(
        settings.contains("poll_interval") && settings.contains("(hidden)"),
        "{settings}"
    );

    let sheet = admin.page("/settings/server/test").await;
    let once = between(&sheet, "name=\"once\" value=\"", "\"").to_owned();
    let none = [("device_id", "till-9"), ("once", once.as_str())];
    assert_eq!(admin.post("/settings/server/test", &none).await.status, 404);
    let test = [("device_id", "till-1"), ("once", once.as_str())];
    for _ in 0..2 {
        changed(
            &admin.post("/settings/server/test", &test).await,
            "/nudges/1?done=test_sent",
        );
    }
    let viewer = server.operator(Role::Viewer);
    let campaigns = viewer.get("/v1/nudges").await.ok();
    assert_eq!(campaigns["items"].as_array().unwrap().len(), 1);

    let plain = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&plain, Role::Admin).await;
    let page = admin.page("/settings/server").await;
    assert!(
        page.contains(">not configured<") && !page.contains("/settings/server/test"),
        "{page}"
    );
    plain.device("till-1").await;
    refused(
        &admin.post("/settings/server/test", &test).await,
        409,
        "cannot nudge",
    );
}

/// The first build of a package may be a debuggable one, when an admin said so before.
#[tokio::test]
async fn a_package_is_added_before_its_first_build() {
    let server = TestServer::start(Engine::Sqlite).await;
    let admin = Person::logged_in(&server, Role::Admin).await;
    let add = async |name: &str, debuggable: &str| {
        let fields = [("package_name", name), ("debuggable", debuggable)];
        admin.post("/settings/packages/add", &fields).await
    };
    for (name, debuggable) in [("example", "yes"), (PACKAGE, "perhaps")] {
        assert_eq!(add(name, debuggable).await.status, 400, "{name}, {debuggable}");
    }
    assert!(
        admin
            .page("/settings/packages")
            .await
            .contains("There is no package yet")
    );
    changed(
        &add(PACKAGE, "yes").await,
        "/settings/packages?done=package_added",
    );
    assert_eq!(package(&server).await["allow_debuggable"], true);
    let again = add(PACKAGE, "no").await;
    assert_eq!(again.status, 400);
    assert!(text(&again).contains("is there already"), "{}", text(&again));
    assert_eq!(
        package(&server).await["allow_debuggable"],
        true,
        "it keeps what it has"
    );
}

/// What the page says of events stands in the guide and in the rules of alerts.
fn told_names_what_there_is(told: &str) {
    let guide = include_str!("../../../../docs/operations.md");
    let words = told.split("<code>").skip(1);
    let named: Vec<&str> = words.map(|rest| rest.split_once("</code>").unwrap().0).collect();
    let events: Vec<&&str> = named.iter().filter(|word| word.starts_with("ota.")).collect();
    assert_eq!(events.len(), 3, "{named:?}");
    for event in events {
        assert!(guide.contains(&format!("\n| `{event}` |")), "{event}");
    }
    assert!(guide.contains("| `metrics` | `true` |") && guide.contains("`/metrics` is written"));
    let alerts = include_str!("../../../../deploy/prometheus/alerts.yml");
    for alert in [
        "TidegateGateHalted",
        "TidegateApprovalWaits",
        "TidegateInstallFailures",
    ] {
        assert!(alerts.contains(&format!("alert: {alert}\n")), "{alert}");
    }
}
