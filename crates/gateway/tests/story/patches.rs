//! Patches: a release that devices on several versions take without fetching the whole file.

use std::fs::File;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_delta::{Limits, Patch, unwatched};
use tidegate_domain::{BuildId, Role, VersionCode, WantedPatch};
use tidegate_proto::v1;
use tidegate_proto::v1::build_service_client::BuildServiceClient;
use tidegate_storage::Store;
use tidegate_testkit::agent::{Agent, download_url};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::operator::Operator;
use tidegate_testkit::server::{Engine, TestServer, eventually};
use tonic::Request;

on_both_engines!(
    devices_take_what_changed,
    a_patch_is_handed_out_like_a_file,
    what_devices_say_of_patches_is_counted_once,
    a_patch_goes_when_its_release_does,
    two_servers_make_a_patch_once,
    a_patch_whose_maker_was_lost_is_made_by_another,
);

/// An app of which most stays from version to version.
fn app(code: i64) -> Vec<u8> {
    let words: String = (0..4000)
        .map(|line| format!("line {} of it\n", line * 7919 % 4001))
        .collect();
    let apk = apks::release(PACKAGE, code)
        .padding(60_000)
        .file("assets/words.txt", words);
    apks::sign(apk.file("classes.dex", format!("the code of version {code}")))
}

/// A fleet on three versions of ours and a foreign one, and a build that is yet to be released.
struct Scene {
    server: TestServer,
    olga: Operator,
    /// Each with what it runs.
    devices: Vec<(Agent, i64)>,
    /// The files of versions 10, 20, 30 and 40; the last is new.
    files: Vec<Vec<u8>>,
    builds: Vec<i64>,
}

impl Scene {
    async fn start(engine: Engine) -> Self {
        Self::start_with(engine, |_| {}).await
    }

    async fn start_with(engine: Engine, change: impl FnOnce(&mut tidegate_gateway::Config)) -> Self {
        let server = TestServer::start_with(engine, change).await;
        let olga = server.person("olga", Role::Operator);
        let files: Vec<Vec<u8>> = [10, 20, 30, 40].map(app).into();
        let mut builds = Vec::new();
        for file in &files {
            builds.push(olga.uploaded(file).await);
        }
        olga.promote(builds[0], 100).await.ok();
        let mut devices = Vec::new();
        for (name, runs) in [("one", 10), ("two", 20), ("three", 30), ("foreign", 25)] {
            let device = server.device(name).await;
            device.poll(runs).await;
            devices.push((device, runs));
        }
        Self {
            server,
            olga,
            devices,
            files,
            builds,
        }
    }

    /// Offers the newest build to everybody.
    async fn release(&self) -> i64 {
        let newest = self.builds[3];
        self.olga.promote(newest, 100).await.ok();
        newest
    }

    /// The patches to the newest build.
    async fn patches(&self) -> Vec<Value> {
        let answer = self
            .olga
            .get(&format!("/v1/apk/{}/patches", self.builds[3]))
            .await;
        answer.ok()["patches"].as_array().cloned().unwrap_or_default()
    }

    /// The same, once so many are made.
    async fn made(&self, count: usize) -> Vec<Value> {
        let is_made = |patch: &&Value| patch["state"] == "made";
        eventually(
            || self.patches(),
            |patches| patches.iter().filter(is_made).count() == count,
        )
        .await
    }

    /// The manifest's patch, as it is told to a device that takes some.
    async fn offered(&self, device: usize) -> Value {
        let (agent, runs) = &self.devices[device];
        let polled = agent.poll_as(PACKAGE, *runs, "&patches=zstd,tgp1").await;
        polled.manifest.unwrap()
    }

    async fn fetch(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.server.http().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request).await
    }
}

fn url(manifest: &Value) -> &str {
    manifest["patch"]["url"].as_str().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn applied(base: &[u8], patch: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("base"), base).unwrap();
    std::fs::write(path("patch"), patch).unwrap();
    let patch = Patch::open(File::open(path("patch")).unwrap(), Limits::default()).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let (base, mut result) = (File::open(path("base")).unwrap(), Vec::new());
    patch
        .apply(&base, &mut scratch, &mut result, &mut unwatched)
        .unwrap();
    result
}

