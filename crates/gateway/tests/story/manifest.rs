//! What a poll is answered with.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate_domain::{Role, SignerFingerprint};
use tidegate_testkit::agent::download_url;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, TestServer};

on_both_engines!(
    a_manifest_is_complete,
    the_next_poll_is_in_six_hours_give_or_take_a_fifth,
    a_poll_must_say_who_and_what,
);

async fn a_manifest_is_complete(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let apk = apks::large(PACKAGE, 7, 1234);
    let form = reqwest::multipart::Form::new()
        .text("notes", "Fixes the tides.")
        .part("file", reqwest::multipart::Part::bytes(apk.clone()));
    let taken = olga.upload_form(form).await.ok();
    let build = taken["build_id"].as_i64().unwrap();
    let settings = json!({ "rollout_percent": 100, "wifi_only": true, "must_install": true });
    olga.promote_as(build, &settings).await.ok();
    let polled = server.device("pixel-1").await.poll(3).await;
    let mut manifest = polled.manifest.unwrap();

    let url = download_url(&manifest).to_owned();
    assert!(
        url.starts_with(&server.url(&format!("/v1/apk/{build}/download?"))),
        "{url}"
    );
    let rollout = olga.build(build).await.ok()["rollout_id"].clone();
    manifest.as_object_mut().unwrap().remove("download_url");
    let offer = manifest.as_object_mut().unwrap().remove("offer").unwrap();
    assert_eq!(offer.as_str().unwrap().len(), 43, "{offer}");
    let at_rollout = format!("&rollout_id={rollout}&");
    assert!(url.contains(&at_rollout), "{url}");
    assert_eq!(
        manifest,
        json!({
            "build_id": build, "version_code": 7, "version_name": "1.7", "package_name": PACKAGE,
            "sha256": taken["sha256"],
            "signer_fingerprint": SignerFingerprint(apks::key().fingerprint()).to_string(),
            "file_size": apk.len(), "wifi_only": true, "must_install": true, "staged_rollout_percent": 100,
            "release_notes": "Fixes the tides.", "force_downgrade": false, "rollout_id": rollout, "attempt": 1,
            "min_sdk": taken["min_sdk"], "poll_after_s": polled.poll_after, "protocol": 2, "retry_granted_at": null,
        })
    );
}

async fn the_next_poll_is_in_six_hours_give_or_take_a_fifth(engine: Engine) {
    let server = TestServer::start(engine).await;
    let olga = server.person("olga", Role::Operator);
    let build = olga.uploaded(&apks::build(PACKAGE, 2)).await;
    olga.promote(build, 50).await.ok();
    let devices = crate::fleet::enroll(&server, 100, 1).await;
    let mut intervals = BTreeSet::new();
    for (device, polled) in crate::fleet::poll(&devices, 1).await {
        assert!(
            (17_280..=25_920).contains(&polled.poll_after),
            "{} {}",
            device.id,
            polled.poll_after
        );
        assert_eq!(
            device.enrollment["poll_after_s"], polled.poll_after,
            "drawn from the id, so always the same"
        );
        if let Some(manifest) = &polled.manifest {
            assert_eq!(manifest["poll_after_s"], polled.poll_after);
        }
        intervals.insert(polled.poll_after);
    }
    assert!(
        intervals.len() > 90,
        "a fleet must not synchronise: {}",
        intervals.len()
    );
    let early = intervals.iter().filter(|interval| **interval < 21_600).count();
    assert!((25..75).contains(&early), "{early} of 100 before six hours");
}

async fn a_poll_must_say_who_and_what(engine: Engine) {
    let server = TestServer::start(engine).await;
    let device = server.device("pixel-1").await;
    let bad = [
        ("device_id", "current_version_code=1&package_name=com.example.app"),
        ("package_name", "device_id=pixel-1&current_version_code=1"),
        (
            "package_name",
            "device_id=pixel-1&current_version_code=1&package_name=not%20a%20package",
        ),
        (
            "current_version_code",
            "device_id=pixel-1&package_name=com.example.app",
        ),
        (
            "current_version_code",
            "device_id=pixel-1&package_name=com.example.app&current_version_code=-1",
        ),
        (
            "current_version_code",
            "device_id=pixel-1&package_name=com.example.app&current_version_code=one",
        ),
        (
            "sdk",
            "device_id=pixel-1&package_name=com.example.app&current_version_code=1&sdk=S",
        ),
    ];
    for (field, query) in bad {
        let request = device.request(reqwest::Method::GET, &format!("/v1/agent/update?{query}"));
        let problem: Value = tidegate_testkit::answer::Answer::to(request).await.invalid(field);
        assert!(
            problem["detail"].as_str().unwrap().starts_with(field),
            "{problem}"
        );
    }
    // Agents in the field may send more than is known here.
    assert_eq!(
        device.poll_as(PACKAGE, 1, "&battery=80").await.why_not(),
        "no_current_build"
    );
}
