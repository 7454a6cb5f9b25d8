//! What the last polls were told: counted, listed and shown in the same words, in parts that add up to the fleet.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_domain::{Role, cohort};
use tidegate_service::Told;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    in_each_state_the_parts_add_up_to_the_fleet,
    a_device_that_starts_anew_has_been_told_nothing,
    the_list_asks_about_the_only_package_and_refuses_what_nobody_is_told,
);

/// A package whose builds nobody releases.
const UNRELEASED: &str = "com.example.unreleased";

/// A server with a fleet, and who looks at it.
struct Counted {
    server: TestServer,
    olga: Operator,
    devices: usize,
    /// How many were told what, in the words of the server.
    expected: BTreeMap<String, u64>,
}

impl Counted {
    /// A device that ran this version of the package when it enrolled, and has not polled.
    async fn device(&mut self, id: &str, package: &str, version: i64) -> Agent {
        let token = self.server.operator(Role::Admin).enroll_token(1).await;
        let request = json!({
            "enrollment_token": token, "device_id": id, "package_name": package, "current_version_code": version,
        });
        self.devices += usize::from(package == PACKAGE);
        self.server.enroll_as(&request).await.unwrap()
    }

    /// One whose cohort is within these, by its name and a number.
    async fn device_of(&mut self, name: &str, cohorts: std::ops::Range<u8>) -> Agent {
        let mut names = (0..).map(|number| format!("{name}-{number}"));
        let id = names.find(|id| cohorts.contains(&cohort(id))).unwrap();
        self.device(&id, PACKAGE, 1).await
    }

    /// One more device was told this: metrics, lists and devices all say so, and the parts add up.
    async fn now_told(&mut self, device: &Agent, told: &str) {
        *self.expected.entry(told.to_owned()).or_default() += 1;
        self.agree().await;
        let list = self.list(PACKAGE, told).await;
        assert!(list.contains(&device.id), "{told}: {list:?}");
        let shown = self.olga.device(&device.id).await.ok()["standings"].clone();
        if told == "not_polled" {
            assert_eq!(shown, json!([]));
        } else {
            assert_eq!(shown, json!([{ "package_name": PACKAGE, "told": told }]));
        }
    }

    /// Another device was told this before, and is told something else now.
    fn no_longer(&mut self, told: &str) {
        *self.expected.get_mut(told).unwrap() -= 1;
    }

    async fn agree(&self) {
        let expected: BTreeMap<_, _> = (self.expected.iter())
            .filter(|(_, count)| **count > 0)
            .map(|(word, count)| (word.clone(), *count))
            .collect();
        let counted = eventually(
            || counts(&self.server, PACKAGE),
            |counted| {
                let some = counted.iter().filter(|(_, count)| **count > 0);
                some.eq(expected.iter())
            },
        )
        .await;
        assert_eq!(
            counted.len(),
            Told::ALL.len(),
            "every word is there, also for nobody"
        );
        let sum: u64 = counted.values().sum();
        assert_eq!(usize::try_from(sum).unwrap(), self.devices);
        let mut listed = Vec::new();
        for (word, count) in &counted {
            let of_word = self.list(PACKAGE, word).await;
            assert_eq!(of_word.len() as u64, *count, "{word}: {of_word:?}");
            listed.extend(of_word);
        }
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), self.devices, "every device is in one list");
    }

    async fn list(&self, package: &str, told: &str) -> Vec<String> {
        let query = format!("?package_name={package}&told={told}&page_size=100");
        ids(&self.olga.devices(&query).await.ok())
    }
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["device_id"].as_str().unwrap().to_owned())
        .collect()
}

/// How many devices of a package were told what, as metrics say.
async fn counts(server: &TestServer, package: &str) -> BTreeMap<String, u64> {
    let answer = server.operator(Role::Viewer).get("/metrics").await;
    let page = String::from_utf8(answer.body).unwrap();
    let series = format!("ota_devices{{package_name=\"{package}\",told=\"");
    let lines = page.lines().filter_map(|line| line.strip_prefix(series.as_str()));
    lines
        .map(|line| {
            let (word, count) = line.split_once("\"} ").unwrap();
            (word.to_owned(), count.parse().unwrap())
        })
        .collect()
}

