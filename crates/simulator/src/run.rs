//! A run: a fleet is enrolled, lives its days and finishes what it began. Then its counts are compared with the server's.

mod balance;
mod course;
mod parts;
mod patches;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::clock::ClockDriver;
use crate::fleet::{Fleet, MAX_DEVICES, MAX_OUTAGE, Muster};
use crate::forecast_books::Told;
use crate::formula::Serving;
use crate::life::{Pace, ROUND, SHORT_ROUND, Then, moment, wait_for};
use crate::operator::{Build, HOURS, Operator, Rollout, Stats};
use crate::patch_books::{PatchCounts, told_by_server};
use crate::phone::millis;
use crate::population::Population;
use crate::release_plan::{Act, Overlays, ReleasePlan, hours};
use crate::report::{Report, Stage};
use crate::{Error, place};

/// When every fleet's time begins: 2026-01-05T00:00:00Z, a Monday. Always the same, so that the same seed has the
/// same week. A fleet that drives the server's clock begins whole weeks later, and has that week all the same.
pub const BEGIN: i64 = 1_767_571_200_000;

/// A week, in milliseconds.
const WEEK: i64 = 7 * 24 * 3_600_000;

/// How long the devices may take to finish what they began, of their own time.
const SETTLING: Duration = Duration::from_secs(21 * 24 * 3_600);

/// The longest life of a fleet.
pub const MAX_DURATION: Duration = Duration::from_secs(60 * 24 * 3_600);

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server, on this machine.
    pub server: String,
    /// A token of the role admin.
    pub token: Token,
    /// The package, of which a build is released.
    pub package: String,
    /// How many devices there are.
    pub devices: u32,
    /// Where all chance comes from.
    pub seed: u64,
    /// Who they are.
    pub population: Population,
    /// How likely a request is made to fail, 0 to 1.
    pub faults: f64,
    /// How long they live.
    pub duration: Duration,
    /// When the operator raises the base's share, and to what.
    pub raises: Vec<Raise>,
    /// The rollouts that the operator makes, where the release is not the one that stands.
    pub release: Option<ReleasePlan>,
    /// How often the server will be away. Polls shortly before an outage need not have been counted; so one that
    /// nobody announced makes the counts unequal.
    pub restarts: u32,
    /// The clock that the server follows. Without one the server's time stays its own.
    pub clock: Option<Arc<ClockDriver>>,
}

/// A token that does not print.
#[derive(Clone)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The operator raises the base's share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raise {
    /// To so many percent, with up to two decimals.
    pub percent: f64,
    /// After so much of the fleet's time.
    pub after: Duration,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// So many devices are enrolled.
    Enrolled(usize),
    /// The fleet lives.
    Living {
        /// Milliseconds of its time.
        lived: u64,
        /// Devices that were offered the current build.
        offered: usize,
        /// Devices that run it.
        installed: usize,
    },
    /// Its time is over; so many devices have finished what they began.
    Settled(usize),
}

/// Plays the plan.
///
/// # Errors
/// [`Error`], when the run cannot be brought to its end. Counts that are not equal are no error: see
/// [`Report::is_equal`].
pub async fn run(plan: &Plan, watch: impl Fn(Progress)) -> Result<Report, Error> {
    check(plan)?;
    let begun = Instant::now();
    let server = place::server(&plan.server).await?;
    let operator = Operator::new(&server, &plan.token.0)?;
    wait_for(&operator, MAX_OUTAGE).await?;
    let begin = begin(plan).await?;
    let names = names(plan);
    let overlays = plan
        .release
        .as_ref()
        .map(|release| release.overlays(plan.seed, &names));
    let overlays = Arc::new(overlays.unwrap_or_default());
    let (serving, build) = look(&operator, plan, &overlays).await?;
    let before = before(&operator, &serving, &build).await?;
    if let Some(first) = names.first()
        && operator.knows(first).await?
    {
        return Err(Error::Usage(format!(
            "{first} is enrolled there already: this seed has been played on this server; take another --seed"
        )));
    }
    let first = Arc::new(serving.clone());
    let share = share(&serving);
    let muster = muster(plan, begin, server, names, &build, &operator).await?;
    let enrolled = |count| watch(Progress::Enrolled(count));
    let fleet = Fleet::enroll_on(muster, Some(serving), operator, enrolled).await?;
    let mut run = Run {
        plan,
        fleet,
        build,
        overlays,
        first,
        share,
        before,
        stages: Vec::new(),
        part_faults: Vec::new(),
        seen: vec![(false, false); plan.devices as usize],
        begun,
        enrolling: begun.elapsed(),
        begin,
        end: i64::MIN,
        told: OnceLock::new(),
    };
    run.give_overlays().await?;
    run.make_calendars().await?;
    run.live(&watch).await?;
    run.check_course_is_over().await?;
    run.settle(&watch).await?;
    let report = run.balance().await;
    if let Some(driver) = &plan.clock {
        // The server's time goes on from here when the driver is gone.
        driver.set_rate(1).await;
    }
    report
}

