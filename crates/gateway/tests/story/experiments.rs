//! Experiments: two builds and a hold-out side by side, each device hears only its own, and then everybody the winner.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::{Position, Role, Share, Slice};
use tidegate_proto::v1;
use tidegate_proto::v1::experiment_service_client::ExperimentServiceClient;
use tidegate_testkit::agent::Agent;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::{Code, Request};

use crate::fleet;

on_both_engines!(
    two_arms_and_a_hold_out_until_everybody_has_the_winner,
    an_arm_is_stopped_alone_and_keeps_its_slice,
    what_is_wrong_is_refused_and_changes_nothing,
    the_same_by_grpc,
);

const FLEET: usize = 300;

/// A server whose base is version 1, with versions 2 and 3 to try.
struct Lab {
    server: TestServer,
    olga: Operator,
    base: i64,
    arms: [i64; 2],
}

impl Lab {
    async fn start(engine: Engine) -> Self {
        let server = TestServer::start(engine).await;
        let olga = server.person("olga", Role::Operator);
        let base = olga.uploaded(&apks::build(PACKAGE, 1)).await;
        let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
        let third = olga.uploaded(&apks::build(PACKAGE, 3)).await;
        olga.promote(base, 100).await.ok();
        Self {
            server,
            olga,
            base,
            arms: [second, third],
        }
    }

    /// Two arms of 30 and 20 %, and a hold-out of 25 %.
    fn request(&self) -> Value {
        json!({
            "package_name": PACKAGE, "name": "scanner", "holdout_percent": 25, "arms": [
                { "build_id": self.arms[0], "width_percent": 30, "name": "old scanner" },
                { "build_id": self.arms[1], "width_percent": 20 },
            ],
        })
    }

    async fn begun(&self) -> Value {
        let answer = self.olga.post("/v1/experiments", &self.request()).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    }

    async fn shown(&self) -> Value {
        self.olga.get("/v1/experiments/1").await.ok()
    }

    async fn conclude(&self, body: &Value) -> Answer {
        self.olga.post("/v1/experiments/1/conclude", body).await
    }
}

fn ids_in(devices: &[Agent], start: f64, width: f64) -> BTreeSet<String> {
    let slice = Slice::of_percents(start, width).unwrap();
    let ids = devices.iter().map(|device| device.id.clone());
    ids.filter(|id| slice.takes(Position::of(id, None), Share::WHOLE))
        .collect()
}

/// Who is offered which build; all others must be told the reason.
async fn heard(devices: &[Agent], version: i64, others: &str) -> Vec<(i64, String)> {
    let mut offers = Vec::new();
    for (device, polled) in fleet::poll(devices, version).await {
        match polled.build() {
            Some(build) => offers.push((build, device.id.clone())),
            None => assert_eq!(polled.why_not(), others, "{}", device.id),
        }
    }
    offers
}

fn of_build(offers: &[(i64, String)], build: i64) -> BTreeSet<String> {
    let own = offers.iter().filter(|(offered, _)| *offered == build);
    own.map(|(_, id)| id.clone()).collect()
}