async fn in_each_state_the_parts_add_up_to_the_fleet(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Admin);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga
        .uploaded(&apks::sign(apks::release(PACKAGE, 2).min_sdk(30)))
        .await;
    olga.uploaded(&apks::build(UNRELEASED, 1)).await;
    let mut fleet = Counted {
        server,
        olga,
        devices: 0,
        expected: BTreeMap::new(),
    };

    // One has only enrolled, and one has asked before anything was released.
    let silent = fleet.device("silent", PACKAGE, 1).await;
    fleet.now_told(&silent, "not_polled").await;
    let early = fleet.device("early", PACKAGE, 1).await;
    assert_eq!(early.poll(1).await.why_not(), "no_current_build");
    fleet.now_told(&early, "no_current_build").await;

    fleet.olga.promote(first, 100).await.ok();
    let current = fleet.device("current", PACKAGE, 1).await;
    assert_eq!(current.poll(1).await.why_not(), "already_current");
    fleet.now_told(&current, "already_current").await;
    let half = json!({ "rollout_percent": 50, "audience": { "regions": ["north"] } });
    fleet.olga.promote_as(second, &half).await.ok();

    // Offered, and then put off: its last poll was offered the build all the same.
    let offered = fleet.device_of("offered", 0..50).await;
    assert_eq!(
        offered.poll_as(PACKAGE, 1, "&region=north").await.build(),
        Some(second)
    );
    fleet.now_told(&offered, "offered").await;
    let deferred = fleet.device_of("deferred", 0..50).await;
    deferred.poll_as(PACKAGE, 1, "&region=north").await;
    let put_off = json!({ "build_id": second, "status": "deferred", "reason": "battery_low" });
    deferred.report_as(&put_off).await.ok();
    fleet.now_told(&deferred, "offered").await;

    let outside = fleet.device_of("outside", 50..100).await;
    let told = outside.poll_as(PACKAGE, 1, "&region=north").await;
    assert_eq!(told.why_not(), "not_in_cohort");
    fleet.now_told(&outside, "not_in_cohort").await;
    let southern = fleet.device_of("southern", 0..50).await;
    let told = southern.poll_as(PACKAGE, 1, "&region=south").await;
    assert_eq!(told.why_not(), "not_in_audience");
    fleet.now_told(&southern, "not_in_audience").await;
    let old_phone = fleet.device_of("old-phone", 0..50).await;
    let told = old_phone.poll_as(PACKAGE, 1, "&region=north&sdk=24").await;
    assert_eq!(told.why_not(), "incompatible_sdk");
    fleet.now_told(&old_phone, "incompatible_sdk").await;
    let ahead = fleet.device_of("ahead", 0..50).await;
    assert_eq!(
        ahead.poll_as(PACKAGE, 9, "&region=north").await.why_not(),
        "newer_installed"
    );
    fleet.now_told(&ahead, "newer_installed").await;
    // One that does not run the package counts as well.
    let empty = fleet.device_of("empty", 0..50).await;
    assert_eq!(
        empty.poll_as(PACKAGE, 0, "&region=north").await.build(),
        Some(second)
    );
    fleet.now_told(&empty, "offered").await;

    // Failed for good, and failed too often for now: the poll tells both the same.
    for (name, reports) in [("rejected", 1), ("cooling-down", 3)] {
        let device = fleet.device_of(name, 0..50).await;
        device.poll_as(PACKAGE, 1, "&region=north").await;
        for number in 0..reports {
            let mut failed = json!({
                "build_id": second, "status": "install_failed", "request_id": number.to_string(),
            });
            if name == "rejected" {
                failed["android_status"] = json!(5);
            }
            device.report_as(&failed).await.ok();
        }
        let told = device.poll_as(PACKAGE, 1, "&region=north").await;
        assert_eq!(told.why_not(), "rejected_by_device", "{name}");
        fleet.now_told(&device, "rejected_by_device").await;
    }

    fleet.olga.pause(second).await.ok();
    let waiting = fleet.device_of("waiting", 0..50).await;
    assert_eq!(
        waiting.poll_as(PACKAGE, 1, "&region=north").await.why_not(),
        "paused"
    );
    fleet.now_told(&waiting, "paused").await;
    fleet.olga.resume(second).await.ok();

    // A report is no poll: what the device was told stays, until it asks again.
    offered
        .report_as(&json!({ "build_id": second, "status": "install_success" }))
        .await
        .ok();
    fleet.agree().await;
    assert_eq!(
        offered.poll_as(PACKAGE, 2, "&region=north").await.why_not(),
        "already_current"
    );
    fleet.no_longer("offered");
    fleet.now_told(&offered, "already_current").await;

    // Another package's devices are its own.
    let other = fleet.device("other", UNRELEASED, 1).await;
    let told = other.poll_as(UNRELEASED, 1, "").await;
    assert_eq!(told.why_not(), "no_current_build");
    let theirs = |counted: &BTreeMap<String, u64>| counted.get("no_current_build") == Some(&1);
    eventually(|| counts(&fleet.server, UNRELEASED), theirs).await;
    fleet.agree().await;
    assert_eq!(fleet.list(UNRELEASED, "no_current_build").await, ["other"]);
}

async fn a_device_that_starts_anew_has_been_told_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Admin);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let phone = server.device("pixel-1").await;
    phone.poll(1).await;
    let offered = |counted: &BTreeMap<String, u64>| counted.get("offered") == Some(&1);
    eventually(|| counts(&server, PACKAGE), offered).await;

    olga.post("/v1/devices/pixel-1/allow-enrolment", &json!({}))
        .await
        .ok();
    let token = olga.enroll_token(1).await;
    server.enroll(&token, "pixel-1").await;
    let forgotten =
        |counted: &BTreeMap<String, u64>| counted["not_polled"] == 1 && counted.values().sum::<u64>() == 1;
    eventually(|| counts(&server, PACKAGE), forgotten).await;
    assert_eq!(olga.device("pixel-1").await.ok()["standings"], json!([]));
}

async fn the_list_asks_about_the_only_package_and_refuses_what_nobody_is_told(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let asked = olga.devices("?told=offered").await;
    asked.refused(409, "no_current_build");
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let there = |page: &Value| ids(page) == ["pixel-1"];
    let page = eventually(|| async { olga.devices("?told=offered").await.ok() }, there).await;
    assert_eq!(
        page["items"][0]["standings"],
        json!([{ "package_name": PACKAGE, "told": "offered" }])
    );
    assert_eq!(
        ids(&olga.devices("?told=offered&search=pixel").await.ok()),
        ["pixel-1"]
    );
    assert_eq!(
        ids(&olga.devices("?told=paused&search=pixel").await.ok()).len(),
        0
    );
    assert_eq!(
        ids(&olga
            .devices("?told=offered&package_name=com.example.unknown")
            .await
            .ok())
        .len(),
        0
    );
    olga.devices("?told=behind").await.invalid("told");
}
