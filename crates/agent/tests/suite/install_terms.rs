//! A rollout's terms for the installation, from the operator's request to a phone of the real server.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_agent::Phase;
use tidegate_agent::domain::{DeferReason, Role};
use tidegate_testkit::agent::Polled;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, eventually};

use crate::phone::{later, settle};
use crate::real::{DEVICE, World};

const FAR_AWAY: &str = "2100-01-01T00:00:00Z";

impl World {
    /// Makes a rollout of version 2 to everybody on these terms.
    async fn release_on(&self, terms: &Value) -> Value {
        let build = self.operator.uploaded(&apks::build(PACKAGE, 2)).await;
        let mut body = json!({ "build_id": build, "rollout_percent": 100 });
        body.as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        let made = self.operator.post("/v1/rollouts", &body).await;
        assert_eq!(made.status, 201, "{}", made.json());
        made.json()
    }

    async fn change(&self, rollout: &Value, terms: &Value) -> Value {
        let path = format!("/v1/rollouts/{}", rollout["rollout_id"]);
        let seen = self.operator.get(&path).await.ok();
        let mut body = json!({ "revision": seen["revision"] });
        body.as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        Answer::to(self.operator.request(Method::PATCH, &path).json(&body))
            .await
            .ok()
    }
}

/// Charging and the app's consent are asked for; the operator drops one of the two, and the phone meets the other.
#[tokio::test]
async fn a_phone_waits_for_what_the_rollout_asks_for() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = World::on(engine).await;
        let terms = json!({ "install_when": ["app_consents", "charging"], "install_deadline": FAR_AWAY });
        let rollout = world.release_on(&terms).await;
        assert_eq!(rollout["install_when"], json!(["charging", "app_consents"]));
        assert_eq!(rollout["install_deadline"], FAR_AWAY);
        assert_eq!(
            rollout["overdue_devices"],
            Value::Null,
            "the deadline is far away"
        );
        let mut agent = world.open();
        assert_eq!(
            settle(&mut agent).await.phase,
            Phase::Waiting(DeferReason::NotCharging)
        );
        for _ in 0..10 {
            later(&mut agent).await;
        }
        assert_eq!(world.phone.facts().asked, [0_i64; 0]);

        // What the poll said is kept a moment later.
        let explain = || world.operator.explain(DEVICE, PACKAGE, 1);
        let told = |answer: &Answer| {
            let explained = answer.json();
            let rules = explained["rules"].as_array().unwrap();
            let told = rules.iter().find(|rule| rule["rule"] == "install_terms");
            told.is_some_and(|told| {
                told["answer"]
                    .as_str()
                    .unwrap()
                    .contains("charging and app_consents")
            })
        };
        eventually(explain, told).await;

        world.phone.facts().charging = true;
        agent.look_again().unwrap();
        assert_eq!(
            settle(&mut agent).await.phase,
            Phase::Waiting(DeferReason::NoConsent)
        );
        let device = || world.operator.device(DEVICE);
        let put_off = |answer: &Answer| answer.json().to_string().contains("no_consent");
        eventually(device, put_off).await;
        let changed = world
            .change(&rollout, &json!({ "install_when": ["charging"] }))
            .await;
        assert_eq!(changed["install_when"], json!(["charging"]));
        assert_eq!(changed["install_deadline"], FAR_AWAY, "what is left out stays");
        // The next poll tells it; the file is not fetched again.
        world.phone.facts().now += chrono::TimeDelta::hours(8);
        settle(&mut agent).await;
        assert_eq!(world.phone.version(), Some(2));
    }
}

