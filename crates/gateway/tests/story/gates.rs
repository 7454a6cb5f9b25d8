//! Gates as people and programs ask for them, read them, and go on after a halt.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_domain::gate::{Arms, GATE_PROMISE, GateFacts, StepCounts, StepProgress};
use tidegate_proto::v1;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

on_both_engines!(
    a_gate_is_shown_as_it_was_asked_for_and_taken_away_by_null,
    what_is_no_gate_is_refused_by_name,
    a_change_of_a_gate_waits_for_approval_and_says_what_it_is,
    before_the_first_look_all_is_zero,
    what_a_gate_found_is_told_in_numbers_and_a_sentence,
    a_halted_rollout_goes_on_when_its_failures_were_seen,
    a_build_is_resumed_by_the_same_rule,
    a_package_proposes_a_gate_to_its_promotions,
    the_same_by_grpc,
);

async fn with_a_build(engine: Engine) -> (TestServer, Operator, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    (server, olga, build)
}

/// A rollout with these terms beside.
async fn made(who: &Operator, build: i64, terms: &Value) -> Value {
    let mut body = json!({ "build_id": build, "rollout_percent": 100 });
    for (name, term) in terms.as_object().unwrap() {
        body[name] = term.clone();
    }
    who.post("/v1/rollouts", &body).await.ok()
}

async fn edit(who: &Operator, rollout: &Value, terms: &Value) -> Answer {
    let shown = shown(who, rollout).await;
    let mut body = json!({ "revision": shown["revision"] });
    for (name, term) in terms.as_object().unwrap() {
        body[name] = term.clone();
    }
    let path = format!("/v1/rollouts/{rollout}");
    Answer::to(who.request(Method::PATCH, &path).json(&body)).await
}

async fn shown(who: &Operator, rollout: &Value) -> Value {
    who.get(&format!("/v1/rollouts/{rollout}")).await.ok()
}

async fn gate(who: &Operator, rollout: &Value) -> Value {
    who.get(&format!("/v1/rollouts/{rollout}/gate")).await.ok()
}

async fn resume(who: &Operator, rollout: &Value, said: &Value) -> Answer {
    who.post(&format!("/v1/rollouts/{rollout}/resume"), said).await
}

/// Halts a rollout by hand, and has its gate have found 14 failures among 120 devices.
async fn halted(server: &TestServer, who: &Operator, rollout: &Value) {
    let path = format!("/v1/rollouts/{rollout}/halt");
    who.post_text(&path, "").await.ok();
    server.keep_gate_look(rollout.as_i64().unwrap(), found()).await;
}

fn found() -> GateFacts {
    let step = StepCounts {
        reached: 130,
        begun: 125,
        sent: 120,
        failed: 14,
        in_trouble: 14,
        confirmed: 80,
        ..StepCounts::default()
    };
    GateFacts {
        fleet: 20_000,
        weights: Default::default(),
        steps: vec![step],
        lost_arms: Arms {
            treated: 130,
            control: 1_300,
            treated_at_risk: 130,
            control_at_risk: 1_300,
        },
        lost: Default::default(),
        crashing_arms: None,
        crashing: Default::default(),
        polls_expected: 4_000,
        polls_seen: 3_900,
        progress: StepProgress::Ramping,
        waited_seconds: 0,
    }
}

fn usual() -> Value {
    json!({
        "mode": "act", "failed_percent": 2, "corrupt_percent": 0.2, "lost": true, "crashing": true, "holdback": false
    })
}

