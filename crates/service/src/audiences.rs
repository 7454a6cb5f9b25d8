//! Whom an audience takes, before anything is released to it; and whom each rollout takes of those that serve.
//!
//! The fleet is read in parts, each by a short read of its own, so that no transaction stays open and no writer waits.
//! A fleet beyond a bound is sampled: a hundred stretches, evenly spaced over the order in which devices came, as those
//! that came together are alike. They are visited out of order, so that what was seen when the time is up is still spread
//! over all of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_domain::{Audience, DeviceId, PackageName, Track};
use tidegate_storage::{FleetExtent, MAX_AUDIENCE_EXAMPLES, MAX_FLEET_PART, Store};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::{Clock, Error, Kind};

/// The largest fleet that is counted; a larger one is sampled by as many devices.
pub const MAX_COUNTED_DEVICES: u32 = 100_000;

/// How many questions are answered at once on one server.
const AT_ONCE: usize = 2;

/// How long a question may take. A request may take 30 seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many stretches a sample has.
const STRETCHES: i64 = 100;

/// From one stretch that is visited to the next. It has no divisor in common with their number, so all are visited.
const STRIDE: i64 = 37;

/// The part of a sample without which it says nothing, in hundredths.
const LEAST_SAMPLE: u64 = 10;

/// Tells whom audiences and rollouts take.
pub struct Audiences {
    store: Store,
    counted: u32,
    clock: Arc<dyn Clock>,
    places: Semaphore,
}

/// Whom an audience takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// How many devices.
    pub devices: u64,
    /// Whether the number comes from a sample.
    pub estimated: bool,
    /// How many devices there are, retired and inactive ones left out.
    pub total: u64,
    /// Some of those that it takes, at most 20.
    pub examples: Vec<DeviceId>,
    /// The operators' tags that it names and that no device has: a slip of the pen, or a tag that is yet to be given.
    pub unknown_tags: BTreeSet<String>,
}

/// The rollouts of a package that serve, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The package's track.
    pub track: Arc<Track>,
    /// The time at which its rollouts were asked.
    pub at: DateTime<Utc>,
    /// How many devices each of its rollouts takes: those that are its own and no earlier one's.
    pub taken: Vec<u64>,
    /// Whether the numbers come from a sample.
    pub estimated: bool,
    /// How many devices there are, retired and inactive ones left out.
    pub total: u64,
}

/// What was seen so far: how many devices, and how many were taken by each of those that were asked.
#[derive(Default)]
struct Tally {
    seen: u64,
    taken: Vec<u64>,
    examples: Vec<DeviceId>,
    /// Of how many devices it is a sample; none when it is all of them.
    sample_of: Option<u64>,
}

impl Tally {
    fn total(&self) -> u64 {
        self.sample_of.unwrap_or(self.seen)
    }

    /// How many of all devices were taken by each of those that were asked.
    fn counts(&self) -> Vec<u64> {
        let of_all = |taken: &u64| {
            self.sample_of
                .map_or(*taken, |total| scaled(*taken, self.seen, total))
        };
        self.taken.iter().map(of_all).collect()
    }
}

/// What the fleet is asked.
#[derive(Clone, Copy)]
enum Question<'a> {
    /// Whom this audience takes; `version` is that of the package.
    Audience(&'a Audience, Option<&'a PackageName>),
    /// Which of the rollouts of a package takes whom.
    Board(&'a Arc<Track>, DateTime<Utc>),
}

