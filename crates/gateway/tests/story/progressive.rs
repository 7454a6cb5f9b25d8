//! A release goes to our own phones first, then to a region, then to everyone; and each step is a rollout with a number.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_domain::{Position, Role};
use tidegate_proto::v1;
use tidegate_proto::v1::rollout_service_client::RolloutServiceClient;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::{Code, Request};

on_both_engines!(
    a_canary_by_tag_then_a_region_then_everyone,
    each_rollout_is_changed_and_ended_by_its_number,
    terms_change_under_the_revision_that_was_seen,
    canaries_that_begin_by_themselves_meet_different_devices,
    a_share_may_be_half_a_percent,
    a_package_may_have_canaries_before_it_has_a_base,
    what_is_wrong_with_a_rollout_is_refused_by_name,
    a_build_is_made_a_barrier_and_devices_take_it_first,
    the_same_by_grpc,
);

async fn create(who: &Operator, rollout: &Value) -> Value {
    let answer = who.post("/v1/rollouts", rollout).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

async fn patch(who: &Operator, path: &str, body: &Value) -> Answer {
    Answer::to(who.request(Method::PATCH, path).json(body)).await
}

async fn verb(who: &Operator, rollout: &Value, verb: &str) -> Answer {
    let path = format!("/v1/rollouts/{}/{verb}", rollout["rollout_id"]);
    Answer::to(who.request(Method::POST, &path)).await
}

/// A server that released its first build to everybody, who released it, and the numbers of the first and second build.
async fn with_a_base(engine: Engine) -> (TestServer, Operator, i64, i64) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let first = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let second = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(first, 100).await.ok();
    (server, olga, first, second)
}

async fn a_canary_by_tag_then_a_region_then_everyone(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let ours = server.device("ours-1").await;
    let (north, south, till) = (
        server.device("north-1").await,
        server.device("south-1").await,
        server.device("till-1").await,
    );
    for (tag, device) in [("canary", "ours-1"), ("till", "till-1")] {
        let path = format!("/v1/tags/{tag}/devices");
        olga.post(&path, &json!({ "add": [device] })).await.ok();
    }
    let hold = json!({ "tag": "till", "hold": true, "remark": "not before Monday" });
    assert_eq!(olga.post("/v1/policies", &hold).await.status, 201);

    let canary = json!({
        "build_id": second, "name": "our own phones", "priority": 200, "rollout_percent": 100,
        "audience": r#""canary" in tags"#,
    });
    let canary = create(&olga, &canary).await;
    assert_eq!(ours.poll(1).await.build(), Some(second));
    assert_eq!(ours.poll(2).await.why_not(), "already_current");
    for stranger in [&north, &south] {
        assert_eq!(
            stranger.poll(1).await.why_not(),
            "already_current",
            "the base's reason"
        );
        assert_eq!(stranger.poll(2).await.why_not(), "newer_installed");
    }

    let region = json!({
        "build_id": second, "name": "the north", "priority": 100, "rollout_percent": 100,
        "audience": r#"region == "north" && sdk >= 33"#,
    });
    let region = create(&olga, &region).await;
    let in_north = "&region=north&sdk=34";
    assert_eq!(north.poll_as(PACKAGE, 1, in_north).await.build(), Some(second));
    let too_old = north.poll_as(PACKAGE, 1, "&region=north&sdk=30").await;
    assert_eq!(too_old.why_not(), "already_current");
    let unknown = north.poll_as(PACKAGE, 1, "&region=north").await;
    assert_eq!(
        unknown.why_not(),
        "already_current",
        "it is not certain that it is in the audience"
    );
    assert_eq!(
        south.poll_as(PACKAGE, 1, "&region=south&sdk=34").await.why_not(),
        "already_current"
    );
    let moved = south.poll_as(PACKAGE, 1, in_north).await;
    assert_eq!(
        moved.build(),
        Some(second),
        "who comes to the north is judged anew"
    );
    assert_eq!(
        till.poll_as(PACKAGE, 1, in_north).await.why_not(),
        "paused",
        "an older agent's word for a hold"
    );
    let late = server.device("late-1").await;
    assert_eq!(late.poll_as(PACKAGE, 0, in_north).await.build(), Some(second));

    let explained = olga.explain("south-1", PACKAGE, 1).await.ok();
    let asked: Vec<_> = explained["rules"].as_array().unwrap().iter().collect();
    assert!(
        asked
            .iter()
            .any(|rule| rule["rollout_id"] == canary["rollout_id"] && rule["passed"] == false)
    );

    let path = format!("/v1/rollouts/board?package_name={PACKAGE}");
    let expected = json!([["our own phones", 1], ["the north", 3], ["", 1]]);
    let told = |answer: &Answer| {
        let rows = answer.json()["rows"].as_array().unwrap().clone();
        Value::from_iter(
            rows.iter()
                .map(|row| json!([row["rollout"]["name"], row["devices"]])),
        )
    };
    // What the last polls said is kept a moment later.
    let board = eventually(|| olga.get(&path), |answer| told(answer) == expected)
        .await
        .json();
    assert_eq!(
        (&board["devices"], &board["untaken_devices"], &board["estimated"]),
        (&json!(5), &json!(0), &json!(false))
    );

    let promoted = olga.promote(second, 100).await.ok();
    let going_on: Vec<_> = promoted["going_on"].as_array().unwrap().iter().collect();
    assert_eq!(
        going_on
            .iter()
            .map(|rollout| &rollout["name"])
            .collect::<Vec<_>>(),
        ["our own phones", "the north"],
        "in the order in which they are asked"
    );
    let everyone = south.poll_as(PACKAGE, 1, "&region=south").await;
    assert_eq!(everyone.build(), Some(second));
    assert_eq!(
        till.poll_as(PACKAGE, 1, "&protocol=2").await.why_not(),
        "held_by_policy"
    );

    let used = Answer::to(olga.request(Method::DELETE, "/v1/tags/canary")).await;
    used.refused(409, "tag_in_use");
    for rollout in [&canary, &region] {
        assert_eq!(verb(&olga, rollout, "cancel").await.ok()["state"], "canceled");
    }
    Answer::to(olga.request(Method::DELETE, "/v1/tags/canary"))
        .await
        .ok();
    assert_eq!(ours.poll(1).await.build(), Some(second), "the base has it now");
    let actions = ["ota.rollout.create", "ota.rollout.cancel"];
    for action in actions {
        assert_eq!(
            olga.audit(&format!("?action={action}")).await.len(),
            2,
            "{action}"
        );
    }
    assert!(olga.audit_is_intact().await);
}