async fn a_gate_is_shown_as_it_was_asked_for_and_taken_away_by_null(engine: Engine) {
    let (_server, olga, build) = with_a_build(engine).await;
    let asked = json!({
        "mode": "hold", "failed_percent": 0.01, "corrupt_percent": 12.34, "lost": false, "crashing": false,
        "holdback": true
    });
    let terms = json!({ "gate": asked, "on_halt": "roll_back", "roll_back_forced": true });
    let rollout = made(&olga, build, &terms).await;
    let id = &rollout["rollout_id"];
    for told in [
        rollout.clone(),
        shown(&olga, id).await,
        olga.rollouts("").await.ok()["items"][0].clone(),
    ] {
        assert_eq!(told["gate"], asked, "{told}");
        assert_eq!(told["gate"].to_string(), asked.to_string(), "to the digit");
        assert_eq!(
            (&told["on_halt"], &told["roll_back_forced"]),
            (&json!("roll_back"), &json!(true))
        );
    }
    let again = made(&olga, build, &terms).await;
    assert_eq!(&again["rollout_id"], id, "the same is not made again");

    let held = edit(&olga, id, &json!({ "on_halt": "hold" })).await.ok();
    assert_eq!((&held["gate"], &held["on_halt"]), (&asked, &json!("hold")));
    assert_eq!(held["roll_back_forced"], false, "nothing is taken back");
    let whole = edit(&olga, id, &json!({ "gate": {}, "on_halt": "roll_back" }))
        .await
        .ok();
    assert_eq!(
        (&whole["gate"], &whole["on_halt"]),
        (&usual(), &json!("roll_back"))
    );
    let named = edit(&olga, id, &json!({ "name": "north" })).await.ok();
    assert_eq!(
        (&named["gate"], &named["on_halt"]),
        (&usual(), &json!("roll_back")),
        "it stays"
    );
    let kept = edit(&olga, id, &json!({ "gate": { "mode": "watch" } }))
        .await
        .ok();
    assert_eq!(
        (&kept["gate"]["mode"], &kept["on_halt"]),
        (&json!("watch"), &json!("roll_back"))
    );

    let without = edit(&olga, id, &json!({ "gate": null })).await.ok();
    assert_eq!(
        (&without["gate"], &without["on_halt"]),
        (&Value::Null, &json!(""))
    );
    let path = format!("/v1/rollouts/{id}/gate");
    olga.get(&path).await.refused(404, "no_gate");
    olga.get("/v1/rollouts/999/gate").await.refused(404, "not_found");
    edit(&olga, id, &json!({ "on_halt": "hold" }))
        .await
        .invalid("on_halt");
}

async fn what_is_no_gate_is_refused_by_name(engine: Engine) {
    let (_server, olga, build) = with_a_build(engine).await;
    let cases = [
        (json!({ "gate": { "failed_percent": 0 } }), "gate.failed_percent"),
        (
            json!({ "gate": { "failed_percent": 50.01 } }),
            "gate.failed_percent",
        ),
        (
            json!({ "gate": { "failed_percent": 1.234 } }),
            "gate.failed_percent",
        ),
        (
            json!({ "gate": { "failed_percent": "two" } }),
            "gate.failed_percent",
        ),
        (
            json!({ "gate": { "corrupt_percent": -1 } }),
            "gate.corrupt_percent",
        ),
        (json!({ "gate": { "mode": "stop" } }), "gate.mode"),
        (json!({ "gate": { "lost": 1 } }), "gate.lost"),
        (json!({ "gate": { "failed": 2 } }), "gate.failed"),
        (json!({ "gate": 2 }), "gate"),
        (json!({ "gate": {}, "on_halt": "rollback" }), "on_halt"),
        (json!({ "gate": {}, "on_halt": "" }), "on_halt"),
        (json!({ "on_halt": "hold" }), "on_halt"),
        (json!({ "gate": null, "on_halt": "hold" }), "on_halt"),
        (json!({ "roll_back_forced": true }), "roll_back_forced"),
        (
            json!({ "gate": {}, "roll_back_forced": true }),
            "roll_back_forced",
        ),
    ];
    let rollout = made(&olga, build, &json!({ "name": "first" })).await;
    for (terms, field) in cases {
        let mut body = terms.clone();
        body["build_id"] = build.into();
        body["rollout_percent"] = 5.into();
        olga.post("/v1/rollouts", &body).await.invalid(field);
        edit(&olga, &rollout["rollout_id"], &terms).await.invalid(field);
        olga.promote_as(
            build,
            &json!({ "rollout_percent": 5, "gate": terms["gate"], "on_halt": "?" }),
        )
        .await
        .invalid(if field.starts_with("gate") {
            field
        } else {
            "on_halt"
        });
    }
    let kept = shown(&olga, &rollout["rollout_id"]).await;
    assert_eq!((&kept["revision"], &kept["gate"]), (&json!(1), &Value::Null));
    assert_eq!(olga.rollouts("").await.ok()["items"].as_array().unwrap().len(), 1);
}