/// When the fleet's time begins. A clock that the server follows is set to it, and can't go back.
async fn begin(plan: &Plan) -> Result<i64, Error> {
    let Some(driver) = &plan.clock else {
        return Ok(BEGIN);
    };
    let later = plan.release.as_ref().map_or(0.0, |release| release.begins_h);
    let now = driver.wait_for_server(MAX_OUTAGE).await?.timestamp_millis();
    let weeks = (now - BEGIN).div_euclid(WEEK) + 1;
    let begin = BEGIN + weeks * WEEK + millis(later * 3_600.0);
    driver.set(moment(begin), 0).await;
    Ok(begin)
}

fn check(plan: &Plan) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::Usage(what));
    if !(1..=MAX_DEVICES).contains(&plan.devices) {
        return refuse(format!("a fleet has 1 to {MAX_DEVICES} devices"));
    }
    if !(0.0..=0.9).contains(&plan.faults) {
        return refuse("the rate of faults must be from 0 to 0.9".to_owned());
    }
    if plan.duration.is_zero() || plan.duration > MAX_DURATION {
        let days = MAX_DURATION.as_secs() / 86_400;
        return refuse(format!("a fleet lives up to {days} days"));
    }
    let told = Duration::from_secs(u64::from(HOURS) * 3_600) - SETTLING;
    if plan.clock.is_some() && plan.duration > told {
        let days = told.as_secs() / 86_400;
        return refuse(format!(
            "a fleet that drives the server's clock lives up to {days} days: the server tells the hours of 30, and the \
             fleet may take 21 to finish what it began"
        ));
    }
    let orderly = plan.raises.windows(2).all(|pair| pair[0].after < pair[1].after);
    if !orderly || plan.raises.iter().any(|raise| raise.after >= plan.duration) {
        return refuse("shares are raised one after the other, before the end".to_owned());
    }
    match &plan.release {
        Some(release) => check_release(plan, release),
        None => Ok(()),
    }
}

fn check_release(plan: &Plan, release: &ReleasePlan) -> Result<(), Error> {
    release.check_against(&plan.population)?;
    if plan.clock.is_none() && (release.course().is_some() || release.begins_h > 0.0) {
        let fault = "a release plan that goes on by itself or begins later needs the server's clock: --clock";
        return Err(Error::Usage(fault.to_owned()));
    }
    if release.course().is_some() && !plan.raises.is_empty() {
        return Err(Error::Usage(
            "a share that grows by itself is not raised".to_owned(),
        ));
    }
    let last = release.rollouts.last();
    let pauses = release.rollouts.iter().flat_map(|rollout| &rollout.pauses);
    if pauses.into_iter().any(|pause| hours(pause.to_h) >= plan.duration) {
        return Err(Error::Usage("pauses are over before the end".to_owned()));
    }
    if last.is_some_and(|last| last.after() >= plan.duration) {
        return Err(Error::Usage("rollouts are made before the end".to_owned()));
    }
    let base = last.filter(|last| last.priority == 0);
    let has_base = |raise: &Raise| base.is_some_and(|base| base.after() < raise.after);
    if plan.raises.iter().all(has_base) {
        return Ok(());
    }
    let fault = "shares are raised after the base of the release plan was made";
    Err(Error::Usage(fault.to_owned()))
}

/// The devices of a seed, so that two seeds can be played on one server.
fn names(plan: &Plan) -> Vec<String> {
    let prefix = prefix(plan);
    let name = |number| format!("{prefix}{number:05}");
    (0..plan.devices).map(name).collect()
}

/// How all of their names begin, and no others.
fn prefix(plan: &Plan) -> String {
    format!("sim-{}-", plan.seed)
}

/// What serves, and the build that is released.
async fn look(operator: &Operator, plan: &Plan, overlays: &Arc<Overlays>) -> Result<(Serving, Build), Error> {
    let serving = serving(operator, &plan.package, overlays).await?;
    let build = match (&plan.release, serving.current()) {
        (Some(release), _) => {
            let version = release.version_code;
            operator.build_of_version(&plan.package, version).await?
        }
        (None, current) => {
            operator
                .build(current.map_or(0, |current| current.build_id))
                .await?
        }
    };
    Ok((serving, build))
}