impl Audiences {
    /// Over this database; fleets of up to `counted` devices are counted, others sampled.
    pub fn new(store: Store, clock: Arc<dyn Clock>, counted: u32) -> Self {
        Self {
            store,
            clock,
            counted: counted.max(1),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Whom an audience takes, by what the next poll of each device would be judged by. `version` is what a device runs
    /// of the package, 0 if it is not installed.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an audience that asks for `version` without a package, [`Kind::NotFound`] for a package
    /// that nobody knows, [`Kind::Exhausted`] while two others are answered, [`Kind::Unavailable`].
    pub async fn reach(&self, audience: &Audience, package: Option<&PackageName>) -> Result<Reach, Error> {
        if audience.asks_for_version() && package.is_none() {
            let fault = "is needed: the expression asks for version, which is that of a package";
            return Err(Error::invalid("package_name", fault));
        }
        if let Some(package) = package {
            self.store.package(package).await?;
        }
        let named = audience.tags().into_iter().map(str::to_owned).collect();
        let unknown_tags = self.store.unknown_tags(named).await?;
        let tally = self.scan(Question::Audience(audience, package)).await?;
        Ok(Reach {
            devices: tally.counts().into_iter().sum(),
            estimated: tally.sample_of.is_some(),
            total: tally.total(),
            examples: tally.examples,
            unknown_tags,
        })
    }

    /// The rollouts of a package that serve, and how many devices each of them takes.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a package that nobody knows, [`Kind::Exhausted`] while two other questions are answered,
    /// [`Kind::Unavailable`].
    pub async fn board(&self, package: &PackageName) -> Result<Board, Error> {
        self.store.package(package).await?;
        let track = Arc::new(self.store.track(package).await?);
        let at = self.clock.now();
        let tally = self.scan(Question::Board(&track, at)).await?;
        let mut taken = tally.counts();
        // An empty fleet was never asked.
        taken.resize(track.serving.len(), 0);
        Ok(Board {
            taken,
            estimated: tally.sample_of.is_some(),
            total: tally.total(),
            at,
            track,
        })
    }

    /// Asks the whole fleet, or a sample of a large one.
    async fn scan(&self, question: Question<'_>) -> Result<Tally, Error> {
        let Ok(_place) = self.places.try_acquire() else {
            let message =
                format!("the fleet is being counted for {AT_ONCE} others already; try again in a moment");
            return Err(Error::new(Kind::Exhausted, "too_many_counts", message));
        };
        let fleet = self.store.fleet_extent().await?;
        if fleet.devices > u64::from(self.counted) {
            return self.sampled(question, &fleet).await;
        }
        let mut tally = Tally::default();
        let counting = timeout(PATIENCE, self.count(question, &fleet, &mut tally));
        counting.await.map_err(|_| too_slow())??;
        Ok(tally)
    }

    async fn count(
        &self,
        question: Question<'_>,
        fleet: &FleetExtent,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let (mut first, last) = fleet.numbers.clone().into_inner();
        while let Some(seen) = self.ask(question, first, last, MAX_FLEET_PART, tally).await? {
            first = seen + 1;
        }
        Ok(())
    }

    async fn sampled(&self, question: Question<'_>, fleet: &FleetExtent) -> Result<Tally, Error> {
        let mut tally = Tally {
            sample_of: Some(fleet.devices),
            ..Tally::default()
        };
        let is_whole = match timeout(PATIENCE, self.sample(question, fleet, &mut tally)).await {
            Ok(sampled) => sampled.map(|()| true)?,
            Err(_) => false,
        };
        if tally.seen == 0 || (!is_whole && tally.seen * 100 < u64::from(self.counted) * LEAST_SAMPLE) {
            return Err(too_slow());
        }
        Ok(tally)
    }

    async fn sample(
        &self,
        question: Question<'_>,
        fleet: &FleetExtent,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let (first, last) = fleet.numbers.clone().into_inner();
        let length = (last - first) / STRETCHES + 1;
        let devices = (self.counted / u32::try_from(STRETCHES).unwrap_or(1)).max(1);
        for visit in 0..STRETCHES {
            let begin = first + (visit * STRIDE % STRETCHES) * length;
            self.ask(question, begin, begin + length - 1, devices, tally)
                .await?;
        }
        Ok(())
    }

    /// Asks about a part of the fleet, and returns the number of the last device that was asked about.
    async fn ask(
        &self,
        question: Question<'_>,
        first: i64,
        last: i64,
        devices: u32,
        tally: &mut Tally,
    ) -> Result<Option<i64>, Error> {
        let numbers = first..=last;
        let part = match question {
            Question::Audience(audience, package) => {
                self.store
                    .audience_part(audience, package, numbers, devices)
                    .await?
            }
            Question::Board(track, at) => self.store.board_part(track, numbers, devices, at).await?,
        };
        tally.seen += part.seen;
        tally.taken.resize(part.taken.len(), 0);
        for (sum, taken) in tally.taken.iter_mut().zip(&part.taken) {
            *sum += taken;
        }
        let room = MAX_AUDIENCE_EXAMPLES - tally.examples.len();
        tally.examples.extend(part.examples.into_iter().take(room));
        Ok(part.last)
    }
}

/// As many of all as there were in the sample, rounded.
fn scaled(taken: u64, seen: u64, total: u64) -> u64 {
    let share = u128::from(taken) * u128::from(total) + u128::from(seen / 2);
    u64::try_from(share / u128::from(seen.max(1))).unwrap_or(u64::MAX)
}

fn too_slow() -> Error {
    let message = "the fleet could not be read in time; try again in a moment";
    Error::new(Kind::Unavailable, "unavailable", message)
}