async fn a_change_of_a_gate_waits_for_approval_and_says_what_it_is(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let rollout = made(&olga, build, &json!({ "gate": {} })).await;
    let id = &rollout["rollout_id"];
    let ada = server.person("ada", Role::Admin);
    let path = format!("/v1/packages/{PACKAGE}");
    let always = json!({ "approval": "always" });
    Answer::to(ada.request(Method::PATCH, &path).json(&always))
        .await
        .ok();

    let asked = edit(
        &olga,
        id,
        &json!({ "gate": { "mode": "watch" }, "on_halt": "roll_back" }),
    )
    .await;
    assert_eq!(asked.status, 202);
    let waiting = &asked.json()["waiting"];
    assert_eq!(
        (&waiting["gate"]["mode"], &waiting["on_halt"]),
        (&json!("watch"), &json!("roll_back"))
    );
    assert_eq!(waiting["no_gate"], false);
    assert_eq!(
        shown(&olga, id).await["gate"],
        usual(),
        "it watches as before meanwhile"
    );
    let asked = edit(&olga, id, &json!({ "gate": null })).await.json();
    assert_eq!(
        (&asked["waiting"]["no_gate"], &asked["waiting"]["gate"]),
        (&json!(true), &Value::Null)
    );
}

async fn before_the_first_look_all_is_zero(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    // It begins tomorrow, and no gate looks before.
    let begin = server.clock().read() + TimeDelta::days(1);
    let plan = json!({ "steps": [{ "percent": 100, "not_before": begin.to_rfc3339() }] });
    let body =
        json!({ "build_id": build, "plan": plan, "gate": { "failed_percent": 1.5, "crashing": false } });
    let rollout = olga.post("/v1/rollouts", &body).await.ok();
    assert_eq!(rollout["state"], "scheduled");
    let told = gate(&olga, &rollout["rollout_id"]).await;
    assert_eq!(told["sentence"], "Its gate has not looked yet.");
    assert_eq!(
        (&told["looked_at"], &told["verdict"], &told["action"]),
        (&Value::Null, &json!(""), &json!(""))
    );
    assert_eq!(
        (&told["failures"], &told["segment"], &told["state"]),
        (&json!(0), &json!(1), &json!("scheduled"))
    );
    let share = json!({
        "devices": 0, "seen": 0, "expected": 0, "tolerated_percent": 1.5, "ln_e": 0.0, "e": "1.00-fold",
        "halts_after": null
    });
    assert_eq!(told["failed"], share);
    assert_eq!(
        (&told["lost"]["treated"], &told["lost"]["not_measured"]),
        (&json!(0), &json!(""))
    );
    assert_eq!(told["crashing"]["not_measured"], "switched_off");
    assert_eq!(told["promise"], GATE_PROMISE);
    let viewer = server.person("vera", Role::Viewer);
    assert_eq!(gate(&viewer, &rollout["rollout_id"]).await["failures"], 0);
}

async fn what_a_gate_found_is_told_in_numbers_and_a_sentence(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let rollout = made(&olga, build, &json!({ "gate": { "crashing": false } })).await["rollout_id"].clone();
    halted(&server, &olga, &rollout).await;
    let told = gate(&olga, &rollout).await;
    assert_eq!(told["gate"]["mode"], "act");
    let sentence = told["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Halted: 14 of 120 phones that fetched ")
            && sentence.ends_with(" failed to install it, 2 % is tolerated."),
        "{sentence}"
    );
    assert_eq!(
        (&told["verdict"], &told["by"], &told["action"]),
        (&json!("bad"), &json!("failed"), &json!("halt"))
    );
    assert_eq!(
        (&told["failures"], &told["state"]),
        (&json!(14), &json!("halted"))
    );
    let failed = &told["failed"];
    assert_eq!(
        (&failed["devices"], &failed["seen"], &failed["expected"]),
        (&json!(120), &json!(14), &json!(2))
    );
    let ln_e = failed["ln_e"].as_f64().unwrap();
    assert!(ln_e > 100.0_f64.ln(), "{ln_e}");
    assert!(failed["e"].as_str().unwrap().ends_with("-fold"), "{failed}");
    let lost = &told["lost"];
    assert_eq!(
        (&lost["treated"], &lost["control"], &lost["seen"]),
        (&json!(130), &json!(1_300), &json!(0))
    );
    assert_eq!(
        (&lost["silent_minutes"], &lost["ln_e"]),
        (&json!(90), &json!(0.0))
    );
    assert!(
        lost["halts_after"].as_u64().is_some_and(|more| more > 2),
        "{lost}"
    );
    assert_eq!(told["crashing"]["not_measured"], "switched_off");
    let advance = &told["advance"];
    assert_eq!(
        (&advance["reached"], &advance["confirmed"]),
        (&json!(130), &json!(80))
    );
    assert_eq!(
        (&advance["in_trouble"], &advance["census_missing"]),
        (&json!(14), &json!(48))
    );
    assert_eq!(
        (&told["polls_expected"], &told["polls_seen"]),
        (&json!(4_000), &json!(3_900))
    );
    assert!(told["looked_at"].is_string(), "{told}");
}