async fn devices_take_what_changed(engine: Engine) {
    let scene = Scene::start(engine).await;
    let build = scene.release().await;
    scene.made(3).await;
    let (mut bytes, mut full) = (0, 0);
    for device in 0..3 {
        let manifest = scene.offered(device).await;
        let patch = &manifest["patch"];
        let base = &scene.files[device];
        assert_eq!(manifest["build_id"], build);
        assert_eq!(patch["format"], "tgp1");
        assert_eq!(patch["from_version_code"], scene.devices[device].1);
        assert_eq!(patch["from_sha256"], hex(base));
        let fetched = scene.fetch(url(&manifest), &[]).await;
        assert_eq!(fetched.status, 200);
        assert_eq!(
            (&patch["size"], &patch["sha256"]),
            (&json!(fetched.body.len()), &json!(hex(&fetched.body)))
        );
        assert_eq!(applied(base, &fetched.body), scene.files[3]);
        bytes += fetched.body.len();
        full += scene.files[3].len();
    }
    assert!(bytes * 10 < full, "{bytes} of {full} bytes");

    let foreign = scene.offered(3).await;
    assert_eq!(foreign["patch"], Value::Null, "nobody knows its file");
    let (agent, runs) = &scene.devices[0];
    for formats in ["", "&patches=", "&patches=tgp2", "&patches=TGP1"] {
        let polled = agent.poll_as(PACKAGE, *runs, formats).await;
        let manifest = polled.manifest.unwrap();
        assert!(manifest.get("patch").is_none(), "{formats}");
    }
    let whole = scene.fetch(download_url(&foreign), &[]).await;
    assert_eq!(whole.body, scene.files[3], "the file is there as ever");
    let long = format!("&patches={}", "a".repeat(129));
    let refused = agent.ask(PACKAGE, *runs, &long).await;
    refused.refused(400, "invalid_argument");

    let mut client = BuildServiceClient::new(scene.server.channel().await);
    let mut request = Request::new(v1::GetBuildPatchesRequest { build_id: build });
    let token = format!("Bearer {}", scene.olga.token()).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let told = client.get_build_patches(request).await.unwrap().into_inner();
    assert_eq!(told.patches.len(), 3);
    assert!(
        told.patches
            .iter()
            .all(|patch| patch.state == "made" && patch.size.unwrap() > 0)
    );
    let unknown = scene.olga.get("/v1/apk/99/patches").await;
    assert_eq!(unknown.status, 404);
}

async fn a_patch_is_handed_out_like_a_file(engine: Engine) {
    let scene = Scene::start(engine).await;
    let build = scene.release().await;
    scene.made(3).await;
    let manifest = scene.offered(1).await;
    let whole = scene.fetch(url(&manifest), &[]).await;
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    let etag = whole.header("etag").to_owned();
    assert_eq!(
        etag,
        format!("\"{}\"", manifest["patch"]["sha256"].as_str().unwrap())
    );
    let part = scene
        .fetch(url(&manifest), &[("range", "bytes=10-"), ("if-range", &etag)])
        .await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[10..]));
    let file = format!("\"{}\"", manifest["sha256"].as_str().unwrap());
    let another = scene
        .fetch(url(&manifest), &[("range", "bytes=10-"), ("if-range", &file)])
        .await;
    assert_eq!(
        (another.status, another.body.len()),
        (200, whole.body.len()),
        "the file's is another's"
    );
    assert_eq!(
        scene
            .fetch(url(&manifest), &[("if-none-match", &etag)])
            .await
            .status,
        304
    );

    let others = url(&manifest).replace("device_id=two", "device_id=one");
    scene.fetch(&others, &[]).await.refused(403, "url_refused");
    let own = format!("Bearer {}", scene.devices[0].0.token);
    let refused = scene.fetch(url(&manifest), &[("authorization", &own)]).await;
    assert_eq!(refused.status, 403, "another device's token");
    let base = scene.builds[1];
    let wider = url(&manifest).replace(&format!("/patches/{base}?"), "/download?");
    scene.fetch(&wider, &[]).await.refused(403, "url_refused");
    let elsewhere = url(&manifest).replace(
        &format!("/patches/{base}?"),
        &format!("/patches/{}?", scene.builds[0]),
    );
    scene.fetch(&elsewhere, &[]).await.refused(403, "url_refused");
    let path = format!("/v1/apk/{build}/patches/{base}");
    assert_eq!(
        scene.olga.get(&path).await.body,
        whole.body,
        "people fetch with their token"
    );
    assert_eq!(scene.fetch(&scene.server.url(&path), &[]).await.status, 401);
    let none = scene.olga.get(&format!("/v1/apk/{build}/patches/{build}")).await;
    none.refused(404, "no_patch");
    assert_eq!(
        scene.olga.get(&format!("/v1/apk/{build}/patches/x")).await.status,
        404
    );
    scene.server.clock().advance(chrono::TimeDelta::hours(2));
    scene.fetch(url(&manifest), &[]).await.refused(403, "url_expired");
}