/// What serves now.
async fn serving(operator: &Operator, package: &str, overlays: &Arc<Overlays>) -> Result<Serving, Error> {
    let rollouts = operator.rollouts(package).await?;
    let mut builds = HashMap::new();
    for rollout in rollouts.iter().filter(|rollout| rollout.serves()) {
        if let Entry::Vacant(place) = builds.entry(rollout.build_id) {
            place.insert(operator.build(rollout.build_id).await?);
        }
    }
    Serving::of(package, &rollouts, &builds, Arc::clone(overlays))
}

/// The base's share in percent.
fn share(serving: &Serving) -> (String, f64) {
    let base = serving.current();
    base.map_or_else(Default::default, |base| (base.name.clone(), base.rollout_percent))
}

/// The statistics of every build that is or will be offered, before the fleet is enrolled.
async fn before(
    operator: &Operator,
    serving: &Serving,
    released: &Build,
) -> Result<BTreeMap<i64, Before>, Error> {
    let offered = serving.rollouts().map(|rollout| rollout.build_id);
    let mut before = BTreeMap::new();
    for build in offered.chain([released.build_id]) {
        let known = Before {
            version: operator.build(build).await?.version_code,
            stats: operator.stats(build).await?,
            patches: told_by_server(&operator.patches(build).await?).unwrap_or_default(),
        };
        before.insert(build, known);
    }
    Ok(before)
}

async fn muster(
    plan: &Plan,
    begin: i64,
    server: String,
    names: Vec<String>,
    build: &Build,
    operator: &Operator,
) -> Result<Muster, Error> {
    let signed = build.clone();
    Ok(Muster {
        server,
        package: plan.package.clone(),
        enrollment_token: operator.enrollment_token(plan.devices).await?,
        names,
        installed: HashMap::new(),
        signer: Box::new(move |sdk| signed.signer_at(sdk).to_owned()),
        seed: plan.seed,
        population: plan.population.clone(),
        faults: plan.faults,
        pace: match &plan.clock {
            Some(clock) => Pace::Driving(Arc::clone(clock), round(plan)),
            None => Pace::Free,
        },
        begin,
        ahead: (begin - BEGIN).div_euclid(WEEK) * WEEK,
        push_service: None,
    })
}

/// A build before the fleet came.
#[derive(Clone, Debug, Default)]
struct Before {
    version: i64,
    /// What the server had counted.
    stats: Stats,
    /// The same of patches.
    patches: PatchCounts,
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    fleet: Fleet,
    build: Build,
    overlays: Arc<Overlays>,
    /// The settings that it began with.
    first: Arc<Serving>,
    /// The name and the share of the rollout that was made or raised last.
    share: (String, f64),
    before: BTreeMap<i64, Before>,
    stages: Vec<Stage>,
    /// What was wrong with the parts of the fleet after each stage.
    part_faults: Vec<String>,
    /// For each device, whether it was seen with the offer, and with the build.
    seen: Vec<(bool, bool)>,
    begun: Instant,
    enrolling: Duration,
    /// When the fleet's time began.
    begin: i64,
    /// When the settings were changed last.
    end: i64,
    /// What the server said that the rollout with a plan would do.
    told: OnceLock<Told>,
}