async fn a_halted_rollout_goes_on_when_its_failures_were_seen(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let rollout = made(&olga, build, &json!({ "gate": {} })).await["rollout_id"].clone();
    halted(&server, &olga, &rollout).await;
    let phone = server.device("phone").await;
    assert_eq!(phone.poll(0).await.why_not(), "halted");

    let asks = resume(&olga, &rollout, &json!({}))
        .await
        .invalid("acknowledged_failures");
    let detail = asks["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!("/v1/rollouts/{rollout}/gate")),
        "{detail}"
    );
    olga.post_text(&format!("/v1/rollouts/{rollout}/resume"), "")
        .await
        .invalid("acknowledged_failures");
    for (said, field) in [
        (json!({ "acknowledged_failures": 14 }), "remark"),
        (json!({ "acknowledged_failures": 14, "remark": "" }), "remark"),
        (
            json!({ "acknowledged_failures": 14, "remark": "x".repeat(1_001) }),
            "remark",
        ),
        (
            json!({ "acknowledged_failures": 14, "remark": "a\u{202e}b" }),
            "remark",
        ),
        (
            json!({ "acknowledged_failures": -1, "remark": "seen" }),
            "acknowledged_failures",
        ),
        (
            json!({ "acknowledged_failures": "14", "remark": "seen" }),
            "acknowledged_failures",
        ),
        (json!({ "acknowledged": 14 }), "acknowledged"),
    ] {
        resume(&olga, &rollout, &said).await.invalid(field);
    }
    let fewer = json!({ "acknowledged_failures": 13, "remark": "one shop without power" });
    let grew = resume(&olga, &rollout, &fewer)
        .await
        .refused(409, "failures_grew");
    let detail = grew["detail"].as_str().unwrap();
    assert!(
        detail.contains("14 failures") && detail.contains("13 were acknowledged"),
        "{detail}"
    );
    edit(&olga, &rollout, &json!({ "gate": null }))
        .await
        .invalid("gate");
    assert_eq!(shown(&olga, &rollout).await["state"], "halted");
    assert_eq!(phone.poll(0).await.why_not(), "halted");

    let seen = json!({ "acknowledged_failures": 14, "remark": "one shop without power" });
    let resumed = resume(&olga, &rollout, &seen).await.ok();
    assert_eq!(resumed["state"], "active");
    assert_eq!(phone.poll(0).await.build(), Some(build));
    let told = gate(&olga, &rollout).await;
    assert_eq!((&told["segment"], &told["failures"]), (&json!(2), &json!(0)));
    let entry = &olga.audit("?action=ota.rollout.resume").await[0];
    assert_eq!(entry["after"]["acknowledged_failures"], 14, "{entry}");
    assert_eq!(entry["after"]["remark"], "one shop without power");
    assert!(server.person("ada", Role::Admin).audit_is_intact().await);

    // Who halts by hand is asked the same, of what was counted since.
    olga.post_text(&format!("/v1/rollouts/{rollout}/halt"), "")
        .await
        .ok();
    resume(&olga, &rollout, &json!({}))
        .await
        .invalid("acknowledged_failures");
    let drill = json!({ "acknowledged_failures": 0, "remark": "a drill" });
    resume(&olga, &rollout, &drill).await.ok();

    olga.post_text(&format!("/v1/rollouts/{rollout}/pause"), "")
        .await
        .ok();
    let path = format!("/v1/rollouts/{rollout}/resume");
    assert_eq!(
        olga.post_text(&path, "").await.ok()["state"],
        "active",
        "a paused one as ever"
    );
}

async fn a_build_is_resumed_by_the_same_rule(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let promoted = olga
        .promote_as(build, &json!({ "rollout_percent": 100, "gate": {} }))
        .await
        .ok();
    halted(&server, &olga, &promoted["rollout_id"]).await;
    olga.resume(build).await.invalid("acknowledged_failures");
    let path = format!("/v1/apk/{build}/resume");
    let said = |failures: u64| json!({ "acknowledged_failures": failures, "remark": "seen" });
    olga.post(&path, &said(2)).await.refused(409, "failures_grew");
    assert_eq!(olga.post(&path, &said(14)).await.ok()["state"], "active");
}

