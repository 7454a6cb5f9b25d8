//! The power goes at every moment there is: before and after each request, each piece of an answer, each write, and
//! each installation. Whatever was not synced is gone then. The phone is switched on again, and must end right.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use tidegate_agent::{Agent, FolderStore, MemoryStore, Phase, StateStore, StoredFile, Workbench};
use tidegate_testkit::apks::{self, PACKAGE};
use tokio::sync::Notify;

use crate::patched::{self, assert_installed, fetched, offer, offer_of, release};
use crate::patches_lost::FusedFile;
use crate::phone::{Phone, fingerprint_of, open, settle, until};
use crate::real::World;
use crate::stage::{Stage, Trick, credentials};

/// Far away: the fuse never burns through.
const NEVER: usize = usize::MAX;

/// Burns through after so many moments.
#[derive(Debug)]
pub(crate) struct Fuse {
    left: AtomicUsize,
    gone: Notify,
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(NEVER),
            gone: Notify::new(),
        }
    }
}

impl Fuse {
    fn set(&self, moments: usize) {
        self.left.store(moments, Ordering::SeqCst);
    }

    pub(crate) fn burns(&self) -> bool {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return true;
        }
        if left != NEVER {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        if left == 1 {
            self.gone.notify_one();
        }
        left == 1
    }

    fn is_burnt(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// Completes when the power goes.
    async fn gone(&self) {
        while !self.is_burnt() {
            self.gone.notified().await;
        }
    }

    /// A moment of something that takes time; it never ends when the power goes in it.
    pub(crate) async fn moment(&self) {
        if self.burns() {
            std::future::pending::<()>().await;
        }
    }
}

/// A store whose power goes.
#[derive(Debug)]
struct Fused {
    store: MemoryStore,
    fuse: Arc<Fuse>,
}

impl Fused {
    /// The power may go before something is done, and when it is done and nobody knows yet.
    fn around<T>(&mut self, what: impl FnOnce(&mut MemoryStore) -> io::Result<T>) -> io::Result<T> {
        let lost = || io::Error::other("the power is gone");
        if self.fuse.burns() {
            return Err(lost());
        }
        let done = what(&mut self.store);
        if self.fuse.burns() { Err(lost()) } else { done }
    }
}

impl StateStore for Fused {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.store.load()
    }
    fn save(&mut self, state: &[u8]) -> io::Result<()> {
        self.around(|store| store.save(state))
    }
    fn set_aside(&mut self, state: &[u8]) -> io::Result<()> {
        self.around(|store| store.set_aside(state))
    }
    fn file_len(&mut self) -> io::Result<u64> {
        self.store.file_len()
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.around(|store| store.append(bytes))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.around(MemoryStore::sync)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.around(|store| store.truncate(len))
    }
    fn file(&mut self) -> io::Result<StoredFile> {
        self.store.file()
    }
    fn has_workbench(&self) -> bool {
        true
    }
    fn workbench(&mut self) -> io::Result<Workbench> {
        let bench = self.around(MemoryStore::workbench)?;
        Ok(FusedFile::workbench(bench, &self.fuse))
    }
    fn adopt_result(&mut self) -> io::Result<()> {
        self.around(MemoryStore::adopt_result)
    }
    fn clear_workbench(&mut self) -> io::Result<()> {
        self.around(MemoryStore::clear_workbench)
    }
}

/// One life with one loss of power: whether it came to it.
async fn live_with_a_loss_after(moments: usize, apk: &[u8]) -> bool {
    let fuse = Arc::<Fuse>::default();
    let stage = Stage::offering_under(apk, Arc::clone(&fuse));
    stage.script().tricks.push_back(Trick::Cut(apk.len() / 2));
    let phone = Phone::with(1, fingerprint_of(apk));
    phone.facts().fuse = Arc::clone(&fuse);
    lose_power_after(moments, &stage, &phone, &fuse).await
}

/// The same with a patch, which is cut once as well.
async fn patch_with_a_loss_after(moments: usize) -> bool {
    let (fuse, release) = (Arc::<Fuse>::default(), release());
    let stage = Stage::offering_under(&release.apk, Arc::clone(&fuse));
    offer(&stage, offer_of(&release.patch, &release.base));
    stage.script().patch.clone_from(&release.patch);
    let half = release.patch.len() / 2;
    stage.script().patch_tricks.push_back(Trick::Cut(half));
    let phone = patched::phone();
    phone.facts().fuse = Arc::clone(&fuse);
    let lost = lose_power_after(moments, &stage, &phone, &fuse).await;
    assert_installed(&phone);
    // A loss of power is no fault of the patch's.
    assert!(
        fetched(&stage).iter().all(|(path, _)| path == "/patch"),
        "{moments}"
    );
    let told = patched::told(&stage);
    assert!(
        told.iter().all(|(_, patch)| patch.as_deref() == Some("applied")),
        "{told:?}"
    );
    lost
}