impl Run<'_> {
    /// Gives tags to the devices, and makes the policies on them.
    async fn give_overlays(&self) -> Result<(), Error> {
        let Some(release) = &self.plan.release else {
            return Ok(());
        };
        let operator = self.fleet.operator();
        for tag in &release.tags {
            let devices = self.fleet.devices().map(crate::device::Device::id);
            let devices = devices.filter(|device| self.overlays.has_tag(device, &tag.name));
            let devices: Vec<&str> = devices.collect();
            if !devices.is_empty() {
                operator.tag(&tag.name, &devices).await?;
            }
        }
        for pin in &release.pins {
            operator.pin(&self.plan.package, pin).await?;
        }
        Ok(())
    }

    async fn live(&mut self, watch: &impl Fn(Progress)) -> Result<(), Error> {
        let plan = self.plan;
        let mut from = Duration::ZERO;
        for (after, act) in plan.acts() {
            if after > from {
                self.stage(from, after, watch).await?;
            }
            self.act(act).await?;
            from = after;
        }
        self.stage(from, plan.duration, watch).await
    }

    /// Lets the fleet live until the operator acts next, and notes how many devices were offered the build and run it.
    async fn stage(&mut self, from: Duration, to: Duration, watch: &impl Fn(Progress)) -> Result<(), Error> {
        self.end = self.after(from);
        let begin = self.begin;
        let (build, version) = (self.build.build_id, self.build.version_code);
        let end = self.after(to);
        // Lent to the look at each device, and given back below.
        let mut seen = std::mem::take(&mut self.seen);
        let (mut offered, mut installed) = tally(&seen);
        let mut acted = |at: i64, device: &crate::device::Device| {
            let (had, ran) = seen.get(device.number()).copied().unwrap_or_default();
            if !(had && ran) {
                let history = device.history(build, version);
                let now = (history.offered.is_some(), history.installed.is_some());
                offered += usize::from(now.0 && !had);
                installed += usize::from(now.1 && !ran);
                if let Some(slot) = seen.get_mut(device.number()) {
                    *slot = now;
                }
            }
            watch(Progress::Living {
                lived: u64::try_from(at - begin).unwrap_or(0),
                offered,
                installed,
            });
            Then::GoOn
        };
        while let Some(edge) = self.next_edge(end).await? {
            self.fleet.live_until(edge, &mut acted).await?;
            self.take_step(edge).await?;
        }
        self.fleet.live_until(end, &mut acted).await?;
        self.seen = seen;
        if let Some(driver) = &self.plan.clock {
            driver.set(moment(end), 0).await;
        }
        let (offered, installed) = tally(&self.seen);
        let settings = self.settings();
        self.stages.push(Stage {
            from_h: from.as_secs_f64() / 3_600.0,
            rollout: self.share.0.clone(),
            percent: self.share.1,
            expected: self.expected(&settings),
            offered,
            installed,
        });
        self.part_faults.extend(self.parts_so_far().await);
        Ok(())
    }

    /// Does what the operator is to do now. Where the server goes away meanwhile, it is asked once more: to ask for what is
    /// there already changes nothing.
    async fn act(&mut self, act: Act<'_>) -> Result<(), Error> {
        let operator = self.fleet.operator();
        wait_for(operator, MAX_OUTAGE).await?;
        if let Err(Error::Server(_)) = self.try_to(act).await {
            wait_for(operator, MAX_OUTAGE).await?;
            self.try_to(act).await?;
        }
        let serving = serving(operator, &self.plan.package, &self.overlays).await?;
        self.share = match act {
            Act::Create(planned) => (planned.name.clone(), planned.target()),
            Act::Raise(_) | Act::Pause | Act::Resume => share(&serving),
        };
        if let Some(settings) = &self.fleet.commons.settings {
            settings.change(serving);
        }
        Ok(())
    }

    async fn try_to(&self, act: Act<'_>) -> Result<(), Error> {
        let operator = self.fleet.operator();
        match act {
            Act::Create(planned) => {
                self.ask_forecast(planned).await?;
                operator.create(self.build.build_id, planned, self.begin).await
            }
            Act::Pause => self.act_on_course("pause").await,
            Act::Resume => self.act_on_course("resume").await,
            Act::Raise(percent) => {
                let rollouts = operator.rollouts(&self.plan.package).await?;
                let base = rollouts.iter().find(|rollout: &&Rollout| rollout.is_current);
                let base = base.ok_or_else(|| Error::Usage("there is no base to raise".to_owned()))?;
                operator.adjust(base, percent).await
            }
        }
    }

    /// Lets every device finish what it began, on a network without faults, and ask once more on the last settings.
    async fn settle(&mut self, watch: &impl Fn(Progress)) -> Result<(), Error> {
        self.fleet.commons.calm.store(true, Ordering::Relaxed);
        let since = self.end;
        let waits = self.waits();
        let mut settled = 0;
        let acted = |_: i64, device: &crate::device::Device| {
            if !is_done(device, since, waits) {
                return Then::GoOn;
            }
            settled += 1;
            watch(Progress::Settled(settled));
            Then::Rest
        };
        let end = self.after(self.plan.duration + SETTLING);
        self.fleet.live_until(end, acted).await
    }

    /// A moment of the fleet's time.
    fn after(&self, time: Duration) -> i64 {
        self.begin + millis(time.as_secs_f64())
    }
}

/// How finely the fleet's time is told to the server. Where the moment of a poll decides what it is answered, it is told to
/// the second.
fn round(plan: &Plan) -> i64 {
    let has_course = plan
        .release
        .as_ref()
        .is_some_and(|release| release.course().is_some());
    if has_course { SHORT_ROUND } else { ROUND }
}

/// Whether a device has finished what it began and asked once more. `waits`: what it was told to wait for will come.
fn is_done(device: &crate::device::Device, since: i64, waits: bool) -> bool {
    let is_over = |record: &crate::device_record::DeviceRecord| {
        let answered = record.last_check.is_some_and(|at| at >= since);
        answered && !(waits && WAITING.contains(&record.last_answer.as_str()))
    };
    device.is_settled() && device.with_record(is_over)
}

/// Answers that say that something will come. Agents of before are told `paused`.
const WAITING: [&str; 2] = ["outside_window", "paused"];

fn tally(seen: &[(bool, bool)]) -> (usize, usize) {
    let offered = seen.iter().filter(|(offered, _)| *offered).count();
    (offered, seen.iter().filter(|(_, installed)| *installed).count())
}
