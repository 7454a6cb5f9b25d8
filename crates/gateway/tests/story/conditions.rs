//! The fleet's overview adds up: after each thing that an operator does, metrics, REST, gRPC and lists have the same parts,
//! and each device is in one of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_proto::v1;
use tidegate_proto::v1::fleet_service_client::FleetServiceClient;
use tidegate_service::Condition;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::Request;

use crate::fleet;

on_both_engines!(
    a_roll_back_is_told_until_the_last_device_is_off,
    canaries_pauses_and_experiments_have_places_of_their_own,
    who_fails_or_falls_silent_is_counted_once,
    a_condition_is_asked_of_a_package_and_has_a_word_that_is_known,
);

/// A fleet of [`PACKAGE`], and who looks at it.
struct Overview {
    server: TestServer,
    olga: Operator,
    devices: Vec<Agent>,
}

impl Overview {
    /// So many devices on version 1, which everybody may have.
    async fn of(engine: Engine, devices: usize) -> Self {
        let server = TestServer::start(engine).await;
        let olga = server.person("olga", Role::Admin);
        let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
        olga.promote(first, 100).await.ok();
        let devices = fleet::enroll(&server, devices, 1).await;
        for device in &devices {
            assert_eq!(device.poll(1).await.why_not(), "already_current");
        }
        Self {
            server,
            olga,
            devices,
        }
    }

    async fn uploaded(&self, version: i64) -> i64 {
        self.olga.uploaded(&apks::build(PACKAGE, version)).await
    }

    /// Offers, installations and the polls that tell them.
    async fn install(&self, devices: &[usize], build: i64, from: i64, to: i64) {
        for device in devices {
            let device = &self.devices[*device];
            assert_eq!(device.poll(from).await.build(), Some(build));
            device.report(build, "install_success").await.ok();
            device.poll(to).await;
        }
    }

    /// All who tell of the parts say this, and nothing else.
    async fn is(&self, expected: &[(&str, u64)]) {
        let expected: BTreeMap<String, u64> = expected
            .iter()
            .map(|(word, devices)| ((*word).to_owned(), *devices))
            .collect();
        let counted = eventually(|| self.metric(), |counted| some(counted) == expected).await;
        assert_eq!(
            counted.len(),
            Condition::ALL.len(),
            "every word is there, also for nobody"
        );
        // The same count or a later one, as nothing happens meanwhile.
        assert_eq!(self.by_rest().await, counted);
        assert_eq!(self.by_grpc().await, counted);
        let mut everybody = Vec::new();
        for (word, devices) in &counted {
            let listed = self.list(word).await;
            assert_eq!(listed.len() as u64, *devices, "{word}: {listed:?}");
            everybody.extend(listed);
        }
        everybody.sort_unstable();
        everybody.dedup();
        let sum: u64 = expected.values().sum();
        assert_eq!(everybody.len() as u64, sum, "every device is in one list");
    }

    async fn metric(&self) -> BTreeMap<String, u64> {
        let answer = self.server.operator(Role::Viewer).get("/metrics").await;
        let page = String::from_utf8(answer.body).unwrap();
        let lines = page
            .lines()
            .filter_map(|line| line.strip_prefix("ota_fleet_devices{condition=\""));
        let counts = lines.filter_map(|line| {
            let (word, rest) = line.split_once('"').unwrap();
            let (labels, count) = rest.split_once("} ").unwrap();
            labels
                .contains(&format!("package_name=\"{PACKAGE}\""))
                .then(|| (word.to_owned(), count.parse().unwrap()))
        });
        counts.collect()
    }

    async fn package(&self) -> Value {
        let fleet = self.olga.get("/v1/fleet").await.ok();
        assert_eq!(fleet["packages_left_out"], 0);
        let packages = fleet["packages"].as_array().unwrap();
        let all = packages.iter().find(|package| package["package_name"] == PACKAGE);
        all.unwrap().clone()
    }