async fn each_rollout_is_changed_and_ended_by_its_number(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let device = server.device("pixel-1").await;
    let above = json!({ "build_id": second, "priority": 1, "rollout_percent": 100 });
    let one = create(&olga, &above).await;
    assert_eq!(create(&olga, &above).await, one, "the same again makes none");
    let name = json!({ "build_id": second, "priority": 1, "rollout_percent": 100, "name": "another" });
    let two = create(&olga, &name).await;
    assert_ne!(two["rollout_id"], one["rollout_id"]);

    let refused = olga.resume(second).await;
    refused.refused(409, "several_serving");
    olga.pause(second).await.ok();
    assert_eq!(device.poll(1).await.why_not(), "paused");
    assert_eq!(verb(&olga, &one, "resume").await.ok()["state"], "active");
    assert_eq!(verb(&olga, &two, "resume").await.ok()["state"], "active");
    assert_eq!(device.poll(1).await.build(), Some(second));
    assert_eq!(verb(&olga, &two, "halt").await.ok()["state"], "halted");
    assert_eq!(
        device.poll(1).await.why_not(),
        "halted",
        "the newer one is asked first"
    );
    assert_eq!(verb(&olga, &two, "roll-back").await.ok()["state"], "rolled_back");
    verb(&olga, &two, "pause").await.refused(409, "rollout_ended");
    assert_eq!(device.poll(1).await.build(), Some(second));
    assert_eq!(verb(&olga, &one, "complete").await.ok()["state"], "completed");

    let shown = olga.get("/v1/rollouts?state=completed").await.ok();
    assert_eq!(shown["items"][0]["rollout_id"], one["rollout_id"]);
    let forced = format!("/v1/rollouts/{}/roll-back", one["rollout_id"]);
    let taken_back = olga.post(&forced, &json!({ "force_downgrade": true })).await.ok();
    assert_eq!(taken_back["state"], "rolled_back");
    let manifest = device.poll(2).await.manifest.unwrap();
    assert_eq!(
        (&manifest["version_code"], &manifest["force_downgrade"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(device.poll(1).await.why_not(), "already_current");
    olga.get("/v1/rollouts/999").await.refused(404, "not_found");
    let unknown = json!({ "rollout_id": 999 });
    verb(&olga, &unknown, "cancel").await.refused(404, "not_found");
}

async fn terms_change_under_the_revision_that_was_seen(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let device = server.device("pixel-1").await;
    let above = json!({ "build_id": second, "priority": 5, "rollout_percent": 100, "audience": "sdk >= 40" });
    let made = create(&olga, &above).await;
    assert_eq!(
        (&made["revision"], &made["audience"]["expression"]),
        (&json!(1), &json!("sdk >= 40"))
    );
    let path = format!("/v1/rollouts/{}", made["rollout_id"]);
    let wider = json!({ "revision": 1, "audience": "sdk >= 30", "name": "wider", "wifi_only": true });
    let edited = patch(&olga, &path, &wider).await.ok();
    assert_eq!(
        (&edited["revision"], &edited["name"], &edited["rollout_percent"]),
        (&json!(2), &json!("wider"), &json!(100)),
        "what is left out stays"
    );
    assert_eq!(device.poll_as(PACKAGE, 1, "&sdk=34").await.build(), Some(second));
    assert_eq!(
        patch(&olga, &path, &wider).await.ok(),
        edited,
        "a repeated request finds what it asked for"
    );
    let stale = patch(&olga, &path, &json!({ "revision": 1, "rollout_percent": 10 })).await;
    stale.refused(409, "revision_mismatch");
    patch(&olga, &path, &json!({ "revision": 2, "priority": 0 }))
        .await
        .invalid("priority");
    patch(
        &olga,
        &path,
        &json!({ "revision": 2, "slice": { "start": "auto" } }),
    )
    .await
    .invalid("slice.start");
    patch(&olga, &path, &json!({ "rollout_percent": 5 }))
        .await
        .invalid("revision");
    let everybody = patch(&olga, &path, &json!({ "revision": 2, "audience": {} }))
        .await
        .ok();
    assert_eq!(everybody["audience"], Value::Null);
    assert_eq!(olga.get(&path).await.ok(), everybody);
}

/// The devices of a fleet of a thousand that a rollout takes.
fn taken(rollout: &Value) -> Vec<u32> {
    let start = rollout["slice"]["start"].as_f64().unwrap_or(0.0) * 1e6;
    let width = rollout["slice"]["width_percent"].as_f64().unwrap_or(100.0) * 1e6;
    let share = width * rollout["rollout_percent"].as_f64().unwrap() / 100.0;
    let place = |n: &u32| f64::from(Position::of(&format!("device-{n}"), None).get());
    (0..1_000)
        .filter(|n| (place(n) - start).rem_euclid(1e8) < share)
        .collect()
}

async fn canaries_that_begin_by_themselves_meet_different_devices(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let mut met: Vec<u32> = vec![];
    for n in 1..=10 {
        let canary = json!({
            "build_id": second, "priority": n, "rollout_percent": 10, "slice": { "start": "auto" },
        });
        let made = create(&olga, &canary).await;
        let start = made["slice"]["start"].as_f64().unwrap_or(0.0);
        assert!((start - f64::from(10 * (n - 1))).abs() < 1e-9, "{made}");
        let devices = taken(&made);
        assert!((60..140).contains(&devices.len()), "{}", devices.len());
        assert!(devices.iter().all(|device| !met.contains(device)));
        let first = server.device(&format!("device-{}", devices[0])).await;
        let manifest = first.poll(1).await.manifest.unwrap();
        assert_eq!(manifest["rollout_id"], made["rollout_id"]);
        assert_eq!(
            manifest["staged_rollout_percent"],
            if n == 1 { 10 } else { 100 },
            "an older agent can't judge by a slice"
        );
        met.extend(devices);
    }
    assert_eq!(met.len(), 1_000, "after ten of them everybody had a turn");
    let promoted = json!({ "rollout_percent": 25, "slice": { "start": 90, "width_percent": 50 } });
    olga.promote_as(second, &promoted).await.ok();
    let current = olga.get("/v1/rollouts?page_size=1").await.ok()["items"][0].clone();
    assert_eq!(current["slice"], json!({ "start": 90.0, "width_percent": 50.0 }));
    assert_eq!(current["is_current"], true);
}

async fn a_share_may_be_half_a_percent(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let answer = olga
        .promote_as(second, &json!({ "rollout_percent": 0.5 }))
        .await
        .ok();
    assert_eq!(
        (&answer["rollout_percent"], &answer["staged_rollout_percent"]),
        (&json!(0.5), &json!(1))
    );
    let place = |id: &String| Position::of(id, None).get();
    let mut ids = (0..).map(|n| format!("phone-{n}"));
    let inside = ids.find(|id| place(id) < 500_000).unwrap();
    let outside = ids.find(|id| (500_000..1_000_000).contains(&place(id))).unwrap();
    let (inside, outside) = (server.device(&inside).await, server.device(&outside).await);
    assert_eq!(inside.poll(1).await.build(), Some(second));
    assert_eq!(outside.poll(1).await.why_not(), "not_in_cohort");
    let adjusted = olga
        .post(
            &format!("/v1/apk/{second}/rollout"),
            &json!({ "rollout_percent": 0.75 }),
        )
        .await
        .ok();
    assert_eq!(
        (&adjusted["old_percent"], &adjusted["new_percent"]),
        (&json!(0.5), &json!(0.75))
    );
    assert_eq!(olga.build(second).await.ok()["staged_rollout_percent"], 1);
}

async fn a_package_may_have_canaries_before_it_has_a_base(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let canary = json!({ "build_id": build, "priority": 1, "rollout_percent": 100, "audience": "sdk >= 33" });
    let canary = create(&olga, &canary).await;
    assert_eq!(canary["is_current"], false);
    let (new, old) = (server.device("new-1").await, server.device("old-1").await);
    assert_eq!(new.poll_as(PACKAGE, 0, "&sdk=34").await.build(), Some(build));
    assert_eq!(
        old.poll_as(PACKAGE, 0, "&sdk=30").await.why_not(),
        "not_in_audience"
    );
    let told = |answer: &Answer| answer.json()["items"].as_array().map_or(0, Vec::len);
    for (word, device) in [("offered", "new-1"), ("not_in_audience", "old-1")] {
        let path = format!("?package_name={PACKAGE}&told={word}");
        let listed = eventually(|| olga.devices(&path), |answer| told(answer) == 1).await;
        assert_eq!(listed.json()["items"][0]["device_id"], device);
    }
    let path = format!("/v1/apk/{build}/deployment-stats");
    let of_rollout = || olga.get(&path);
    let counted = eventually(of_rollout, |answer| answer.json()["total_eligible"] == 1)
        .await
        .json();
    assert_eq!(
        (&counted["total_checks"], &counted["rollouts"][0]["rollout_id"]),
        (&json!(2), &canary["rollout_id"])
    );
    olga.roll_back(PACKAGE, false)
        .await
        .refused(409, "no_current_build");
}

async fn what_is_wrong_with_a_rollout_is_refused_by_name(engine: Engine) {
    let (_server, olga, _, second) = with_a_base(engine).await;
    let before = olga.everything().await;
    let with = |field: &str, value: Value| {
        let mut rollout = json!({ "build_id": second, "priority": 1, "rollout_percent": 10 });
        rollout[field] = value;
        rollout
    };
    for (field, value, named) in [
        ("rollout_percent", json!(0), "rollout_percent"),
        ("rollout_percent", json!(100.01), "rollout_percent"),
        ("priority", json!(-1), "priority"),
        ("priority", json!(1_000_001), "priority"),
        ("name", json!("x".repeat(201)), "name"),
        ("name", json!("a\u{200b}b"), "name"),
        ("slice", json!({ "start": 100 }), "slice.start"),
        (
            "slice",
            json!({ "start": 0, "width_percent": 0 }),
            "slice.width_percent",
        ),
        ("keep_previous", json!(true), "keep_previous"),
        ("audience", json!("regoin == \"north\""), "audience"),
        ("salt", json!(""), "salt"),
    ] {
        olga.post("/v1/rollouts", &with(field, value))
            .await
            .invalid(named);
    }
    for slice in [json!({ "start": "soon" }), json!({ "begin": 1 }), json!({})] {
        let answer = olga.post("/v1/rollouts", &with("slice", slice)).await;
        assert_eq!(answer.status, 400, "{}", answer.json());
    }
    let unknown = json!({ "build_id": 999, "priority": 1, "rollout_percent": 10 });
    olga.post("/v1/rollouts", &unknown)
        .await
        .refused(404, "not_found");
    assert_eq!(olga.everything().await, before);
}

async fn a_build_is_made_a_barrier_and_devices_take_it_first(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let third = olga.uploaded(&apks::build(PACKAGE, 3)).await;
    let device = server.device("pixel-1").await;
    olga.promote(third, 100).await.ok();
    assert_eq!(device.poll(1).await.build(), Some(third));
    let path = format!("/v1/apk/{second}");
    assert_eq!(
        patch(&olga, &path, &json!({ "barrier": true })).await.ok()["barrier"],
        true
    );
    let manifest = device.poll(1).await.manifest.unwrap();
    assert_eq!(manifest["build_id"], second);
    assert_eq!(device.download(&manifest, None).await.status, 200);
    device.report(second, "install_success").await.ok();
    assert_eq!(device.poll(2).await.build(), Some(third));
    assert_eq!(
        device.poll(0).await.build(),
        Some(third),
        "without the package any build will do"
    );

    let from = json!({ "min_from_version": 2, "notes": "Comes from 2 only." });
    let edited = patch(&olga, &format!("/v1/apk/{third}"), &from).await.ok();
    assert_eq!(
        (&edited["min_from_version"], &edited["release_notes"]),
        (&json!(2), &json!("Comes from 2 only."))
    );
    patch(&olga, &path, &json!({ "barrier": false })).await.ok();
    assert_eq!(device.poll(1).await.why_not(), "needs_intermediate");
    patch(
        &olga,
        &format!("/v1/apk/{third}"),
        &json!({ "min_from_version": 3 }),
    )
    .await
    .invalid("min_from_version");
    let any = json!({ "min_from_version": 0 });
    let edited = patch(&olga, &format!("/v1/apk/{third}"), &any).await.ok();
    assert_eq!(edited["min_from_version"], Value::Null);
    assert_eq!(device.poll(1).await.build(), Some(third));
    let viewer = server.operator(Role::Viewer);
    patch(&viewer, &path, &json!({ "barrier": true }))
        .await
        .refused(403, "role_too_low");
}

async fn the_same_by_grpc(engine: Engine) {
    let (server, olga, _, second) = with_a_base(engine).await;
    let token = olga.token().to_owned();
    let mut grpc =
        RolloutServiceClient::with_interceptor(server.channel().await, move |mut request: Request<()>| {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
            Ok(request)
        });
    let request = v1::CreateRolloutRequest {
        build_id: second,
        name: "by wire".to_owned(),
        priority: 7,
        rollout_percent: 12.5,
        slice: Some(v1::Slice {
            auto_start: true,
            ..v1::Slice::default()
        }),
        ..v1::CreateRolloutRequest::default()
    };
    let made = grpc.create_rollout(request).await.unwrap().into_inner();
    let path = format!("/v1/rollouts/{}", made.rollout_id);
    assert_eq!(serde_json::to_value(&made).unwrap(), olga.get(&path).await.ok());
    assert_eq!((made.rollout_percent, made.whole_percent), (12.5, 13));
    let edit = v1::EditRolloutRequest {
        rollout_id: made.rollout_id,
        revision: 9,
        rollout_percent: Some(50.0),
        ..v1::EditRolloutRequest::default()
    };
    let stale = grpc.edit_rollout(edit.clone()).await.unwrap_err();
    assert_eq!(stale.code(), Code::FailedPrecondition, "{stale:?}");
    let edit = v1::EditRolloutRequest { revision: 1, ..edit };
    let edited = grpc.edit_rollout(edit).await.unwrap().into_inner();
    assert_eq!((edited.revision, edited.rollout_percent), (2, 50.0));
    let pause = v1::PauseRolloutRequest {
        build_id: 0,
        rollout_id: made.rollout_id,
    };
    let paused = grpc.pause_rollout(pause).await.unwrap().into_inner();
    assert_eq!((paused.build_id, paused.state.as_str()), (second, "paused"));
    let cancel = v1::CancelRolloutRequest {
        rollout_id: made.rollout_id,
    };
    assert_eq!(
        grpc.cancel_rollout(cancel).await.unwrap().into_inner().state,
        "canceled"
    );
}

#[tokio::test]
async fn a_rollout_of_one_server_is_asked_by_the_other() {
    let (first, olga, _, second_build) = with_a_base(Engine::Postgres).await;
    let second = first.replica().await;
    let here = first.device("ours-1").await;
    let there = here.at(&second.url(""));
    olga.post("/v1/tags/canary/devices", &json!({ "add": ["ours-1"] }))
        .await
        .ok();
    let canary = json!({
        "build_id": second_build, "priority": 1, "rollout_percent": 100, "audience": r#""canary" in tags"#,
    });
    let canary = create(&olga, &canary).await;
    eventually(|| there.poll(1), |polled| polled.build() == Some(second_build)).await;
    olga.post("/v1/tags/canary/devices", &json!({ "remove": ["ours-1"] }))
        .await
        .ok();
    eventually(|| there.poll(1), |polled| polled.build().is_none()).await;
    olga.post("/v1/tags/canary/devices", &json!({ "add": ["ours-1"] }))
        .await
        .ok();
    eventually(|| there.poll(1), |polled| polled.build() == Some(second_build)).await;
    verb(&olga, &canary, "cancel").await.ok();
    eventually(|| there.poll(1), |polled| polled.build().is_none()).await;
}