async fn two_arms_and_a_hold_out_until_everybody_has_the_winner(engine: Engine) {
    let lab = Lab::start(engine).await;
    let devices = fleet::enroll(&lab.server, FLEET, 1).await;
    let (first, second) = (ids_in(&devices, 0.0, 30.0), ids_in(&devices, 30.0, 20.0));
    let held_out = ids_in(&devices, 50.0, 25.0);
    for (group, least) in [(&first, 60), (&second, 35), (&held_out, 45)] {
        assert!(group.len() > least, "{} devices", group.len());
    }

    let begun = lab.begun().await;
    assert_eq!(
        (&begun["experiment_id"], &begun["state"]),
        (&json!(1), &json!("running"))
    );
    assert_eq!(begun["arms"][1]["rollout"]["experiment_id"], 1);
    assert_eq!(
        begun["arms"][1]["rollout"]["slice"],
        json!({ "start": 30.0, "width_percent": 20.0 })
    );
    assert_eq!(
        begun["holdout"]["slice"],
        json!({ "start": 50.0, "width_percent": 25.0 })
    );
    assert_eq!(lab.begun().await["experiment_id"], 1, "asked twice, begun once");

    // Each device hears of its own arm's build alone, and strangers hear what they heard before.
    let offers = heard(&devices, 1, "already_current").await;
    assert_eq!(of_build(&offers, lab.arms[0]), first);
    assert_eq!(of_build(&offers, lab.arms[1]), second);
    assert_eq!(offers.len(), first.len() + second.len());
    let is_strange = |device: &&Agent| !first.contains(&device.id) && !second.contains(&device.id);
    let strangers: Vec<Agent> = devices.iter().filter(is_strange).cloned().collect();
    let ahead = heard(&strangers, 3, "newer_installed").await;
    assert!(
        ahead.is_empty(),
        "nobody is taken back, and no arm ends their polls"
    );
    explained(&lab, &first, &held_out).await;

    // What became of them stands side by side.
    let of = |ids: &BTreeSet<String>| devices.iter().find(|device| ids.contains(&device.id)).unwrap();
    of(&first).report(lab.arms[0], "install_success").await.ok();
    of(&second).report(lab.arms[1], "install_failed").await.ok();
    let counts = |arm: &Value, name: &str| arm[name].as_u64().unwrap_or_default();
    let (in_first, in_second) = (first.len() as u64, second.len() as u64);
    let shown = eventually(
        || lab.shown(),
        |shown| {
            let (one, other) = (&shown["arms"][0], &shown["arms"][1]);
            (counts(one, "total_eligible"), counts(other, "total_eligible")) == (in_first, in_second)
                && (counts(one, "installs_success"), counts(other, "installs_failed")) == (1, 1)
                && shown["holdout"]["devices"]["count"] == held_out.len()
                // The fleet may have been counted when not all polls were written yet.
                && one["devices"]["count"] == first.len()
                && other["devices"]["count"] == second.len()
        },
    )
    .await;
    assert_eq!(shown["arms"][0]["devices"]["count"], first.len());
    assert_eq!(shown["arms"][0]["version_code"], 2);
    assert_eq!(counts(&shown["arms"][0], "installs_failed"), 0);
    let list = lab
        .olga
        .get(&format!("/v1/experiments?package_name={PACKAGE}"))
        .await
        .ok();
    assert_eq!(list["items"][0]["arms"][1]["installs_failed"], 1);

    // The second arm won: everybody has it, and nobody another one.
    let concluded = lab.conclude(&json!({ "winner": lab.arms[1] })).await.ok();
    assert_eq!(
        (
            &concluded["state"],
            &concluded["winner_build_id"],
            &concluded["concluded_by"]
        ),
        (&json!("concluded"), &json!(lab.arms[1]), &json!("olga"))
    );
    let states: Vec<_> = (0..2)
        .map(|arm| &concluded["arms"][arm]["rollout"]["state"])
        .collect();
    assert_eq!(states, ["canceled", "superseded"]);
    let everybody = fleet::offered(&devices, 1, lab.arms[1], "").await;
    assert_eq!(everybody.len(), FLEET);
    let again = lab.conclude(&json!({ "winner": lab.arms[1] })).await.ok();
    assert_eq!(again, lab.shown().await);
    for other in [json!(lab.arms[0]), json!("none")] {
        lab.conclude(&json!({ "winner": other }))
            .await
            .refused(409, "experiment_ended");
    }
    for (action, entries) in [("experiment.create", 1), ("experiment.conclude", 1)] {
        assert_eq!(lab.olga.audit(&format!("?action={action}")).await.len(), entries);
    }
    lab.olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(lab.olga.build(lab.base).await.ok()["is_current"], true);
}

/// Whose arm it is shows in the explanation, and that the hold-out is passed on.
async fn explained(lab: &Lab, first: &BTreeSet<String>, held_out: &BTreeSet<String>) {
    let rules = async |ids: &BTreeSet<String>| {
        let explained = lab.olga.explain(ids.first().unwrap(), PACKAGE, 1).await.ok();
        let cohorts: Vec<Value> = (explained["rules"].as_array().unwrap().iter())
            .filter(|rule| rule["rule"] == "cohort")
            .cloned()
            .collect();
        (explained, cohorts)
    };
    let (own, asked) = rules(first).await;
    assert_eq!(own["build_id"], lab.arms[0], "{own}");
    let taken = asked.last().unwrap();
    assert_eq!(taken["passed"], true);
    assert_eq!(taken["inputs"]["slice"], "30 % from 0 % on");
    let (passed_on, asked) = rules(held_out).await;
    assert_eq!(passed_on["reason"], "already_current", "{passed_on}");
    let passed: Vec<&Value> = asked.iter().map(|rule| &rule["passed"]).collect();
    assert_eq!(passed, [false, false, true], "two arms, and the base");
}