    async fn by_rest(&self) -> BTreeMap<String, u64> {
        let package = self.package().await;
        let parts = package["conditions"].as_array().unwrap().iter();
        let counts: BTreeMap<String, u64> = parts
            .map(|part| {
                let word = part["condition"].as_str().unwrap();
                (word.to_owned(), part["devices"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(package["devices"], counts.values().sum::<u64>());
        counts
    }

    async fn by_grpc(&self) -> BTreeMap<String, u64> {
        let mut request = Request::new(v1::GetFleetRequest {
            package_name: PACKAGE.to_owned(),
        });
        let bearer = format!("Bearer {}", self.olga.token());
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        let mut client = FleetServiceClient::new(self.server.channel().await);
        let fleet = client.get_fleet(request).await.unwrap().into_inner();
        let [package] = &fleet.packages[..] else {
            panic!("one package was asked for: {fleet:?}");
        };
        let parts = package.conditions.iter();
        parts
            .map(|part| (part.condition.clone(), part.devices.unsigned_abs()))
            .collect()
    }

    async fn list(&self, condition: &str) -> Vec<String> {
        let query = format!("?package_name={PACKAGE}&condition={condition}&page_size=100");
        let page = self.olga.devices(&query).await.ok();
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["device_id"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn taken_back(&self) -> Value {
        self.package().await["taken_back"].clone()
    }
}

fn some(counted: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let some = counted.iter().filter(|(_, devices)| **devices > 0);
    some.map(|(word, devices)| (word.clone(), *devices)).collect()
}

async fn a_roll_back_is_told_until_the_last_device_is_off(engine: Engine) {
    let fleet = Overview::of(engine, 6).await;
    fleet.is(&[("current", 6)]).await;
    let second = fleet.uploaded(2).await;
    fleet.olga.promote(second, 100).await.ok();
    fleet.is(&[("not_asked", 6)]).await;
    for device in &fleet.devices {
        device.poll(1).await;
    }
    fleet.is(&[("pending", 6)]).await;
    fleet.install(&[0, 1, 2], second, 1, 2).await;
    fleet.is(&[("current", 3), ("pending", 3)]).await;
    assert_eq!(fleet.taken_back().await, json!([]));

    fleet.olga.roll_back(PACKAGE, false).await.ok();
    fleet.is(&[("current", 3), ("stranded", 3)]).await;
    assert_eq!(fleet.devices[0].poll(2).await.why_not(), "newer_installed");
    fleet.is(&[("current", 3), ("stranded", 3)]).await;
    let told = fleet.taken_back().await;
    assert_eq!(told[0]["version_code"], 2);
    assert_eq!(
        (&told[0]["build_id"], &told[0]["devices"]),
        (&json!(second), &json!(3))
    );
    assert_eq!(
        (&told[0]["rolled_back_by"], &told[0]["forced"]),
        (&json!("olga"), &json!(false))
    );
    assert!(told[0]["rolled_back_at"].is_string(), "{told}");

    // Released once more it is the current build again, and then it is taken back by force.
    fleet.olga.promote(second, 100).await.ok();
    fleet.is(&[("current", 3), ("pending", 3)]).await;
    fleet.olga.roll_back(PACKAGE, true).await.ok();
    fleet.is(&[("current", 3), ("stranded", 3)]).await;
    assert_eq!(fleet.taken_back().await[0]["forced"], true);
    let first = fleet.devices[0].poll(2).await.build().unwrap();
    fleet.devices[0].report(first, "install_success").await.ok();
    fleet.devices[0].poll(1).await;
    fleet.is(&[("current", 4), ("stranded", 2)]).await;
    assert_eq!(fleet.taken_back().await[0]["devices"], 2);

    // Who is retired is no longer counted, and a higher release reaches the last one.
    fleet.olga.retire(&fleet.devices[1].id).await.ok();
    fleet.is(&[("current", 4), ("stranded", 1)]).await;
    let third = fleet.uploaded(3).await;
    fleet.olga.promote(third, 100).await.ok();
    fleet.install(&[2], third, 2, 3).await;
    // What the others were offered before, they have not taken yet; the one that came back has not asked since.
    fleet
        .is(&[("current", 1), ("not_asked", 1), ("pending", 3)])
        .await;
    assert_eq!(fleet.taken_back().await, json!([]));
}

async fn canaries_pauses_and_experiments_have_places_of_their_own(engine: Engine) {
    let fleet = Overview::of(engine, 8).await;
    let second = fleet.uploaded(2).await;
    let canary = json!({ "build_id": second, "priority": 100, "rollout_percent": 100 });
    let canary = fleet.olga.post("/v1/rollouts", &canary).await.json();
    fleet.install(&[0, 1], second, 1, 2).await;
    // Who runs the current build is well, whatever a canary offers it.
    fleet.devices[2].poll(1).await;
    fleet.is(&[("current", 6), ("other_rollout", 2)]).await;
    fleet.olga.pause(second).await.ok();
    fleet.is(&[("current", 6), ("other_rollout", 2)]).await;

    let third = fleet.uploaded(3).await;
    fleet.olga.promote(third, 100).await.ok();
    fleet.olga.pause(third).await.ok();
    let path = format!("/v1/rollouts/{}/roll-back", canary["rollout_id"]);
    fleet.olga.post(&path, &json!({})).await.ok();
    for device in &fleet.devices[2..] {
        assert_eq!(device.poll(1).await.why_not(), "paused");
    }
    fleet.is(&[("waiting", 6), ("not_asked", 2)]).await;
    fleet.olga.resume(third).await.ok();
    fleet.install(&[2, 3, 4, 5, 6, 7], third, 1, 3).await;

    let fourth = fleet.uploaded(4).await;
    let fifth = fleet.uploaded(5).await;
    let experiment = json!({
        "package_name": PACKAGE,
        "arms": [{ "build_id": fourth, "width_percent": 50 }, { "build_id": fifth, "width_percent": 50 }],
    });
    assert_eq!(fleet.olga.post("/v1/experiments", &experiment).await.status, 201);
    for device in &fleet.devices[2..5] {
        let arm = device.poll(3).await.build().unwrap();
        device.report(arm, "install_success").await.ok();
        device.poll(if arm == fourth { 4 } else { 5 }).await;
    }
    fleet
        .is(&[("current", 3), ("not_asked", 2), ("other_rollout", 3)])
        .await;
    // An experiment that ends without a winner leaves its devices ahead.
    fleet
        .olga
        .post("/v1/experiments/1/conclude", &json!({ "winner": "none" }))
        .await
        .ok();
    let stays = fleet.metric().await;
    let left = eventually(|| fleet.metric(), |counted| counted["other_rollout"] == 0).await;
    assert_eq!(left.values().sum::<u64>(), stays.values().sum::<u64>());
    fleet.is(&[("ahead", 3), ("current", 3), ("not_asked", 2)]).await;
}

async fn who_fails_or_falls_silent_is_counted_once(engine: Engine) {
    let mut fleet = Overview::of(engine, 5).await;
    let second = fleet.uploaded(2).await;
    fleet.olga.promote(second, 100).await.ok();
    for device in &fleet.devices {
        device.poll(1).await;
    }
    for device in &fleet.devices[..3] {
        let failed = json!({ "build_id": second, "status": "install_failed", "reason": "storage_low" });
        device.report_as(&failed).await.ok();
    }
    fleet.is(&[("failing", 3), ("pending", 2)]).await;
    // One succeeds after all.
    fleet.devices[0].report(second, "install_success").await.ok();
    fleet.devices[0].poll(2).await;
    fleet.is(&[("current", 1), ("failing", 2), ("pending", 2)]).await;
    // A day and an hour later, one that failed and one that did not have polled.
    fleet.server.clock().advance(chrono::TimeDelta::hours(25));
    fleet.olga = fleet.server.person("olga", Role::Admin);
    fleet.devices[1].poll(1).await;
    fleet.devices[3].poll(1).await;
    fleet.is(&[("failing", 1), ("pending", 1), ("silent", 3)]).await;
}

async fn a_condition_is_asked_of_a_package_and_has_a_word_that_is_known(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    olga.devices("?condition=current")
        .await
        .refused(409, "no_current_build");
    let fleet = olga.get("/v1/fleet").await.ok();
    assert_eq!((&fleet["devices"], &fleet["packages"]), (&json!(0), &json!([])));
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    device.poll(2).await;
    let there = |page: &Value| page["items"].as_array().unwrap().len() == 1;
    eventually(|| async { olga.devices("?condition=current").await.ok() }, there).await;
    olga.devices("?condition=behind").await.invalid("condition");
    olga.get("/v1/fleet?package_name=x").await.invalid("package_name");
    olga.get("/v1/fleet?pakage=x")
        .await
        .refused(400, "invalid_argument");
    let unknown = olga.get("/v1/fleet?package_name=com.example.unknown").await.ok();
    assert_eq!(unknown["packages"][0]["devices"], 0);
}
