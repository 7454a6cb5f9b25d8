//! The phone that an agent believes to run on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_agent::domain::{Network, PackageName, SignerFingerprint, VersionCode};
use tidegate_agent::{InstallOutcome, Installation, Platform, StoredFile};

use crate::apk_shelf::ApkShelf;
use crate::device_rng::{DeviceRng, Question};
use crate::plan_books::{Transfer, keep};
use crate::population::{Brick, CrashLoop, Population};
use crate::world::{Link, World};

/// How long Android takes to install, in seconds.
const INSTALLING_S: [f64; 2] = [4.0, 40.0];

/// A phone, its surroundings, and its place in time.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) rng: DeviceRng,
    pub(crate) world: World,
    population: Arc<Population>,
    /// Milliseconds since 1970 of the simulated world, as far as this device has lived.
    now: AtomicI64,
    /// Where it began to live.
    begun: i64,
    /// By how much that is ahead of the time that the surroundings are computed for.
    ahead: i64,
    /// What its own clock is wrong by, in milliseconds.
    skew: i64,
    signer: Option<SignerFingerprint>,
    requests: AtomicU64,
    /// Whether a build left it dead.
    is_bricked: AtomicBool,
    /// Where the installed app's file is, if its agent may read it.
    shelf: Option<Arc<ApkShelf>>,
    app: Mutex<App>,
}

/// The installed app.
#[derive(Debug, Default)]
struct App {
    version: Option<VersionCode>,
    /// Its file, if the agent may read it.
    apk: Option<Arc<Vec<u8>>>,
    /// The version that was tried last, and how often.
    tries: (i64, u32),
    /// What Android did with each version.
    deeds: BTreeMap<i64, Deeds>,
    /// When each installation began.
    installs: Vec<Transfer>,
}

/// What Android did with a version, and when first, in milliseconds since 1970 of the device's world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    pub(crate) installed: Option<i64>,
    pub(crate) refused: Option<i64>,
}

impl Phone {
    pub(crate) fn new(
        rng: DeviceRng,
        world: World,
        population: Arc<Population>,
        installed: Option<VersionCode>,
        signer: Option<SignerFingerprint>,
        (now, ahead): (i64, i64),
    ) -> Self {
        let most = population.clock_skew_s;
        let skew = millis(rng.between([-most, most], Question::ClockSkew, &[]));
        let app = App {
            version: installed,
            ..App::default()
        };
        Self {
            rng,
            world,
            population,
            now: AtomicI64::new(now),
            ahead,
            skew,
            signer,
            requests: AtomicU64::new(0),
            is_bricked: AtomicBool::new(false),
            begun: now,
            shelf: None,
            app: Mutex::new(app),
        }
    }

    /// The same, whose agent may read the installed app's file if the population says so. `apk`: what it has now.
    pub(crate) fn with_files(mut self, shelf: &Arc<ApkShelf>, apk: Option<&Arc<Vec<u8>>>) -> Self {
        let share = self.population.patches.share;
        if self.rng.happens(share, Question::Patches, &[]) {
            self.shelf = Some(Arc::clone(shelf));
            let apk = apk.and_then(|apk| self.as_installed(apk));
            self.app().apk = apk;
        }
        self
    }

    /// What lies where Android keeps the app when this file is installed: for some another one.
    fn as_installed(&self, apk: &Arc<Vec<u8>>) -> Option<Arc<Vec<u8>>> {
        let shelf = self.shelf.as_ref()?;
        let share = self.population.patches.foreign_base;
        match self.rng.happens(share, Question::ForeignBase, &[]) {
            true => shelf.keep(&Arc::new(ApkShelf::repackaged(apk))),
            false => shelf.keep(apk),
        }
    }

