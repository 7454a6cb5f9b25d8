//! Builds that devices take in between: a phone of the real server goes through the barriers in their order, and what
//! it did counts under the rollout that sent it there and the build that it took.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_agent::{FolderStore, HttpTransport, InstallOutcome, Phase};
use tidegate_testkit::answer::Answer;
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::{Engine, eventually};

use crate::phone::{Held, later, settle};
use crate::real::{DEVICE, World};

/// `PackageInstaller`'s status for a build that can't be installed here.
const INCOMPATIBLE: i32 = 7;

/// A world whose phone runs version 1, with the barriers 2 and 3 in front of version 4; build n has version n + 1.
async fn with_barriers(engine: Engine) -> World {
    let world = World::on(engine).await;
    for version in [2, 3, 4] {
        world
            .operator
            .uploaded(&apks::large(PACKAGE, version, 40_000))
            .await;
    }
    for build in [1, 2] {
        world.edit(build, &json!({ "barrier": true })).await;
    }
    world
}

impl World {
    async fn edit(&self, build: i64, edit: &Value) {
        let path = format!("/v1/apk/{build}");
        let request = self.operator.request(Method::PATCH, &path).json(edit);
        Answer::to(request).await.ok();
    }

    async fn rollout(&self, build: i64, priority: i64) -> i64 {
        let body = json!({ "build_id": build, "priority": priority, "rollout_percent": 100 });
        let made = self.operator.post("/v1/rollouts", &body).await;
        assert_eq!(made.status, 201);
        made.json()["rollout_id"].as_i64().unwrap()
    }

    /// What each rollout did with a build: its number, and devices by what became of them.
    async fn by_rollout(&self, build: i64) -> Vec<(i64, [i64; 4])> {
        let stats = self.operator.stats(build).await;
        let rollouts = stats["rollouts"].as_array().unwrap();
        let names = [
            "total_eligible",
            "total_downloads",
            "installs_success",
            "installs_failed",
        ];
        let counted = rollouts.iter().map(|of| {
            let counts = names.map(|name| of[name].as_i64().unwrap());
            (of["rollout_id"].as_i64().unwrap(), counts)
        });
        counted.filter(|(_, counts)| *counts != [0; 4]).collect()
    }

    async fn explained(&self, version: i64) -> Value {
        let explained = self.operator.explain(DEVICE, PACKAGE, version).await.ok();
        explained["reason"].clone()
    }
}

/// Lets a phone live until it has installed this many builds.
async fn takes(world: &World, agent: &mut Held<HttpTransport, FolderStore>, builds: usize) {
    later(agent).await;
    assert_eq!(world.phone.facts().installations.len(), builds);
    assert_eq!(agent.unacknowledged(), 0);
}

async fn barriers_in_order(engine: Engine) {
    let world = with_barriers(engine).await;
    // The base is a barrier itself; the rollout above it goes through both.
    let base = world.rollout(1, 0).await;
    let above = world.rollout(3, 100).await;
    let mut agent = world.open();

    settle(&mut agent).await;
    assert_eq!(world.phone.facts().installations, [2]);
    assert_eq!(world.by_rollout(1).await, [(above, [1, 1, 1, 0])]);
    assert_eq!(
        world.by_rollout(3).await,
        [],
        "it was not offered the release yet"
    );
    takes(&world, &mut agent, 2).await;
    assert_eq!(world.by_rollout(2).await, [(above, [1, 1, 1, 0])]);
    takes(&world, &mut agent, 3).await;
    assert_eq!(world.phone.facts().installations, [2, 3, 4]);
    assert_eq!(world.by_rollout(3).await, [(above, [1, 1, 1, 0])]);
    assert!(
        !world
            .by_rollout(1)
            .await
            .iter()
            .any(|(rollout, _)| *rollout == base),
        "the base offered it nothing"
    );
    assert_eq!(settle(&mut agent).await.phase, Phase::Idle);
    assert_eq!(world.explained(4).await, "already_current");
    for build in [1, 2, 3] {
        let stats = world.operator.stats(build).await;
        assert_eq!(stats["installs_success"], 1, "{stats}");
    }
}

