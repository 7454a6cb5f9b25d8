//! A server whose disk is full, by what operators and devices are answered.

use tidegate_domain::Role;
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::disk::SmallDisk;
use tidegate_testkit::server::{Engine, TestServer, eventually};

const MIB: u64 = 1 << 20;

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

    disk.fill();
    let next = apks::build(PACKAGE, 3);
    olga.upload(&next).await.refused(503, "disk_full");
    let said = eventually(|| ready(&server), |answer| answer.status == 503).await;
    said.refused(503, "disk_full");

    olga.pause(bad).await.ok();
    olga.roll_back(PACKAGE, false).await.ok();
    assert_eq!(phone.poll(0).await.build(), Some(good));
    let audit = olga.audit("?page_size=2").await;
    let actions: Vec<_> = audit.iter().map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, [Some("ota.rollback"), Some("ota.rollout.pause")]);
    let metrics = olga.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("ota_disk_reserve_held 0"), "{text}");

    disk.empty();
    eventually(|| ready(&server), |answer| answer.status == 200).await;
    olga.uploaded(&next).await;
    assert!(olga.audit_is_intact().await);
}
