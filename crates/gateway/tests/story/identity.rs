//! Rollouts have an identity: devices prove whose offer they act on, and what they say counts for that rollout.

use serde_json::{Value, json};
use tidegate_domain::Role;
use tidegate_testkit::agent::download_url;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};

on_both_engines!(
    two_rollouts_of_one_build_are_told_apart,
    what_an_agent_proves_counts_before_what_was_offered_last,
    a_superseded_build_tells_of_its_last_rollout,
    a_forged_or_borrowed_offer_counts_for_nothing,
    an_attempt_that_nobody_released_blocks_nothing,
    a_forced_roll_back_concerns_exactly_the_version_that_is_taken_back,
    a_phone_that_starts_anew_forgets_and_an_operator_can_forgive,
    what_the_last_poll_said_is_what_is_judged,
    a_file_counts_for_the_rollout_that_its_url_names,
    a_version_code_of_zero_is_refused_in_plain_words,
);

/// A build with two rollouts: to the north, and after it to the south.
async fn north_and_south(server: &TestServer) -> (Operator, i64) {
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    for region in ["north", "south"] {
        let to =
            json!({ "rollout_percent": 100, "keep_previous": true, "audience": { "regions": [region] } });
        olga.promote_as(build, &to).await.ok();
    }
    (olga, build)
}

async fn two_rollouts_of_one_build_are_told_apart(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, build) = north_and_south(&server).await;
    for region in ["north", "south"] {
        let device = server.device(region).await;
        let polled = device.poll_as(PACKAGE, 1, &format!("&region={region}")).await;
        let manifest = polled.manifest.unwrap();
        device.report_as(&echo(&manifest, "install_success")).await.ok();
    }
    let stats = eventually(|| olga.stats(build), |stats| stats["total_checks"] == 2).await;
    assert_eq!(
        (&stats["total_eligible"], &stats["installs_success"]),
        (&json!(2), &json!(2))
    );
    assert!(stats["last_updated"].is_string(), "{stats}");
    let rollouts = stats["rollouts"].as_array().unwrap();
    assert_eq!(rollouts.len(), 2, "{stats}");
    for rollout in rollouts {
        assert_eq!(
            (&rollout["total_eligible"], &rollout["installs_success"]),
            (&json!(1), &json!(1))
        );
    }

    let refused = olga.adjust(build, 50).await;
    let problem = refused.refused(409, "several_serving");
    for rollout in rollouts {
        let number = rollout["rollout_id"].to_string();
        assert!(problem["detail"].as_str().unwrap().contains(&number), "{problem}");
    }
    olga.pause(build).await.ok();
    for region in ["north", "south"] {
        let device = server.device(&format!("late-{region}")).await;
        let polled = device.poll_as(PACKAGE, 1, &format!("&region={region}")).await;
        assert_eq!(polled.why_not(), "paused", "{region}");
    }
}

/// Two devices end up in the south before they report; one of them repeats the offer of the north that it acted on.
async fn what_an_agent_proves_counts_before_what_was_offered_last(engine: Engine) {
    let server = TestServer::start(engine).await;
    let (olga, build) = north_and_south(&server).await;
    let mut offers = vec![];
    let (old, new) = (server.device("old").await, server.device("new").await);
    let polls = [
        (&old, "south"),
        (&old, "north"),
        (&old, "south"),
        (&new, "north"),
        (&new, "south"),
    ];
    for (device, region) in polls {
        let polled = device.poll_as(PACKAGE, 1, &format!("&region={region}")).await;
        offers.push(polled.manifest.unwrap());
    }
    old.report(build, "install_failed").await.ok();
    new.report_as(&echo(&offers[3], "install_success")).await.ok();

    let stats = olga.stats(build).await;
    let counted = |rollout: &Value, of: &Value| {
        assert_eq!(rollout["rollout_id"], of["rollout_id"], "{stats}");
        ["total_eligible", "installs_failed", "installs_success"].map(|count| rollout[count].as_i64())
    };
    let rollouts = &stats["rollouts"];
    assert_eq!(counted(&rollouts[0], &offers[0]), [Some(2), Some(1), Some(0)]);
    assert_eq!(counted(&rollouts[1], &offers[1]), [Some(2), Some(0), Some(1)]);
    assert_eq!(
        (&stats["total_eligible"], &stats["adoption_rate"]),
        (&json!(2), &json!(50.0))
    );
}