async fn an_arm_is_stopped_alone_and_keeps_its_slice(engine: Engine) {
    let lab = Lab::start(engine).await;
    let begun = lab.begun().await;
    let rollout = begun["arms"][0]["rollout"]["rollout_id"].as_i64().unwrap();
    let mut ids = (0..).map(|number| format!("till-{number}"));
    let slice = Slice::of_percents(0.0, 30.0).unwrap();
    let id = ids
        .find(|id| slice.takes(Position::of(id, None), Share::WHOLE))
        .unwrap();
    let till = lab.server.device(&id).await;
    assert_eq!(till.poll(1).await.build(), Some(lab.arms[0]));

    let path = format!("/v1/rollouts/{rollout}");
    let patch = async |change: Value| {
        let mut body = json!({ "revision": lab.olga.get(&path).await.ok()["revision"] });
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        Answer::to(lab.olga.request(Method::PATCH, &path).json(&body)).await
    };
    for change in [
        json!({ "priority": 7 }),
        json!({ "slice": { "start": 0, "width_percent": 50 } }),
        json!({ "audience": "sdk >= 30" }),
    ] {
        patch(change).await.refused(409, "part_of_experiment");
    }
    lab.olga.post(&format!("{path}/pause"), &json!({})).await.ok();
    assert_eq!(till.poll(1).await.why_not(), "paused");
    lab.olga.post(&format!("{path}/resume"), &json!({})).await.ok();
    assert_eq!(till.poll(1).await.build(), Some(lab.arms[0]));
    assert_eq!(
        patch(json!({ "rollout_percent": 0.01 })).await.ok()["rollout_percent"],
        0.01
    );
    lab.olga.post(&format!("{path}/halt"), &json!({})).await.ok();
    lab.conclude(&json!({ "winner": lab.arms[0] }))
        .await
        .invalid("winner");
    lab.olga.post(&format!("{path}/roll-back"), &json!({})).await.ok();
    assert_eq!(till.poll(1).await.why_not(), "already_current");
    assert_eq!(
        till.poll(2).await.why_not(),
        "newer_installed",
        "it keeps what it has"
    );
    lab.conclude(&json!({ "winner": { "rollout_id": rollout } }))
        .await
        .refused(409, "rollout_ended");

    let ended = lab.conclude(&json!({ "winner": "none" })).await.ok();
    let states: Vec<_> = (0..2)
        .map(|arm| &ended["arms"][arm]["rollout"]["state"])
        .collect();
    assert_eq!(states, ["rolled_back", "canceled"]);
    assert_eq!(ended["winner_build_id"], Value::Null);
    assert_eq!(lab.olga.build(lab.base).await.ok()["is_current"], true);
}