async fn what_devices_say_of_patches_is_counted_once(engine: Engine) {
    let scene = Scene::start(engine).await;
    let build = scene.release().await;
    scene.made(3).await;
    let report = |manifest: &Value, status: &str, patch: &str| {
        json!({
            "build_id": build, "status": status, "rollout_id": manifest["rollout_id"],
            "attempt": manifest["attempt"], "offer": manifest["offer"], "patch": patch,
        })
    };
    let first = scene.offered(0).await;
    let fetched = scene.fetch(url(&first), &[]).await.body.len();
    let agent = &scene.devices[0].0;
    for _ in 0..2 {
        agent
            .report_as(&report(&first, "downloaded", "applied"))
            .await
            .ok();
        agent
            .report_as(&report(&first, "install_success", "applied"))
            .await
            .ok();
    }
    let second = scene.offered(1).await;
    scene.fetch(download_url(&second), &[]).await;
    let agent = &scene.devices[1].0;
    agent
        .report_as(&report(&second, "downloaded", "base_differs"))
        .await
        .ok();
    let refused = agent.report_as(&report(&second, "downloaded", "eaten")).await;
    refused.refused(400, "invalid_argument");

    let answer = scene.olga.get(&format!("/v1/apk/{build}/patches")).await.json();
    let saved = scene.files[3].len() - fetched;
    let expected = json!([{
        "rollout_id": first["rollout_id"], "applied": 1, "base_differs": 1, "download_failed": 0,
        "damaged": 0, "no_space": 0, "apply_failed": 0, "full": 1, "saved_bytes": saved,
    }]);
    assert_eq!(answer["rollouts"], expected);
    let metrics = scene.server.operator(Role::Viewer).get("/metrics").await;
    let page = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "ota_patch{state=\"made\"} 3".to_owned(),
        "ota_patch_outcome_total{outcome=\"applied\"} 1".to_owned(),
        format!("ota_patch_saved_bytes_total {saved}"),
        "ota_patch_made_total 3".to_owned(),
    ] {
        assert!(page.lines().any(|told| told == line), "{line}");
    }
}

async fn a_patch_goes_when_its_release_does(engine: Engine) {
    let scene = Scene::start_with(engine, |config| {
        config.download_url_ttl = Duration::from_secs(2);
        config.patches.grace = Duration::from_secs(2);
    })
    .await;
    let build = scene.release().await;
    scene.made(3).await;
    assert_eq!(scene.server.files_in("artifacts/blobs").len(), 7);
    scene.olga.roll_back(PACKAGE, false).await.ok();
    eventually(|| scene.patches(), Vec::is_empty).await;
    eventually(
        async || scene.server.files_in("artifacts/blobs").len(),
        |files| *files == 4,
    )
    .await;
    let path = format!("/v1/apk/{build}/patches/{}", scene.builds[0]);
    scene.olga.get(&path).await.refused(404, "no_patch");
}

async fn two_servers_make_a_patch_once(engine: Engine) {
    let scene = Scene::start(engine).await;
    let other = scene.server.replica().await;
    scene.release().await;
    for patch in scene.made(3).await {
        assert_eq!(patch["attempts"], 1, "{patch}");
    }
    let there = scene.devices[2].0.at(&other.url(""));
    let polled = eventually(
        || there.poll_as(PACKAGE, 30, "&patches=tgp1"),
        |polled| {
            polled
                .manifest
                .as_ref()
                .is_some_and(|manifest| manifest.get("patch").is_some())
        },
    )
    .await;
    let manifest = polled.manifest.unwrap();
    assert!(url(&manifest).starts_with(&other.url("")));
    let fetched = scene.fetch(url(&manifest), &[]).await;
    assert_eq!(applied(&scene.files[2], &fetched.body), scene.files[3]);
}

async fn a_patch_whose_maker_was_lost_is_made_by_another(engine: Engine) {
    let mut scene = Scene::start(engine).await;
    let newest = scene.builds[3];
    scene.server.stop().await;
    let store = Store::open(&scene.server.config().database).await.unwrap();
    let wanted = WantedPatch {
        build: BuildId(newest),
        from: VersionCode::new(20).unwrap(),
        devices: 1_000,
    };
    store.want_patches(vec![wanted], u64::MAX).await.unwrap();
    let lasts = Duration::from_secs(10);
    let lost = store
        .claim_patch("a server that was killed", lasts)
        .await
        .unwrap();
    assert_eq!(lost.unwrap().base.id, BuildId(scene.builds[1]));
    drop(store);
    scene.server.start_again().await;
    scene.olga = scene.server.person("olga", Role::Operator);
    scene.release().await;
    let patches = scene.made(2).await;
    let lost = patches
        .iter()
        .find(|patch| patch["from_version_code"] == 20)
        .unwrap();
    assert_eq!((&lost["state"], &lost["attempts"]), (&json!("making"), &json!(1)));
    let patches = scene.made(3).await;
    let taken_over = patches
        .iter()
        .find(|patch| patch["from_version_code"] == 20)
        .unwrap();
    assert_eq!(taken_over["attempts"], 2);
}