async fn a_superseded_build_tells_of_its_last_rollout(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let old = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let new = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    let never_released = olga.build(old).await.ok();
    let settings = json!({ "rollout_percent": 40, "wifi_only": true, "must_install": true });
    olga.promote_as(old, &settings).await.ok();
    let pete = server.person("pete", Role::Operator);
    pete.promote(new, 100).await.ok();

    let build = olga.build(old).await.ok();
    assert_eq!(
        (&build["is_current"], &build["promoted_by"]),
        (&json!(false), &json!("olga"))
    );
    assert!(build["promoted_at"].is_string(), "{build}");
    let shown = |build: &Value| {
        ["staged_rollout_percent", "wifi_only", "must_install"].map(|setting| build[setting].clone())
    };
    assert_eq!(shown(&build), [json!(40), json!(true), json!(true)]);
    assert_eq!(shown(&never_released), [json!(null), json!(null), json!(null)]);
}

/// A report on a manifest, with all that it hands out for it.
fn echo(manifest: &Value, status: &str) -> Value {
    json!({
        "build_id": manifest["build_id"], "status": status, "attempt": manifest["attempt"],
        "rollout_id": manifest["rollout_id"], "offer": manifest["offer"],
    })
}

async fn a_forged_or_borrowed_offer_counts_for_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let honest = server.device("honest").await;
    let manifest = honest.poll(1).await.manifest.unwrap();
    let before = eventually(|| olga.stats(build), |stats| stats["total_checks"] == 1).await;

    let thief = server.device("thief").await;
    let mut forged = echo(&manifest, "install_success");
    forged["offer"] = json!("A".repeat(43));
    for claim in [
        echo(&manifest, "install_success"),
        forged,
        json!({ "build_id": build, "status": "install_success" }),
    ] {
        thief.report_as(&claim).await.refused(409, "not_offered");
    }
    assert_eq!(olga.stats(build).await, before);
    assert_eq!(olga.device("thief").await.ok()["installed"], json!([]));
    honest.report_as(&echo(&manifest, "install_success")).await.ok();
    assert_eq!(olga.stats(build).await["installs_success"], 1);
}

async fn an_attempt_that_nobody_released_blocks_nothing(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    device.poll(1).await;
    let for_ever = json!({
        "build_id": build, "status": "install_failed", "android_status": 5, "attempt": 4_294_967_295_u32,
    });
    device.report_as(&for_ever).await.invalid("attempt");
    assert_eq!(device.poll(1).await.build(), Some(build));
}

async fn a_forced_roll_back_concerns_exactly_the_version_that_is_taken_back(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let good = olga.uploaded(&apks::build(PACKAGE, 1)).await;
    let bad = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.uploaded(&apks::build(PACKAGE, 3)).await;
    olga.promote(good, 50).await.ok();
    olga.promote(bad, 100).await.ok();
    // Its cohort is 89: outside of the share that the good build had.
    let device = server.device("dev-001").await;
    assert_eq!(device.poll(1).await.build(), Some(bad));
    olga.roll_back(PACKAGE, true).await.ok();

    let manifest = device.poll(2).await.manifest.unwrap();
    assert_eq!(
        (
            &manifest["build_id"],
            &manifest["force_downgrade"],
            &manifest["staged_rollout_percent"]
        ),
        (&json!(good), &json!(true), &json!(100))
    );
    assert_eq!(device.poll(3).await.why_not(), "not_in_cohort");
    assert_eq!(device.poll(0).await.why_not(), "not_in_cohort");
    // Inside of the share, a device without it is offered the good build as before.
    let inside = server.device("abc123").await;
    let manifest = inside.poll(0).await.manifest.unwrap();
    assert_eq!(
        (&manifest["build_id"], &manifest["force_downgrade"]),
        (&json!(good), &json!(false))
    );
}