/// The deadline passes: a phone that was offered the build and waits is overdue, installs at its next look, and is no longer.
#[tokio::test]
async fn after_the_deadline_a_phone_is_overdue_until_it_has_installed() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = World::on(engine).await;
        let rollout = world.release_on(&json!({ "install_when": ["idle"] })).await;
        let id = rollout["rollout_id"].as_i64().unwrap();
        let mut agent = world.open();
        assert_eq!(
            settle(&mut agent).await.phase,
            Phase::Waiting(DeferReason::NotIdle)
        );
        // What the poll said is kept a moment later.
        let path = format!("/v1/rollouts/{id}");
        let soon = world.server.clock().read() + chrono::TimeDelta::hours(1);
        world
            .change(&rollout, &json!({ "install_deadline": soon.to_rfc3339() }))
            .await;
        world.server.clock().advance(chrono::TimeDelta::hours(2));
        let overdue = |answer: &Answer| answer.json()["overdue_devices"].clone();
        eventually(|| world.operator.get(&path), |answer| overdue(answer) == json!(1)).await;
        let board = world
            .operator
            .get(&format!("/v1/rollouts/board?package_name={PACKAGE}"))
            .await
            .ok();
        assert_eq!(board["rows"][0]["rollout"]["overdue_devices"], 1);
        let list = world.operator.get("/v1/rollouts").await.ok();
        assert_eq!(list["items"][0]["overdue_devices"], 1);
        let late = format!("?overdue={id}");
        let devices = world.operator.devices(&late).await.ok();
        assert_eq!(devices["items"][0]["device_id"], DEVICE);
        let series = format!("ota_rollout_overdue_devices{{rollout_id=\"{id}\"}}");
        let viewer = world.server.operator(Role::Viewer);
        let counted = |answer: &Answer, count: u8| {
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            page.lines().any(|line| line == format!("{series} {count}"))
        };
        eventually(|| viewer.get("/metrics"), |answer| counted(answer, 1)).await;

        world.phone.facts().now += chrono::TimeDelta::hours(8);
        settle(&mut agent).await;
        assert_eq!(world.phone.version(), Some(2), "it no longer waits for anything");
        eventually(|| world.operator.get(&path), |answer| overdue(answer) == json!(0)).await;
        assert_eq!(world.operator.devices(&late).await.ok()["items"], json!([]));
        eventually(|| viewer.get("/metrics"), |answer| counted(answer, 0)).await;

        world
            .change(&rollout, &json!({ "no_install_deadline": true }))
            .await;
        let shown = world.operator.get(&path).await.ok();
        assert_eq!(
            (&shown["install_deadline"], &shown["overdue_devices"]),
            (&Value::Null, &Value::Null)
        );
    }
}

/// An agent of protocol 1 is told nothing of terms that it does not know, and so is anybody where there are none.
#[tokio::test]
async fn agents_are_told_terms_that_they_know() {
    let world = World::new().await;
    world
        .release_on(&json!({ "install_when": ["idle"], "install_deadline": FAR_AWAY }))
        .await;
    let device = world.server.device("older-1").await;
    let told = |polled: Polled| {
        let manifest = polled.manifest.unwrap();
        (
            manifest.get("install_when").cloned(),
            manifest.get("install_deadline").cloned(),
        )
    };
    assert_eq!(told(device.poll(1).await), (None, None));
    let newer = told(device.poll_as(PACKAGE, 1, "&protocol=2").await);
    assert_eq!(newer, (Some(json!(["idle"])), Some(json!(FAR_AWAY))));
}

#[tokio::test]
async fn terms_that_are_wrong_are_refused_by_name_and_change_nothing() {
    let world = World::new().await;
    let rollout = world.release_on(&json!({ "install_when": ["idle"] })).await;
    let build = &rollout["build_id"];
    for (terms, field) in [
        (json!({ "install_when": ["moon_is_full"] }), "install_when"),
        (json!({ "install_when": "charging" }), "install_when"),
        (json!({ "install_deadline": "tomorrow" }), "install_deadline"),
        (
            json!({ "install_deadline": FAR_AWAY, "no_install_deadline": true }),
            "no_install_deadline",
        ),
    ] {
        let mut create = json!({ "build_id": build, "rollout_percent": 50, "priority": 3 });
        create
            .as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        let refused = world.operator.post("/v1/rollouts", &create).await;
        assert_eq!(refused.status, 400, "{terms}");
        let mut edit = json!({ "revision": 1 });
        edit.as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        let path = format!("/v1/rollouts/{}", rollout["rollout_id"]);
        let refused = Answer::to(world.operator.request(Method::PATCH, &path).json(&edit)).await;
        assert_eq!(refused.status, 400, "{terms}");
        assert!(
            refused.json()["detail"].as_str().unwrap().contains(field),
            "{}",
            refused.json()
        );
        assert_eq!(world.operator.get(&path).await.ok()["revision"], 1);
    }
    world
        .operator
        .devices("?overdue=99")
        .await
        .refused(404, "not_found");
}
