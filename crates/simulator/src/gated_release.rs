//! A release with a health gate on a real server: a fleet of agents lives it while the server's clock is the fleet's, and
//! nobody does anything but make the rollout.
//!
//! It shows what the pure rules can't: that the server counts who is watched and how they fare as those rules ask for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::ClockDriver;
use crate::fleet::{Fleet, MAX_OUTAGE, Muster};
use crate::life::{Pace, ROUND, Then, moment, wait_for};
use crate::operator::{Build, Operator};
use crate::population::Population;
use crate::run::{BEGIN, Token};
use crate::{Error, place};

const HOUR: i64 = 3_600_000;

/// A week, in milliseconds.
const WEEK: i64 = 7 * 24 * HOUR;

/// How much of the fleet's time passes between two looks of the server's at its gates.
const STEP: i64 = HOUR / 3;

/// How long a server is given for a look, in real time: what polls left is written once a second, and gates are looked at
/// once a second.
const LOOK: Duration = Duration::from_millis(2_200);

/// What is to be played.
#[derive(Clone, Debug)]
pub struct GatedRelease {
    /// The server, on this machine.
    pub server: String,
    /// A token of the role admin.
    pub token: Token,
    /// The package, whose base everybody may have.
    pub package: String,
    /// The version code of the build that is released.
    pub version: i64,
    /// How many devices there are.
    pub devices: u32,
    /// Where all chance comes from.
    pub seed: u64,
    /// Who they are, and what the build does to them.
    pub population: Population,
    /// The plan's steps, as they are posted.
    pub steps: Value,
    /// What becomes of it when it is halted.
    pub on_halt: &'static str,
    /// After so many hours of its life the whole fleet falls silent; none: never.
    pub silent_after_h: Option<u32>,
    /// Whether the operator resumes it once it was halted.
    pub resumes: bool,
    /// How long the fleet lives at most, in hours.
    pub hours: u32,
    /// The clock that the server follows.
    pub clock: Arc<ClockDriver>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct GatedReport {
    /// The rollout, as the server shows it.
    pub rollout: Value,
    /// What its gate reads; none of one that was taken back.
    pub gate: Value,
    /// What happened to it, oldest first.
    pub events: Vec<Value>,
    /// The package's base, as the server shows it.
    pub base: Value,
    /// Devices that run the build, dead or alive.
    pub installed: usize,
    /// Devices that it left dead.
    pub bricked: usize,
    /// Devices that run what was the base before.
    pub on_base: usize,
    /// Hours of the fleet's life when it ended.
    pub hours: f64,
}

impl fmt::Display for GatedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        writeln!(
            f,
            "{} after {:.2} h, {} installed it, {} of these are dead",
            text(&self.rollout["state"]),
            self.hours,
            self.installed,
            self.bricked
        )?;
        for event in &self.events {
            writeln!(
                f,
                "  {} {} {} {} step {} {}",
                text(&event["at"]),
                text(&event["action"]),
                text(&event["state"]),
                text(&event["phase"]),
                event["step"],
                text(&event["remark"])
            )?;
        }
        write!(f, "  {}", text(&self.gate["sentence"]))
    }
}

/// Plays it until it ends: it is complete, taken back, or halted and not to be resumed, or the fleet's time is over.
///
/// # Errors
/// [`Error`], when it can't be played to its end.
pub async fn run(release: &GatedRelease) -> Result<GatedReport, Error> {
    let server = place::server(&release.server).await?;
    let operator = Operator::new(&server, &release.token.0)?;
    wait_for(&operator, MAX_OUTAGE).await?;
    let now = release
        .clock
        .wait_for_server(MAX_OUTAGE)
        .await?
        .timestamp_millis();
    // At nine in the morning of a Monday.
    let begin = BEGIN + ((now - BEGIN).div_euclid(WEEK) + 1) * WEEK + 9 * HOUR;
    release.clock.set(moment(begin), 0).await;
    let build = operator
        .build_of_version(&release.package, release.version)
        .await?;
    let muster = muster(release, server.clone(), begin, &build, &operator).await?;
    let fleet = Fleet::enroll_on(muster, None, operator, |_| {}).await?;
    let mut run = Run {
        release,
        fleet,
        begin,
        at: begin,
        rollout: 0,
        resumed: false,
    };
    // Everybody has polled once, so that the server knows what they run.
    run.live(begin + 8 * HOUR).await?;
    run.rollout = run.make(build.build_id).await?;
    while !run.is_over().await? {
        run.live(run.at + STEP).await?;
    }
    run.report().await
}

