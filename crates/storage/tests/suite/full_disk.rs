//! A disk without a byte left.

use std::path::Path;
use std::time::Duration;

use tidegate_domain::{Resume, RolloutState, Track};
use tidegate_storage::{AuditFilter, Error, Page, Settings, Store};
use tidegate_testkit::disk::SmallDisk;

use crate::samples::{APP, actor, by, facts, package, provenance, release, upload};

const MIB: u64 = 1 << 20;

async fn open(folder: &Path) -> Store {
    let mut settings = Settings::new(folder.join("tidegate.db").to_str().unwrap());
    settings.reserve_bytes = MIB;
    settings.busy_timeout = Duration::from_secs(2);
    Store::open(&settings).await.unwrap()
}

fn is_full<T: std::fmt::Debug>(answer: &Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Full(_))), "{answer:?}");
}

async fn audited(store: &Store) -> usize {
    let page = Page::new(None, None).unwrap();
    store
        .audit(AuditFilter::default(), page)
        .await
        .unwrap()
        .items
        .len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_harm_is_written_on_a_full_disk_and_all_else_waits() {
    let Some(disk) = SmallDisk::mount(16 * MIB) else {
        return;
    };
    let store = open(disk.path()).await;
    let (build, _) = release(&store, APP, 2).await;
    let before = audited(&store).await;
    disk.fill();

    // What can wait is refused, and does not get the reserve.
    let note = || actor("ci").note("ota.upload", "package/com.example.app");
    let upload_more = || async {
        // Several, as there may be room within a page.
        for code in 100..1_000 {
            store
                .insert_build(facts(APP, code), provenance(), None, note())
                .await?;
        }
        Ok(())
    };
    is_full(&upload_more().await);
    assert!(store.disk().unwrap().reserve_held);
    is_full(&store.ready().await);

    let id = build.id;
    let pause = |store: Store| async move {
        let change = store.change_track(package(APP), actor("ann"), move |track, _| track.pause(id, by()));
        change.await.map(|change| change.change.after.state)
    };
    assert_eq!(pause(store.clone()).await, Ok(RolloutState::Paused));
    assert!(!store.disk().unwrap().reserve_held);
    assert!(audited(&store).await > before, "with its audit entry");
    is_full(&store.ready().await);
    let resume = |store: Store| async move {
        let rule = move |track: &Track, _: &_| track.resume(id, &Resume::default(), |_| 0, by());
        let change = store.resume_rollout(package(APP), actor("ann"), rule);
        change.await.map(|change| change.change.after.state)
    };
    assert_eq!(resume(store.clone()).await, Ok(RolloutState::Active));

    disk.empty();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    store.ready().await.expect("there is room again");
    assert!(store.disk().unwrap().reserve_held);
    upload(&store, APP, 2_000).await;

    // A server that starts on a full disk can do as much.
    disk.fill();
    drop(store);
    disk.fill();
    let store = open(disk.path()).await;
    is_full(&store.ready().await);
    assert_eq!(pause(store.clone()).await, Ok(RolloutState::Paused));
    assert!(store.verify_audit().await.unwrap().is_ok());
}