async fn a_package_proposes_a_gate_to_its_promotions(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let ada = server.person("ada", Role::Admin);
    let path = format!("/v1/packages/{PACKAGE}");
    let edit = |edit: Value| Answer::to(ada.request(Method::PATCH, &path).json(&edit));
    for (bad, field) in [
        (json!({ "gate": { "failed_percent": 99 } }), "gate.failed_percent"),
        (json!({ "on_halt": "hold" }), "on_halt"),
    ] {
        edit(bad).await.invalid(field);
    }
    let promoted = async |terms: &Value| {
        let made = olga.promote_as(build, terms).await.ok();
        shown(&olga, &made["rollout_id"]).await
    };
    assert_eq!(
        promoted(&json!({ "rollout_percent": 1 })).await["gate"],
        Value::Null
    );
    let proposed = json!({ "gate": { "failed_percent": 0.5 }, "on_halt": "roll_back" });
    let package = edit(proposed).await.ok();
    assert_eq!(
        (&package["gate"]["failed_percent"], &package["on_halt"]),
        (&json!(0.5), &json!("roll_back"))
    );
    let kept = edit(json!({ "default_plan": true })).await.ok();
    assert_eq!(kept["gate"], package["gate"], "it stays");

    let usual = promoted(&json!({ "rollout_percent": 2 })).await;
    assert_eq!(
        (&usual["gate"], &usual["on_halt"]),
        (&package["gate"], &json!("roll_back"))
    );
    let own = promoted(&json!({ "rollout_percent": 3, "gate": { "mode": "watch" } })).await;
    assert_eq!(
        (&own["gate"]["mode"], &own["on_halt"]),
        (&json!("watch"), &json!("hold"))
    );
    let none = promoted(&json!({ "rollout_percent": 4, "gate": null })).await;
    assert_eq!(none["gate"], Value::Null);
    let rollout = made(&olga, build, &json!({ "priority": 1 })).await;
    assert_eq!(
        rollout["gate"],
        Value::Null,
        "a rollout says itself what watches it"
    );
    assert_eq!(edit(json!({ "gate": null })).await.ok()["gate"], Value::Null);
}

#[derive(Clone)]
struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

type Rollouts = RolloutServiceClient<InterceptedService<Channel, Bearer>>;

async fn the_same_by_grpc(engine: Engine) {
    let (server, olga, build) = with_a_build(engine).await;
    let bearer = Bearer(olga.token().to_owned());
    let mut grpc: Rollouts = RolloutServiceClient::with_interceptor(server.channel().await, bearer);
    let request = v1::CreateRolloutRequest {
        build_id: build,
        rollout_percent: 100.0,
        gate: Some(v1::Gate {
            failed_percent: Some(0.5),
            ..v1::Gate::default()
        }),
        on_halt: Some("roll_back".to_owned()),
        ..v1::CreateRolloutRequest::default()
    };
    let rollout = grpc.create_rollout(request).await.unwrap().into_inner();
    let (rollout_id, asked) = (rollout.rollout_id, rollout.gate.unwrap());
    assert_eq!(
        (asked.mode.as_str(), asked.failed_percent, asked.lost),
        ("act", Some(0.5), Some(true))
    );
    assert_eq!(rollout.on_halt, "roll_back");

    halted(&server, &olga, &json!(rollout_id)).await;
    let request = v1::GetRolloutGateRequest { rollout_id };
    let told = grpc.get_rollout_gate(request).await.unwrap().into_inner();
    let shown = gate(&olga, &json!(rollout_id)).await;
    assert_eq!(serde_json::to_value(&told).unwrap(), shown, "both tell the same");
    let said = |failures: Option<i64>| v1::ResumeRolloutRequest {
        rollout_id,
        acknowledged_failures: failures,
        remark: Some("seen".to_owned()),
        ..v1::ResumeRolloutRequest::default()
    };
    let refused = grpc.resume_rollout(said(None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let refused = grpc.resume_rollout(said(Some(13))).await.unwrap_err();
    assert!(refused.message().contains("14 failures"), "{refused}");
    let resumed = grpc
        .resume_rollout(said(Some(told.failures)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(resumed.state, "active");

    let request = v1::GetRolloutRequest { rollout_id };
    let revision = grpc.get_rollout(request).await.unwrap().into_inner().revision;
    let request = v1::EditRolloutRequest {
        rollout_id,
        revision,
        gate: Some(v1::GateChange { gate: None }),
        ..v1::EditRolloutRequest::default()
    };
    let edited = grpc.edit_rollout(request).await.unwrap().into_inner();
    assert_eq!(edited.gate, None);
    let request = v1::GetRolloutGateRequest { rollout_id };
    let refused = grpc.get_rollout_gate(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
}