    /// Milliseconds since 1970 in the simulated world.
    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The time that its surroundings are computed for, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are far below 2^53"
        )]
        let seconds = (self.now() - self.ahead) as f64 / 1_000.0;
        seconds
    }

    /// Time passes until this moment, if it has not passed yet.
    pub(crate) fn wait_until(&self, at: i64) {
        self.now.fetch_max(at, Ordering::Relaxed);
    }

    /// So many seconds pass.
    pub(crate) fn spend(&self, seconds: f64) {
        self.now.fetch_add(millis(seconds), Ordering::Relaxed);
    }

    /// The number of a request, from 0.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn population(&self) -> &Population {
        &self.population
    }

    /// When the device's own clock shows this time, in milliseconds since 1970.
    pub(crate) fn when_its_clock_shows(&self, at: DateTime<Utc>) -> i64 {
        at.timestamp_millis() - self.skew
    }

    /// What the device's own clock shows when a right one shows this.
    pub(crate) fn its_clock_at(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at + TimeDelta::milliseconds(self.skew)
    }

    pub(crate) fn version(&self) -> i64 {
        self.app().version.map_or(0, VersionCode::get)
    }

    /// What Android did with a version: the truth, whatever the agent says and the server believes.
    pub(crate) fn deeds(&self, version: i64) -> Deeds {
        self.app().deeds.get(&version).copied().unwrap_or_default()
    }

    /// When Android was asked to install what.
    pub(crate) fn installs(&self) -> Vec<Transfer> {
        self.app().installs.clone()
    }

    /// Whether a build left it dead: nothing more is heard of it.
    pub(crate) fn is_bricked(&self) -> bool {
        self.is_bricked.load(Ordering::Relaxed)
    }

    /// Whether this build leaves it dead when it is installed now.
    fn bricks(&self, version: i64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a fleet lives for weeks")]
        let lived_h = (self.now() - self.begun) as f64 / 3_600_000.0;
        let strikes = |(row, brick): (u64, &Brick)| {
            brick.version_code == version
                && brick.within_h.is_none_or(|within| lived_h < within)
                && self.rng.happens(brick.share, Question::Brick, &[row])
        };
        (0..).zip(&self.population.bricks).any(strikes)
    }

    /// How often an hour what it runs crashes.
    fn crashes_per_hour(&self, version: i64) -> f64 {
        let strikes = |(row, crashes): (u64, &CrashLoop)| {
            let struck = self.rng.happens(crashes.share, Question::CrashLoop, &[row]);
            (struck && crashes.version_code == version).then_some(crashes.per_hour)
        };
        (0..).zip(&self.population.crash_loops).filter_map(strikes).sum()
    }

    fn app(&self) -> MutexGuard<'_, App> {
        self.app.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platform for Phone {
    fn battery(&self) -> u8 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a percentage, rounded down"
        )]
        let percent = self.world.battery(self.seconds()) as u8;
        percent
    }

    fn charging(&self) -> bool {
        self.world.charging(self.seconds())
    }

    fn free_space(&self) -> u64 {
        self.world.free_space(self.seconds())
    }

    fn network(&self) -> Network {
        match self.world.link(self.seconds()) {
            Link::Wifi => Network::Wifi,
            Link::Mobile => Network::Mobile,
            Link::Offline => Network::None,
        }
    }

    fn in_call(&self) -> bool {
        self.world.in_call(self.seconds())
    }

    fn installed_version(&self, _: &PackageName) -> Option<VersionCode> {
        self.app().version
    }

    fn installed_signer(&self, _: &PackageName) -> Option<SignerFingerprint> {
        self.app().version.and(self.signer)
    }

    fn installed_apk(&self, _: &PackageName) -> Option<StoredFile> {
        self.app().apk.clone().map(StoredFile::AgentState)
    }

    async fn install(&self, installation: Installation<'_>) -> InstallOutcome {
        let version = installation.version;
        let attempt = {
            let at = self.now();
            let mut app = self.app();
            let version = version.get();
            keep(&mut app.installs, Transfer { at, version });
            app.tries = match app.tries {
                (same, tries) if same == version => (same, tries + 1),
                _ => (version, 1),
            };
            app.tries.1
        };
        self.spend(
            self.rng
                .between(INSTALLING_S, Question::Latency, &[0, attempt.into()]),
        );
        let refusal = self
            .world
            .refusal(&self.population.failures, version.get(), attempt);
        let (now, mut app) = (self.now(), self.app());
        let deeds = app.deeds.entry(version.get()).or_default();
        match refusal {
            Some(failure) => {
                deeds.refused.get_or_insert(now);
                InstallOutcome::failure(failure.status, failure.message.clone())
            }
            None => {
                deeds.installed.get_or_insert(now);
                app.version = Some(version);
                app.apk = match installation.file {
                    StoredFile::AgentState(apk) => self.as_installed(apk),
                    StoredFile::Path(_) => None,
                };
                let is_bricked = self.bricks(version.get());
                self.is_bricked.store(is_bricked, Ordering::Relaxed);
                InstallOutcome::success()
            }
        }
    }

    fn crashes(&self, _: &PackageName) -> Option<u64> {
        if self.population.crash_loops.is_empty() {
            return None;
        }
        let version = self.version();
        let installed = self.deeds(version).installed.unwrap_or(self.begun);
        #[expect(clippy::cast_precision_loss, reason = "a fleet lives for weeks")]
        let hours = (self.now() - installed).max(0) as f64 / 3_600_000.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, rounded down"
        )]
        let crashes = (hours * self.crashes_per_hour(version)) as u64;
        Some(crashes)
    }

    fn clock(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now() + self.skew).unwrap_or_default()
    }
}

/// Rounded to milliseconds.
pub(crate) fn millis(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and `as` saturates")]
    let millis = (seconds * 1_000.0).round() as i64;
    millis
}