#[tokio::test]
async fn barriers_are_taken_in_their_order_on_sqlite() {
    barriers_in_order(Engine::Sqlite).await;
}

#[tokio::test]
async fn barriers_are_taken_in_their_order_on_postgres() {
    barriers_in_order(Engine::Postgres).await;
}

async fn a_rejected_barrier(engine: Engine) {
    let world = with_barriers(engine).await;
    let rollout = world.rollout(3, 0).await;
    world
        .phone
        .facts()
        .answers
        .push(InstallOutcome::failure(INCOMPATIBLE, "INSTALL_FAILED_OLDER_SDK"));
    let mut agent = world.open();
    settle(&mut agent).await;
    assert_eq!(world.phone.facts().asked, [2]);
    assert_eq!(world.by_rollout(1).await, [(rollout, [1, 1, 0, 1])]);
    assert_eq!(world.explained(1).await, "needs_intermediate");

    assert_eq!(later(&mut agent).await.phase, Phase::Idle);
    assert_eq!(
        world.phone.facts().asked,
        [2],
        "neither again, nor what is behind it"
    );
    // Polls are written within a second.
    eventually(
        || world.operator.device(DEVICE),
        |device| device.json()["standings"][0]["told"] == "needs_intermediate",
    )
    .await;
    // Without this barrier the way leads over the other one.
    world.edit(1, &json!({ "barrier": false })).await;
    takes(&world, &mut agent, 1).await;
    takes(&world, &mut agent, 2).await;
    assert_eq!(world.phone.facts().installations, [3, 4]);
    assert_eq!(world.by_rollout(2).await, [(rollout, [1, 1, 1, 0])]);
    assert_eq!(world.by_rollout(3).await, [(rollout, [1, 1, 1, 0])]);
}

#[tokio::test]
async fn whoever_rejects_a_barrier_is_offered_nothing_behind_it_on_sqlite() {
    a_rejected_barrier(Engine::Sqlite).await;
}

#[tokio::test]
async fn whoever_rejects_a_barrier_is_offered_nothing_behind_it_on_postgres() {
    a_rejected_barrier(Engine::Postgres).await;
}

/// The way through the barriers goes on where it was after a restart, and a build that is made a barrier while another is
/// being fetched comes first.
#[tokio::test]
async fn a_barrier_that_is_made_during_a_download_is_taken_first() {
    let world = World::new().await;
    for version in [2, 3] {
        world
            .operator
            .uploaded(&apks::large(PACKAGE, version, 40_000))
            .await;
    }
    let rollout = world.rollout(2, 0).await;
    let mut agent = world.open();
    crate::phone::until(&mut agent, Phase::Downloading).await;
    world.edit(1, &json!({ "barrier": true })).await;
    // After a restart the offer is asked for again.
    drop(agent);
    let mut agent = world.open();
    settle(&mut agent).await;
    assert_eq!(world.phone.facts().installations, [2]);
    takes(&world, &mut agent, 2).await;
    assert_eq!(world.phone.facts().installations, [2, 3]);
    assert_eq!(world.by_rollout(1).await, [(rollout, [1, 1, 1, 0])]);
    assert_eq!(world.by_rollout(2).await, [(rollout, [1, 1, 1, 0])]);
}

/// A device below `min_from_version` is offered the release once a build in between has brought it there.
#[tokio::test]
async fn a_release_for_newer_devices_waits_for_a_barrier_to_bring_the_device_there() {
    let world = World::new().await;
    for version in [2, 3] {
        world
            .operator
            .uploaded(&apks::large(PACKAGE, version, 40_000))
            .await;
    }
    world.rollout(2, 0).await;
    world.edit(2, &json!({ "min_from_version": 2 })).await;
    let mut agent = world.open();
    settle(&mut agent).await;
    assert!(world.phone.facts().asked.is_empty());
    assert_eq!(world.explained(1).await, "needs_intermediate");
    world.edit(1, &json!({ "barrier": true })).await;
    takes(&world, &mut agent, 1).await;
    takes(&world, &mut agent, 2).await;
    assert_eq!(world.phone.facts().installations, [2, 3]);
}
