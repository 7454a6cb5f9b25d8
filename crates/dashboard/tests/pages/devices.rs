//! The devices as a working list: finding them, taking them along, and doing the same to many.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::apks;
use tidegate_testkit::server::{Engine, TestServer};

use crate::person::{Person, between, text};

const PACKAGE: &str = "com.example.app";

/// Three tills and a kiosk: two models, one till that failed, one that never polled.
async fn fleet() -> TestServer {
    let server = TestServer::start(Engine::Sqlite).await;
    let ci = server.person("ci", Role::Operator);
    let build = ci.uploaded(&apks::build(PACKAGE, 7)).await;
    ci.promote(build, 100).await.ok();
    for (id, more) in [
        ("till-1", "&model=Tab%20A9&region=north&sdk=34"),
        ("till-2", "&model=Tab%20A9&region=south&sdk=33"),
        ("kiosk-1", "&model=%3Dcmd&region=north&sdk=30"),
    ] {
        let phone = server.device(id).await;
        phone.poll_as(PACKAGE, 6, more).await;
        if id == "till-1" {
            let failed =
                serde_json::json!({ "build_id": build, "status": "install_failed", "reason": "storage_low" });
            phone.report_as(&failed).await.ok();
        }
    }
    server.device("till-3").await;
    // Polls are written down every second.
    for _ in 0..100 {
        if ids(&list(&server, "seen_since=2020-01-01T00:00:00Z").await).len() == 3 {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the polls were not written down");
}

async fn list(server: &TestServer, query: &str) -> Value {
    server
        .operator(Role::Viewer)
        .get(&format!("/v1/devices?{query}"))
        .await
        .ok()
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    let mut ids: Vec<&str> = items
        .iter()
        .map(|item| item["device_id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// The devices that a page lists, in its order.
fn shown(page: &str) -> Vec<&str> {
    page.split("<tr data-device=\"")
        .skip(1)
        .map(|row| row.split('"').next().unwrap())
        .collect()
}

#[tokio::test]
async fn a_filter_stands_in_the_address_and_means_the_same_to_the_api() {
    let server = fleet().await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    for (query, expected, total) in [
        ("", vec!["kiosk-1", "till-1", "till-2", "till-3"], "4 devices"),
        ("search=ILL-", vec!["till-1", "till-2", "till-3"], "3 devices"),
        ("model=Tab+A9", vec!["till-1", "till-2"], "2 devices"),
        ("region=north&min_sdk=31", vec!["till-1"], "1 device"),
        ("max_sdk=33", vec!["kiosk-1", "till-2"], "2 devices"),
        (
            "min_version=6&max_version=6",
            vec!["kiosk-1", "till-1", "till-2"],
            "3 devices",
        ),
        ("reason=storage_low", vec!["till-1"], "1 device"),
        ("fate=failing", vec!["till-1"], "1 device"),
        ("fate=recovered", vec![], "0 devices"),
        ("can_be_nudged=true", vec![], "0 devices"),
        (
            "sort=id&descending=true&search=ill",
            vec!["till-3", "till-2", "till-1"],
            "3 devices",
        ),
    ] {
        let page = viewer.page(&format!("/devices?{query}")).await;
        let mut listed = shown(&page);
        if !query.contains("sort") {
            listed.sort_unstable();
        }
        assert_eq!(listed, expected, "{query}");
        assert!(page.contains(&format!("<b>{total}</b>")), "{query}: {page}");
        let answer = list(&server, query).await;
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        assert_eq!(ids(&answer), sorted, "{query}");
        assert_eq!(answer["total"].as_u64(), Some(expected.len() as u64), "{query}");
        assert_eq!(answer["total_is_exact"], true, "{query}");
    }
    // What is set can be taken away one by one, and stays in forms and links.
    let page = viewer
        .page("/devices?region=north&min_sdk=31&sort=last_seen")
        .await;
    assert!(
        page.contains("href=\"/devices?region=north&#38;sort=last_seen\">API level from: <b>31</b>"),
        "{page}"
    );
    assert!(page.contains("aria-sort=\"ascending\"><a href=\"/devices?min_sdk=31&#38;region=north&#38;sort=last_seen&#38;descending=true\">Last seen"), "{page}");
    let till = between(&page, "<tr data-device=\"till-1\">", "</tr>");
    assert!(till.contains("Not enough storage"), "{till}");
    assert!(till.contains("Installation failed"), "{till}");
    for wrong in [
        "min_sdk=x",
        "seen=yesterday",
        "min_version=3&max_version=2",
        "sort=size",
        "tag=%2F",
        "fate=x",
    ] {
        let refused = viewer.get(&format!("/devices?region=north&{wrong}")).await;
        let page = text(&refused);
        assert_eq!(refused.status, 400, "{wrong}: {page}");
        assert!(
            page.contains("role=\"alert\"") && page.contains("name=\"region\" value=\"north\""),
            "{page}"
        );
        assert!(
            !page.contains("data-device=") && !page.contains("No device is like that"),
            "{page}"
        );
    }
    for unknown in ["overdue=99", "build_id=99&fate=failing"] {
        let refused = viewer.get(&format!("/devices?{unknown}")).await;
        assert_eq!(refused.status, 404, "{unknown}");
        assert!(text(&refused).contains("id=\"device-filter\""), "{unknown}");
    }
}

#[tokio::test]
async fn the_whole_filter_comes_as_a_file_that_no_spreadsheet_runs() {
    let server = fleet().await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let file = viewer.get("/devices.csv?region=north&sort=id").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert!(file.header("content-disposition").starts_with("attachment"));
    let csv = text(&file);
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[0].starts_with("device_id,alias,"), "{csv}");
    assert!(
        lines[1].starts_with("kiosk-1,,,\"'=cmd\",,30,north,com.example.app 6"),
        "{csv}"
    );
    assert!(lines[2].contains("install_failed,storage_low"), "{csv}");
    let none = text(&viewer.get("/devices.csv?region=nowhere").await);
    assert_eq!(none.lines().count(), 1);
    assert_eq!(viewer.get("/devices.csv?sort=size").await.status, 400);
    let stranger = server
        .http()
        .get(server.admin_url("/devices.csv"))
        .send()
        .await
        .unwrap();
    assert!(!stranger.text().await.unwrap().contains("till-1"));
}

/// More devices than one part of the file holds.
#[tokio::test]
async fn a_long_file_holds_everybody_once() {
    let server = TestServer::start(Engine::Sqlite).await;
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    let lines: Vec<String> = (0..1_203)
        .map(|n| format!("{{\"device_id\": \"imported-{n:05}\"}}"))
        .collect();
    server.import_devices(&lines.join("\n")).await;
    let csv = text(&viewer.get("/devices.csv").await);
    let mut ids: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(ids.len(), 1_203);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_203);
}

#[tokio::test]
async fn the_same_is_done_to_many_after_the_number_was_confirmed() {
    let server = fleet().await;
    let operator = Person::logged_in(&server, Role::Operator).await;
    let ci = server.person("auditor", Role::Viewer);

    let sheet = operator
        .page("/bulk?verb=tag&device_id=till-1&device_id=till-2")
        .await;
    assert!(sheet.contains("Tag 2 devices"), "{sheet}");
    let tagged = operator
        .post(
            "/bulk",
            &[
                ("verb", "tag"),
                ("ticked", "till-1\ntill-2"),
                ("count", "2"),
                ("bulk_tag", "shop"),
            ],
        )
        .await;
    assert_eq!(
        (tagged.status, tagged.header("location")),
        (303, "/devices?done=bulk_tagged")
    );
    assert_eq!(ids(&list(&server, "tag=shop").await), ["till-1", "till-2"]);
    assert_eq!(shown(&operator.page("/devices?tag=shop").await).len(), 2);

    // The device's timeline tells who did it, and who undid it.
    let timeline = async || {
        let page = operator.page("/devices/till-1").await;
        between(&page, "id=\"timeline\"", "</section>").to_owned()
    };
    let told = timeline().await;
    assert!(
        told.contains("Tag shop given") && told.contains("by operator"),
        "{told}"
    );
    let olga = server.person("olga", Role::Operator);
    let lab = async |change: &str| {
        olga.post("/v1/tags/lab/devices", &json!({ change: ["till-1"] }))
            .await
    };
    lab("add").await.ok();
    lab("remove").await.ok();
    let told = timeline().await;
    assert!(
        told.contains("Tag lab taken") && told.contains("by olga"),
        "{told}"
    );
    assert!(
        !told.contains("Tag lab given"),
        "a tag's last change stands there: {told}"
    );

    // Who may not do it to one may not do it to many.
    let all = [("verb", "retire"), ("all", "1"), ("tag", "shop"), ("count", "2")];
    assert_eq!(operator.post("/bulk", &all).await.status, 403);
    assert_eq!(operator.get("/bulk?verb=retire&all=1").await.status, 403);
    assert!(!operator.page("/devices").await.contains("value=\"retire\""));
    let viewer = Person::logged_in(&server, Role::Viewer).await;
    assert_eq!(viewer.get("/bulk?verb=tag&all=1").await.status, 403);
    assert!(!viewer.page("/devices").await.contains("name=\"device_id\""));

    let admin = Person::logged_in(&server, Role::Admin).await;
    let sheet = admin.page("/bulk?verb=retire&all=1&tag=shop").await;
    assert!(
        sheet.contains("Retire 2 devices") && sheet.contains("name=\"tag\" value=\"shop\""),
        "{sheet}"
    );
    // The filter means others meanwhile: nothing is done.
    let moved = admin
        .post(
            "/bulk",
            &[("verb", "retire"), ("all", "1"), ("tag", "shop"), ("count", "3")],
        )
        .await;
    assert_eq!(moved.status, 409);
    assert!(
        text(&moved).contains("2 devices now, and 3 were confirmed"),
        "{}",
        text(&moved)
    );
    for wrong in [
        vec![("verb", "retire"), ("count", "0")],
        vec![("verb", "erase"), ("ticked", "till-1"), ("count", "1")],
        vec![
            ("verb", "retire"),
            ("all", "1"),
            ("tag", "nowhere"),
            ("count", "0"),
        ],
    ] {
        assert_eq!(admin.post("/bulk", &wrong).await.status, 400, "{wrong:?}");
    }
    assert_eq!(list(&server, "").await["total"], 4);

    let retired = admin.post("/bulk", &all).await;
    assert_eq!(
        (retired.status, retired.header("location")),
        (303, "/devices?tag=shop&done=bulk_retired")
    );
    assert_eq!(ids(&list(&server, "").await), ["kiosk-1", "till-3"]);
    assert_eq!(ids(&list(&server, "retired=true").await), ["till-1", "till-2"]);
    assert_eq!(
        ci.audit("?action=device.retire").await.len(),
        2,
        "each is on record"
    );
}