/// A life of a phone that is switched on again after the loss.
async fn lose_power_after(moments: usize, stage: &Arc<Stage>, phone: &Arc<Phone>, fuse: &Arc<Fuse>) -> bool {
    let store = Fused {
        store: MemoryStore::default(),
        fuse: Arc::clone(fuse),
    };
    let mut agent = open(
        phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(stage),
        store,
    );

    fuse.set(moments);
    live(&mut agent, phone, fuse).await;
    let lost = fuse.is_burnt();
    fuse.set(NEVER);
    let mut store = agent.into_store();
    store.store.lose_power();
    let mut agent = open(
        phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(stage),
        store,
    );
    live(&mut agent, phone, fuse).await;

    let context = format!("after {moments} moments: {:?}", stage.told());
    assert_eq!(phone.facts().installations, [2], "{context}");
    assert_eq!(agent.unacknowledged(), 0, "{context}");
    assert_eq!(agent.phase(), Phase::Idle, "{context}");
    let told = stage.told();
    let count = |status: &str| told.iter().filter(|(told, _)| told == status).count();
    assert_eq!(count("install_success"), 1, "{context}");
    assert_eq!(count("install_failed") + count("verify_failed"), 0, "{context}");
    lost
}

/// A day, or until the power goes.
async fn live(agent: &mut Agent<Arc<Phone>, Arc<Stage>, Fused>, phone: &Phone, fuse: &Fuse) {
    let end = phone.facts().now + TimeDelta::hours(24);
    while phone.facts().now < end && !fuse.is_burnt() {
        tokio::select! {
            biased;
            () = fuse.gone() => return,
            next = agent.step() => {
                let mut facts = phone.facts();
                facts.now = facts.now.max(next.at);
            }
        }
    }
}

#[tokio::test]
async fn the_power_goes_at_every_moment_and_the_phone_installs_once_and_reports_once() {
    // More than one synced stretch, so that a download resumes from the middle.
    let apk = apks::large(PACKAGE, 2, 2_600_000);
    let mut moments = 1;
    while live_with_a_loss_after(moments, &apk).await {
        moments += 1;
    }
    assert!(moments > 50, "only {moments} moments were tried");
}

/// Files are written in another thread while a patch is applied, so a loss may come a write earlier or later than in another
/// run.
#[tokio::test]
async fn the_power_goes_at_every_moment_of_a_patch_and_no_half_of_a_file_is_taken_for_whole() {
    let mut moments = 1;
    while patch_with_a_loss_after(moments).await {
        moments += 1;
    }
    assert!(moments > 60, "only {moments} moments were tried");
}

/// The same with the real server and a real folder, at each state's begin.
#[tokio::test]
async fn a_phone_that_is_switched_off_in_any_state_ends_right() {
    let phases = [
        Phase::Idle,
        Phase::Checking,
        Phase::Downloading,
        Phase::Verifying,
        Phase::Installing,
        Phase::Reporting,
    ];
    for phase in phases {
        let world = World::new().await;
        let build = world.release(&apks::large(PACKAGE, 2, 200_000)).await;
        let mut agent = world.open();
        until(&mut agent, phase).await;
        drop(agent);
        let mut agent = world.open();
        settle(&mut agent).await;
        assert_eq!(world.phone.facts().asked, [2], "{phase:?}");
        let stats = world.operator.stats(build).await;
        assert_eq!(stats["installs_success"], 1, "{phase:?}: {stats}");
        assert_eq!(stats["installs_failed"], 0, "{phase:?}: {stats}");
        assert_eq!(agent.unacknowledged(), 0, "{phase:?}");
    }
}

#[tokio::test]
async fn a_phone_that_is_switched_off_while_it_waits_ends_right() {
    let world = World::new().await;
    let build = world.release(&apks::build(PACKAGE, 2)).await;
    world.phone.facts().in_call = true;
    let mut agent = world.open();
    settle(&mut agent).await;
    drop(agent);
    world.phone.facts().in_call = false;
    let mut agent = world.open();
    settle(&mut agent).await;
    assert_eq!(world.phone.facts().asked, [2]);
    assert_eq!(world.operator.stats(build).await["installs_success"], 1);
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_set_aside_and_nothing_is_installed_twice() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    let phone = Phone::with(1, fingerprint_of(&apk));
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        Arc::clone(&stage),
        MemoryStore::default(),
    );
    until(&mut agent, Phase::Installing).await;
    let mut state = agent.into_store().state().unwrap().to_vec();
    let middle = state.len() / 2;
    state[middle] ^= 1;

    for damaged in [state, vec![], b"{}".to_vec()] {
        let store = MemoryStore::with_state(damaged.clone());
        let mut agent = open(
            &phone,
            "https://stage",
            "phone-1",
            &credentials(),
            Arc::clone(&stage),
            store,
        );
        settle(&mut agent).await;
        assert_eq!(phone.facts().asked, [2]);
        assert_eq!(agent.into_store().aside(), Some(&damaged[..]));
    }
}

#[tokio::test]
async fn one_folder_serves_one_agent() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderStore::open(folder.path()).unwrap();
    assert!(matches!(
        FolderStore::open(folder.path()),
        Err(tidegate_agent::Error::Busy(_))
    ));
    drop(first);
    let mut again = FolderStore::open(folder.path()).unwrap();
    again.save(b"one").unwrap();
    again.save(b"two").unwrap();
    assert_eq!(again.load().unwrap().unwrap(), b"two");
}
