//! A server whose disk is full, by what operators and devices are answered.

use serde_json::json;
use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::disk::SmallDisk;
use tidegate_testkit::server::{Engine, TestServer, eventually};

const MIB: u64 = 1 << 20;
const PASSWORD: &str = "correct horse battery staple";

async fn ready(server: &TestServer) -> Answer {
    Answer::to(server.http().get(server.url("/readyz"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_build_can_be_taken_back_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(24 * MIB) else {
        return;
    };
    let folder = disk.path().to_owned();
    let server = TestServer::start_with(Engine::Sqlite, |config| {
        config.database.url = format!("sqlite://{}", folder.join("tidegate.db").display());
        config.database.reserve_bytes = 2 * MIB;
        config.artifact_store = folder.join("artifacts").display().to_string();
    })
    .await;
    let olga = server.operator(Role::Admin);
    let mut builds = vec![];
    for version in [1, 2] {
        let build = olga.uploaded(&apks::build(PACKAGE, version)).await;
        olga.promote(build, 100).await.ok();
        builds.push(build);
    }
    let (good, bad) = (builds[0], builds[1]);
    let phone = server.device("phone-1").await;
    assert_eq!(phone.poll(0).await.build(), Some(bad));
    assert_eq!(ready(&server).await.status, 200);
    for name in ["ann", "bob"] {
        let person = json!({ "name": name, "role": "operator", "password": PASSWORD });
        assert_eq!(olga.post("/v1/users", &person).await.status, 201);
    }

    disk.fill();
    let next = apks::build(PACKAGE, 3);
    olga.upload(&next).await.refused(503, "disk_full");
    let said = eventually(|| ready(&server), |answer| answer.status == 503).await;
    said.refused(503, "disk_full");

    // Whoever is to act on it is let in, and whoever must not is kept out.
    let body = json!({ "name": "ann", "password": PASSWORD });
    let login = server.http().post(server.url("/v1/auth/login")).json(&body);
    let login = Answer::to(login).await.ok();
    let ann = olga.with_token(login["token"].as_str().unwrap());
    olga.post_text("/v1/users/bob/disable", "").await.ok();

    ann.pause(bad).await.ok();
    ann.post_text("/v1/auth/logout", "").await.ok();
    ann.get("/v1/apk").await.refused(401, "token_revoked");
    olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(phone.poll(0).await.build(), Some(good));
    let audit = olga.audit("?page_size=5").await;
    let actions: Vec<_> = audit
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "ota.rollback",
            "user.logout",
            "ota.rollout.pause",
            "user.disable",
            "user.login"
        ]
    );
    let metrics = olga.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("ota_disk_reserve_held 0"), "{text}");

    disk.empty();
    eventually(|| ready(&server), |answer| answer.status == 200).await;
    olga.uploaded(&next).await;
    assert!(olga.audit_is_intact().await);
}