async fn a_phone_that_starts_anew_forgets_and_an_operator_can_forgive(engine: Engine) {
    let server = TestServer::start(engine).await;
    let ada = server.person("ada", Role::Admin);
    let build = ada.uploaded(&apks::build(PACKAGE, 2)).await;
    ada.promote(build, 100).await.ok();
    let first = ada.enroll_token(1).await;
    let phone = server.enroll(&first, "pixel-1").await;
    let conflict = json!({ "build_id": build, "status": "install_failed", "android_status": 5 });
    phone.poll(1).await;
    phone.report_as(&conflict).await.ok();
    assert_eq!(phone.poll(1).await.why_not(), "rejected_by_device");

    let second = ada
        .enroll_token_as(&json!({ "uses": 1, "allow_known": true }))
        .await;
    let wiped = server.enroll(&second, "pixel-1").await;
    let manifest = wiped.poll(1).await.manifest.unwrap();
    assert_eq!(manifest["retry_granted_at"], json!(null));

    let again = |try_id: &str| {
        let mut report = conflict.clone();
        report["request_id"] = json!(try_id);
        report
    };
    wiped.report_as(&again("2")).await.ok();
    assert_eq!(wiped.poll(1).await.why_not(), "rejected_by_device");
    let path = "/v1/devices/pixel-1/retry";
    let vera = server.person("vera", Role::Viewer);
    vera.post(path, &json!({})).await.refused(403, "role_too_low");
    let answer = ada.post(path, &json!({})).await.ok();
    assert_eq!(
        answer,
        json!({ "success": true, "device_id": "pixel-1", "builds": 1 })
    );
    let manifest = wiped.poll(1).await.manifest.unwrap();
    assert!(manifest["retry_granted_at"].is_string(), "{manifest}");
    assert_eq!(ada.post(path, &json!({})).await.ok()["builds"], 0);
    let log = ada.audit("?action=device.retry").await;
    assert_eq!(log.len(), 1, "{log:?}");

    wiped.report_as(&again("3")).await.ok();
    assert_eq!(wiped.poll(1).await.why_not(), "rejected_by_device");
}

async fn what_the_last_poll_said_is_what_is_judged(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Admin);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let token = olga.enroll_token(1).await;
    let request =
        json!({ "enrollment_token": token, "device_id": "pixel-1", "sdk": 21, "manufacturer": "Example" });
    let device = server.enroll_as(&request).await.unwrap();
    let explained = || async { olga.explain("pixel-1", PACKAGE, 1).await.ok() };
    assert_eq!(explained().await["reason"], "incompatible_sdk");

    let more =
        "&sdk=34&android=14&zone=Europe%2FBerlin&protocol=2&tags=till,lab&dense=1&crashes=3&abi=arm64-v8a";
    device.poll_as(PACKAGE, 1, more).await;
    let seen = |page: &Value| page["standings"] == json!([{ "package_name": PACKAGE, "told": "offered" }]);
    let page = eventually(|| async { olga.device("pixel-1").await.ok() }, seen).await;
    assert_eq!(explained().await["build_id"], build);
    assert_eq!(
        (
            &page["sdk"],
            &page["android_version"],
            &page["zone"],
            &page["protocol"]
        ),
        (&json!(34), &json!("14"), &json!("Europe/Berlin"), &json!(2))
    );
    assert_eq!(
        (&page["tags"], &page["abi"]),
        (&json!(["till", "lab"]), &json!("arm64-v8a"))
    );
    // Shown from the enrolment, though the last poll left it out.
    assert_eq!(page["manufacturer"], "Example");
    assert_eq!(page["rollouts"].as_array().unwrap().len(), 1, "{page}");

    device.poll_as(PACKAGE, 2, "").await;
    let gone = |page: &Value| page["standings"][0]["told"] == "already_current";
    eventually(|| async { olga.device("pixel-1").await.ok() }, gone).await;
    let rules = explained().await["rules"].clone();
    let sdk = rules
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["rule"] == "sdk")
        .unwrap();
    assert_eq!(sdk["inputs"]["sdk"], "not stated");
}

async fn a_file_counts_for_the_rollout_that_its_url_names(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 100).await.ok();
    let device = server.device("pixel-1").await;
    let manifest = device.poll(1).await.manifest.unwrap();
    let rollout = manifest["rollout_id"].as_i64().unwrap();

    let mut altered = manifest.clone();
    let named = format!("rollout_id={rollout}");
    altered["download_url"] =
        json!(download_url(&manifest).replace(&named, &format!("rollout_id={}", rollout + 1)));
    device.download(&altered, None).await.refused(403, "url_refused");
    assert_eq!(device.download(&manifest, None).await.status, 200);
    let stats = eventually(|| olga.stats(build), |stats| stats["total_downloads"] == 1).await;
    assert_eq!(
        (
            &stats["rollouts"][0]["rollout_id"],
            &stats["rollouts"][0]["total_downloads"]
        ),
        (&json!(rollout), &json!(1))
    );
}

async fn a_version_code_of_zero_is_refused_in_plain_words(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let problem = olga
        .upload(&apks::build(PACKAGE, 0))
        .await
        .refused(422, "version_code_zero");
    assert!(
        problem["detail"].as_str().unwrap().contains("version code 0"),
        "{problem}"
    );
}