async fn muster(
    release: &GatedRelease,
    server: String,
    begin: i64,
    build: &Build,
    operator: &Operator,
) -> Result<Muster, Error> {
    let signed = build.clone();
    Ok(Muster {
        server,
        package: release.package.clone(),
        enrollment_token: operator.enrollment_token(release.devices).await?,
        names: (0..release.devices)
            .map(|number| format!("gated-{}-{number:05}", release.seed))
            .collect(),
        installed: Default::default(),
        signer: Box::new(move |sdk| signed.signer_at(sdk).to_owned()),
        seed: release.seed,
        population: release.population.clone(),
        faults: 0.0,
        pace: Pace::Driving(Arc::clone(&release.clock), ROUND),
        begin,
        ahead: (begin - BEGIN).div_euclid(WEEK) * WEEK,
        push_service: None,
    })
}

struct Run<'a> {
    release: &'a GatedRelease,
    fleet: Fleet,
    begin: i64,
    at: i64,
    rollout: i64,
    resumed: bool,
}

impl Run<'_> {
    /// Lets the fleet live until then, and the server look at what came of it.
    async fn live(&mut self, until: i64) -> Result<(), Error> {
        let silent = self
            .release
            .silent_after_h
            .map(|hours| self.begin + i64::from(hours) * HOUR);
        let end = silent.map_or(until, |silent| until.min(silent));
        self.fleet.live_until(end, |_, _| Then::GoOn).await?;
        self.release.clock.set(moment(until), 0).await;
        self.at = until;
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    async fn make(&self, build: i64) -> Result<i64, Error> {
        let terms = json!({
            "build_id": build,
            "name": "watched",
            "plan": { "steps": self.release.steps },
            "gate": { "mode": "act" },
            "on_halt": self.release.on_halt,
            "keep_previous": true,
        });
        let made = self.fleet.operator().release(&terms).await?;
        made["rollout_id"]
            .as_i64()
            .ok_or_else(|| Error::Server(format!("the rollout has no number: {made}")))
    }

    async fn is_over(&mut self) -> Result<bool, Error> {
        if self.at >= self.begin + i64::from(self.release.hours) * HOUR {
            return Ok(true);
        }
        let rollout = self.shown().await?;
        match rollout["state"].as_str() {
            Some("active") => Ok(false),
            Some("halted") if self.release.resumes && !self.resumed => {
                let gate = self.gate().await?;
                let seen = gate["failures"].as_u64().unwrap_or_default();
                let operator = self.fleet.operator();
                operator
                    .resume(self.rollout, seen, "a power cut in one hall")
                    .await?;
                self.resumed = true;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    async fn shown(&self) -> Result<Value, Error> {
        let path = format!("/v1/rollouts/{}", self.rollout);
        self.fleet.operator().page(&path).await
    }

    async fn gate(&self) -> Result<Value, Error> {
        let path = format!("/v1/rollouts/{}/gate", self.rollout);
        self.fleet.operator().page(&path).await
    }

    async fn report(&self) -> Result<GatedReport, Error> {
        let (operator, version) = (self.fleet.operator(), self.release.version);
        let path = format!("/v1/rollouts/{}/timeline?page_size=500", self.rollout);
        let timeline = operator.page(&path).await?;
        let mut events = timeline["events"].as_array().cloned().unwrap_or_default();
        events.reverse();
        let path = format!("/v1/rollouts?package_name={}", self.release.package);
        let rollouts = operator.page(&path).await?;
        let mut rollouts = rollouts["items"].as_array().into_iter().flatten();
        let base = rollouts.find(|rollout| rollout["is_current"] == true);
        let count = |is_so: &dyn Fn(&crate::device::Device) -> bool| {
            self.fleet.devices().filter(|device| is_so(device)).count()
        };
        #[expect(clippy::cast_precision_loss, reason = "a fleet lives for weeks")]
        let hours = (self.at - self.begin) as f64 / 3_600_000.0;
        Ok(GatedReport {
            rollout: self.shown().await?,
            gate: self.gate().await.unwrap_or_default(),
            events,
            base: base.cloned().unwrap_or_default(),
            installed: count(&|device| device.version() == version),
            bricked: count(&crate::device::Device::is_bricked),
            on_base: count(&|device| device.version() == self.release.population.factory_version),
            hours,
        })
    }
}