async fn what_is_wrong_is_refused_and_changes_nothing(engine: Engine) {
    let lab = Lab::start(engine).await;
    let foreign = lab.olga.uploaded(&apks::build("com.example.other", 1)).await;
    let before = lab.olga.everything().await;
    let with = |pointer: &str, value: Value| {
        let mut request = lab.request();
        match request.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => request[pointer.trim_start_matches('/')] = value,
        }
        request
    };
    let bad = [
        (with("/arms", json!([])), "arms"),
        (with("/arms/1/build_id", json!(lab.arms[0])), "arms"),
        (with("/arms/1/build_id", json!(foreign)), "arms"),
        (with("/arms/1/width_percent", json!(45.01)), "arms"),
        (with("/arms/1/width_percent", json!(0)), "width_percent"),
        (with("/holdout_percent", json!(0)), "holdout_percent"),
        (with("/start_percent", json!(100)), "start_percent"),
        (with("/priority", json!(0)), "priority"),
        (with("/audience", json!("sdk >")), "audience"),
        (with("/salt", json!("")), "salt"),
        (with("/package_name", json!("app")), "package_name"),
        (with("/widths", json!(1)), "widths"),
    ];
    for (request, field) in bad {
        lab.olga.post("/v1/experiments", &request).await.invalid(field);
    }
    let unknown = with("/arms/1/build_id", json!(99));
    lab.olga
        .post("/v1/experiments", &unknown)
        .await
        .refused(404, "not_found");
    lab.olga.get("/v1/experiments/1").await.refused(404, "not_found");
    assert_eq!(lab.olga.everything().await, before);

    // Of three that were released one after the other, the first can be deleted.
    for build in [lab.arms[1], lab.base, lab.arms[0]] {
        lab.olga.promote(build, 100).await.ok();
    }
    let rollouts = async || lab.olga.rollouts("?page_size=100").await.ok();
    let before = rollouts().await;
    lab.server
        .operator(Role::Admin)
        .delete_build(lab.arms[1])
        .await
        .ok();
    let deleted = lab.olga.post("/v1/experiments", &lab.request()).await;
    deleted.refused(409, "build_deleted");
    assert_eq!(lab.olga.get("/v1/experiments").await.ok()["items"], json!([]));
    assert_eq!(rollouts().await, before);

    let spare = lab.olga.uploaded(&apks::build(PACKAGE, 4)).await;
    let good = with("/arms/1/build_id", json!(spare));
    assert_eq!(lab.olga.post("/v1/experiments", &good).await.status, 201);
    for (body, field) in [
        (json!({}), "winner"),
        (json!({ "winner": null }), "winner"),
        (json!({ "winner": "nobody" }), "winner"),
        (json!({ "winner": {} }), "winner"),
        (json!({ "winner": lab.base }), "winner"),
        (
            json!({ "winner": { "build_id": spare, "rollout_id": 2 } }),
            "winner",
        ),
        (
            json!({ "winner": spare, "rollout_percent": 0 }),
            "rollout_percent",
        ),
        (
            json!({ "winner": "none", "rollout_percent": 50 }),
            "rollout_percent",
        ),
        (json!({ "winner": spare, "experiment_id": 2 }), "experiment_id"),
    ] {
        lab.conclude(&body).await.invalid(field);
    }
    assert_eq!(lab.shown().await["state"], "running");
}

async fn the_same_by_grpc(engine: Engine) {
    let lab = Lab::start(engine).await;
    let mut client = ExperimentServiceClient::new(lab.server.channel().await);
    let bearer = format!("Bearer {}", lab.olga.token());
    fn by<T>(bearer: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    }
    let arm = |build_id, width_percent| v1::ArmRequest {
        build_id,
        width_percent,
        name: String::new(),
    };
    let request = v1::CreateExperimentRequest {
        package_name: PACKAGE.to_owned(),
        salt: Some("spring".to_owned()),
        arms: vec![arm(lab.arms[0], 0.5), arm(lab.arms[1], 99.5)],
        ..v1::CreateExperimentRequest::default()
    };
    let begun = client
        .create_experiment(by(&bearer, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (begun.state.as_str(), begun.arms.len(), begun.priority),
        ("running", 2, 100)
    );
    assert!(
        begun.holdout.is_none() && begun.arms[0].devices.is_none(),
        "a salt is not counted"
    );
    let experiment_id = begun.experiment_id;
    let conclude = |winner| v1::ConcludeExperimentRequest {
        experiment_id,
        winner,
        rollout_percent: Some(12.5),
    };
    let unsaid = client.conclude_experiment(by(&bearer, conclude(None))).await;
    assert_eq!(unsaid.unwrap_err().code(), Code::InvalidArgument);
    let winner = v1::Winner {
        rollout_id: begun.arms[1].rollout.as_ref().unwrap().rollout_id,
        ..v1::Winner::default()
    };
    let request = by(&bearer, conclude(Some(winner)));
    let concluded = client.conclude_experiment(request).await.unwrap().into_inner();
    assert_eq!(
        (concluded.winner_build_id, concluded.rollout_percent),
        (Some(lab.arms[1]), Some(12.5))
    );
    let request = v1::GetExperimentRequest { experiment_id };
    let shown = client
        .get_experiment(by(&bearer, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown, concluded);
    let request = v1::ListExperimentsRequest::default();
    let list = client
        .list_experiments(by(&bearer, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.items, [concluded]);
}
