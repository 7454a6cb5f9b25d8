//! The good way: a build is released, and a phone takes it.

use chrono::TimeDelta;
use tidegate_agent::signing::sign_command;
use tidegate_agent::{Phase, Signal, StateStore, UPDATE};
use tidegate_testkit::apks::{self, PACKAGE};
use tidegate_testkit::server::eventually;
use tokio::sync::{mpsc, oneshot};

use crate::phone::{later, settle, until};
use crate::real::{DEVICE, World};

#[tokio::test]
async fn a_release_is_polled_fetched_verified_installed_and_reported() {
    let world = World::new().await;
    let build = world.release(&apks::large(PACKAGE, 2, 3_000_000)).await;
    let mut agent = world.open();

    for phase in [
        Phase::Checking,
        Phase::Downloading,
        Phase::Verifying,
        Phase::Installing,
        Phase::Reporting,
        Phase::Idle,
    ] {
        until(&mut agent, phase).await;
    }
    let next = settle(&mut agent).await;

    assert_eq!(world.phone.facts().installations, [2]);
    assert_eq!(agent.unacknowledged(), 0);
    let stats = world.operator.stats(build).await;
    for (what, count) in [
        ("total_eligible", 1),
        ("total_downloads", 1),
        ("installs_success", 1),
        ("installs_failed", 0),
        ("verify_failed", 0),
    ] {
        assert_eq!(stats[what], count, "{what}: {stats}");
    }
    // The server's rhythm: six hours, give or take a fifth.
    let rest = next.at - world.now();
    assert!(
        (TimeDelta::minutes(287)..=TimeDelta::minutes(433)).contains(&rest),
        "{rest}"
    );
}

#[tokio::test]
async fn a_phone_that_has_it_rests_and_takes_the_next() {
    let world = World::new().await;
    let mut agent = world.open();
    assert_eq!(settle(&mut agent).await.phase, Phase::Idle);
    world.release(&apks::build(PACKAGE, 2)).await;
    assert_eq!(settle(&mut agent).await.phase, Phase::Idle);
    assert_eq!(world.phone.version(), Some(1), "it is not time to ask");

    later(&mut agent).await;
    assert_eq!(world.phone.version(), Some(2));
    later(&mut agent).await;
    assert_eq!(world.phone.facts().asked, [2], "never the same version twice");
}

/// The loop of a native agent: told of a release by a signal, and ended in the middle of its sleep.
#[tokio::test]
async fn an_agent_that_runs_by_itself_hears_a_command_and_ends_when_it_is_told_to() {
    let world = World::new().await;
    let agent = world.open();
    let (signals, heard) = mpsc::channel(1);
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(agent.run(heard, async {
        let _ = ended.await;
    }));
    let build = world.release(&apks::build(PACKAGE, 2)).await;
    let key = &world.credentials.command_keys.primary;
    let command = sign_command(key, UPDATE, "req-1", &DEVICE.parse().unwrap(), world.now()).unwrap();
    let arrived = world.now();
    signals.send(Signal::Command { command, arrived }).await.unwrap();
    eventually(
        || async { world.operator.stats(build).await["installs_success"].as_i64() },
        |count| *count == Some(1),
    )
    .await;
    end.send(()).unwrap();
    let mut store = running.await.unwrap();
    assert!(store.load().unwrap().is_some());
    assert_eq!(world.phone.facts().asked, [2]);
}
