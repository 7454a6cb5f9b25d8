//! The poll's decision, and the explanation of it.
//!
//! Both run the same evaluation: [`decide`] with a trace that costs nothing, [`explain`] with one that writes down
//! each rule, its inputs and its answer. They can therefore never disagree.
//!
//! 1. A device that runs a version which a forced roll-back takes back is judged by that roll-back first.
//! 2. Then the rollouts that serve the package are asked in order, the current one first.
//!
//! A rule that says "not this device" passes it on to the next rollout. A rule that says "this device, but nothing now"
//! ends the search. When no rollout takes the device, it is told the current rollout's reason.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    Bucket, Build, BuildId, Catalog, Clause, DeviceFacts, Installability, Rejection, Release, Rollout,
    RolloutId, RolloutState, SdkLevel, SignerFingerprint, Subject, Track, VersionCode,
};

/// A device's poll, or what its next one would say.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PollRequest<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The package it asks about.
    pub package: &'a str,
    /// The version it runs; 0 when the package is not installed.
    pub installed: VersionCode,
    /// What it says of itself. What it leaves out is not judged, except by an audience that demands it.
    pub facts: &'a DeviceFacts<'a>,
    /// The builds that it gave up.
    pub rejections: &'a [BuildRejection],
}

/// A build that a device gave up.
pub type BuildRejection = (BuildId, Rejection);

impl<'a> PollRequest<'a> {
    /// A poll of this device for this package, of which it runs the version `installed`. A real poll and a question
    /// about what a device would be told are both made here, so that they can't differ in what they say.
    pub fn new(
        device_id: &'a str,
        package: &'a str,
        installed: VersionCode,
        facts: &'a DeviceFacts<'a>,
        rejections: &'a [BuildRejection],
    ) -> Self {
        Self {
            device_id,
            package,
            installed,
            facts,
            rejections,
        }
    }
}

/// The answer to a poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'c> {
    /// The device is to take this build.
    Offer(Offer<'c>),
    /// The device is to take nothing.
    NoUpdate(Reason),
}

/// What a device is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer<'c> {
    /// The rollout that takes the device.
    pub rollout: &'c Rollout,
    /// The build.
    pub build: &'c Build,
    /// The signer that this device will see on it.
    pub signer: SignerFingerprint,
    /// Whether the device is taken back from the version that it runs.
    pub forced: bool,
}

/// Why a device is offered nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The package releases nothing.
    NoCurrentBuild,
    /// The device runs this version.
    AlreadyCurrent,
    /// The device runs a higher version, and is not to be taken back from it.
    NewerInstalled,
    /// The device is outside the share of the fleet.
    NotInCohort,
    /// The device is not one of those that the rollout addresses.
    NotInAudience,
    /// An operator paused the rollout.
    Paused,
    /// A health gate halted the rollout.
    Halted,
    /// The rollout has not begun.
    Scheduled,
    /// Devices of this API level don't install the build.
    IncompatibleSdk,
    /// The build has native code, none of it for this device.
    IncompatibleAbi,
    /// The device tried the build and gave it up.
    RejectedByDevice,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::NoCurrentBuild,
        Self::AlreadyCurrent,
        Self::NewerInstalled,
        Self::NotInCohort,
        Self::NotInAudience,
        Self::Paused,
        Self::Halted,
        Self::Scheduled,
        Self::IncompatibleSdk,
        Self::IncompatibleAbi,
        Self::RejectedByDevice,
    ];

    /// The reason's name in headers, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCurrentBuild => "no_current_build",
            Self::AlreadyCurrent => "already_current",
            Self::NewerInstalled => "newer_installed",
            Self::NotInCohort => "not_in_cohort",
            Self::NotInAudience => "not_in_audience",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Scheduled => "scheduled",
            Self::IncompatibleSdk => "incompatible_sdk",
            Self::IncompatibleAbi => "incompatible_abi",
            Self::RejectedByDevice => "rejected_by_device",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a rule looked at: its name, and its value in words.
type Input = (Cow<'static, str>, String);

/// One rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The rollout that the rule belongs to; none for the rule that looks for one.
    pub rollout: Option<RolloutId>,
    /// The build that it offers.
    pub build: Option<BuildId>,
    /// The rule's name.
    pub rule: &'static str,
    /// What it looked at.
    pub inputs: Vec<Input>,
    /// Whether the device passed.
    pub passed: bool,
    /// The rule's answer in words.
    pub answer: String,
}

/// The chain of rules that led to a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'c> {
    /// The decision: the very one that a poll gets.
    pub decision: Decision<'c>,
    /// The rules in the order in which they were asked.
    pub steps: Vec<Step>,
}

/// Answers a poll.
pub fn decide<'c>(catalog: &'c Catalog, request: &PollRequest<'_>, now: DateTime<Utc>) -> Decision<'c> {
    evaluate(catalog, request, now, &mut Silent)
}

/// Answers a poll and says why.
pub fn explain<'c>(catalog: &'c Catalog, request: &PollRequest<'_>, now: DateTime<Utc>) -> Explanation<'c> {
    let mut steps = Vec::new();
    let decision = evaluate(catalog, request, now, &mut steps);
    Explanation { decision, steps }
}

trait Trace {
    fn note(&mut self, step: impl FnOnce() -> Step);
}

struct Silent;

impl Trace for Silent {
    fn note(&mut self, _: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

/// What one rollout says about a device.
enum Verdict {
    Takes,
    /// Not this device: the next rollout is asked.
    PassesOn(Reason),
    /// This device, but nothing for it now: no other rollout is asked.
    Ends(Reason),
}

fn evaluate<'c, T: Trace>(
    catalog: &'c Catalog,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
    trace: &mut T,
) -> Decision<'c> {
    let track = catalog
        .track(request.package)
        .filter(|track| !track.serving.is_empty());
    trace.note(|| Step {
        rollout: None,
        build: None,
        rule: "current_rollout",
        inputs: vec![("package_name".into(), request.package.to_owned())],
        passed: track.is_some(),
        answer: match track {
            Some(track) => format!("{} rollout(s) serve this package", track.serving.len()),
            None => "nothing was released for this package".to_owned(),
        },
    });
    let Some(track) = track else {
        return Decision::NoUpdate(Reason::NoCurrentBuild);
    };
    let unsalted = OnceCell::new();
    let ask = |release: &'c Release| Ask {
        release,
        track,
        request,
        now,
        unsalted: &unsalted,
    };
    let offer = |release: &'c Release, forced| {
        Decision::Offer(Offer {
            rollout: &release.rollout,
            build: &release.build,
            signer: release.build.facts.signers.seen_by(request.facts.sdk),
            forced,
        })
    };
    let takes_back = |release: &&Release| release.rollout.spec.takes_back == Some(request.installed);
    for release in track.serving.iter().filter(takes_back) {
        match ask(release).forced_verdict(trace) {
            Verdict::Takes => return offer(release, true),
            Verdict::Ends(reason) => return Decision::NoUpdate(reason),
            Verdict::PassesOn(_) => {}
        }
    }
    let mut first_reason = None;
    for release in &track.serving {
        match ask(release).verdict(trace) {
            Verdict::Takes => return offer(release, false),
            Verdict::Ends(reason) => return Decision::NoUpdate(reason),
            Verdict::PassesOn(reason) => first_reason = first_reason.or(Some(reason)),
        }
    }
    Decision::NoUpdate(first_reason.unwrap_or(Reason::NoCurrentBuild))
}

/// One rollout asked about one poll.
struct Ask<'a> {
    release: &'a Release,
    track: &'a Track,
    request: &'a PollRequest<'a>,
    now: DateTime<Utc>,
    /// The device's bucket without a salt: the same for all rollouts that have none, so it is hashed once.
    unsalted: &'a OnceCell<Bucket>,
}

/// The most of a condition's text that an explanation repeats, in characters.
const MAX_CLAUSE_CHARS: usize = 200;

/// What a condition of an audience says of the device, with the values that it looks at.
fn told((number, clause): (usize, &Clause<'_>)) -> Input {
    let mut told = match clause.holds {
        Some(true) => "true".to_owned(),
        Some(false) => "false".to_owned(),
        None => "unknown".to_owned(),
    };
    let mut text = clause.text.chars();
    let _ = write!(
        told,
        ": {}",
        text.by_ref().take(MAX_CLAUSE_CHARS).collect::<String>()
    );
    if text.next().is_some() {
        told.push('…');
    }
    for (name, value) in &clause.values {
        let value = value.as_deref().unwrap_or("not stated");
        let _ = write!(told, "; {name}: {value}");
    }
    (format!("clause {number}").into(), told)
}

/// Why devices of this level don't install the build, in words.
fn refusal(installability: &Installability, sdk: SdkLevel) -> String {
    let found: Vec<String> = installability.blocking_at(sdk).map(ToString::to_string).collect();
    let found = match found.is_empty() {
        true => "the build's file is not for it".to_owned(),
        false => found.join("; "),
    };
    format!("devices of API level {sdk} do not install the build: {found}")
}

impl Ask<'_> {
    /// Asks the cheap rules first, and the cohort, which costs a hash, last.
    fn verdict<T: Trace>(&self, trace: &mut T) -> Verdict {
        let stopped = self.state(trace);
        // A paused or halted rollout goes on asking the other rules: it stops only the devices that it would take.
        match self.version(trace) {
            Ordering::Less => {}
            Ordering::Equal => return Verdict::Ends(stopped.unwrap_or(Reason::AlreadyCurrent)),
            Ordering::Greater => return Verdict::PassesOn(stopped.unwrap_or(Reason::NewerInstalled)),
        }
        match self.unfit(trace).or_else(|| self.not_a_member(trace)) {
            Some(reason) => Verdict::PassesOn(stopped.unwrap_or(reason)),
            None => stopped.map_or(Verdict::Takes, Verdict::Ends),
        }
    }

    /// Whether the rollout takes the device back from the version that it runs. Share and audience are not asked: a
    /// bad version is to be taken from everybody who has it.
    fn forced_verdict<T: Trace>(&self, trace: &mut T) -> Verdict {
        if !self.takes_back(trace) {
            return Verdict::PassesOn(Reason::NewerInstalled);
        }
        let stopped = self.state(trace);
        match self.unfit(trace) {
            Some(reason) => Verdict::PassesOn(reason),
            None => stopped.map_or(Verdict::Takes, Verdict::Ends),
        }
    }

    /// Why the device cannot install the build.
    fn unfit<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        if !self.rejection(trace) {
            Some(Reason::RejectedByDevice)
        } else if !self.sdk(trace) {
            Some(Reason::IncompatibleSdk)
        } else if !self.abi(trace) {
            Some(Reason::IncompatibleAbi)
        } else {
            None
        }
    }

    /// Why the device is not one of those that the rollout addresses.
    fn not_a_member<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        if !self.audience(trace) {
            Some(Reason::NotInAudience)
        } else if !self.cohort(trace) {
            Some(Reason::NotInCohort)
        } else {
            None
        }
    }

    fn note<T: Trace>(
        &self,
        trace: &mut T,
        rule: &'static str,
        passed: bool,
        words: impl FnOnce() -> (Vec<Input>, String),
    ) -> bool {
        trace.note(|| {
            let (inputs, answer) = words();
            let (rollout, build) = (Some(self.release.rollout.id), Some(self.release.build.id));
            Step {
                rollout,
                build,
                rule,
                inputs,
                passed,
                answer,
            }
        });
        passed
    }

    fn state<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        let state = self.release.rollout.spec.state;
        let stopped = match state {
            RolloutState::Active | RolloutState::Completed => None,
            RolloutState::Paused => Some(Reason::Paused),
            RolloutState::Halted => Some(Reason::Halted),
            RolloutState::Scheduled => Some(Reason::Scheduled),
            // The catalog holds no rollout that has ended; were one there, it must offer nothing.
            RolloutState::Superseded | RolloutState::RolledBack => Some(Reason::NoCurrentBuild),
        };
        self.note(trace, "state", stopped.is_none(), || {
            (
                vec![("state".into(), state.to_string())],
                format!("the rollout is {state}"),
            )
        });
        stopped
    }

    /// How the version that the device runs compares with the offered one.
    fn version<T: Trace>(&self, trace: &mut T) -> Ordering {
        let (installed, offered) = (self.request.installed, self.release.build.facts.version_code);
        let order = installed.cmp(&offered);
        self.note(trace, "version", order == Ordering::Less, || {
            let inputs = vec![
                ("current_version_code".into(), installed.to_string()),
                ("version_code".into(), offered.to_string()),
            ];
            let answer = match order {
                Ordering::Less => "the device runs an older version",
                Ordering::Equal => "the device already runs this version",
                Ordering::Greater => {
                    "the device runs a newer version, which this rollout takes nobody back from"
                }
            };
            (inputs, answer.to_owned())
        });
        order
    }

    /// Whether Android would install the build over the version that is taken back, as far as the signer decides it.
    fn takes_back<T: Trace>(&self, trace: &mut T) -> bool {
        let installed = self.request.installed;
        let passed = self.same_signer(installed);
        self.note(trace, "forced_roll_back", passed, || {
            let inputs = vec![
                ("current_version_code".into(), installed.to_string()),
                ("version_code".into(), self.release.build.facts.version_code.to_string()),
            ];
            let answer = if passed {
                "the device runs the version that is taken back, whatever its share and audience"
            } else {
                "the device runs the version that is taken back, but the build is not known to have the same signer"
            };
            (inputs, answer.to_owned())
        })
    }

    /// Whether the server holds the version that the device runs, and this device sees the same signer on both.
    fn same_signer(&self, installed: VersionCode) -> bool {
        let sdk = self.request.facts.sdk;
        self.track
            .signer_of(installed, sdk)
            .is_some_and(|signer| signer == self.release.build.facts.signers.seen_by(sdk))
    }

    fn rejection<T: Trace>(&self, trace: &mut T) -> bool {
        let spec = &self.release.rollout.spec;
        let rejection = self
            .request
            .rejections
            .iter()
            .find(|(build, rejection)| {
                *build == spec.build && rejection.applies_to(spec.retry_generation, self.now)
            })
            .map(|(_, rejection)| rejection);
        self.note(trace, "rejection", rejection.is_none(), || {
            let inputs = vec![("retry_generation".into(), spec.retry_generation.to_string())];
            let answer = match rejection {
                None => "the device has not given this build up".to_owned(),
                Some(Rejection {
                    until: Some(until), ..
                }) => {
                    format!(
                        "the device failed repeatedly and is not asked to try again until {}",
                        until.format("%FT%TZ")
                    )
                }
                Some(_) => {
                    "the device gave this build up for good; promote it with retry_failed to try again"
                        .to_owned()
                }
            };
            (inputs, answer)
        })
    }

    fn sdk<T: Trace>(&self, trace: &mut T) -> bool {
        let facts = &self.release.build.facts;
        let (sdk, min_sdk) = (self.request.facts.sdk, facts.min_sdk);
        let known = facts.installability.as_ref();
        let suffices = sdk.is_none_or(|sdk| sdk >= min_sdk);
        let passed = suffices && sdk.is_none_or(|sdk| known.is_none_or(|known| known.installs_at(sdk)));
        self.note(trace, "sdk", passed, || {
            let stated = sdk.map_or("not stated".to_owned(), |sdk| sdk.to_string());
            let inputs = vec![
                ("sdk".into(), stated),
                ("min_sdk".into(), min_sdk.to_string()),
                (
                    "installs_on".into(),
                    known.map_or("not examined".to_owned(), Installability::levels),
                ),
            ];
            let answer = match (passed, suffices, known, sdk) {
                (true, ..) => "the API level suffices or is not stated".to_owned(),
                (false, true, Some(known), Some(sdk)) => refusal(known, sdk),
                _ => "the API level is too low".to_owned(),
            };
            (inputs, answer)
        })
    }

    fn abi<T: Trace>(&self, trace: &mut T) -> bool {
        let (device, build) = (self.request.facts.abis.as_deref(), &self.release.build.facts.abis);
        let passed = build.is_empty()
            || device.is_none_or(|abis| abis.split(',').any(|abi| build.iter().any(|b| b == abi.trim())));
        self.note(trace, "abi", passed, || {
            let inputs = vec![
                ("abi".into(), device.unwrap_or("not stated").to_owned()),
                ("abis".into(), build.join(",")),
            ];
            let answer = if passed {
                "the native code fits, or there is none"
            } else {
                "no native code for this device"
            };
            (inputs, answer.to_owned())
        })
    }

    fn audience<T: Trace>(&self, trace: &mut T) -> bool {
        let audience = &self.release.rollout.spec.settings.audience;
        let subject = Subject::untagged(self.request.facts, self.request.installed);
        let passed = audience.includes(&subject);
        self.note(trace, "audience", passed, || {
            let clauses = audience.clauses(&subject);
            let inputs = (1..).zip(&clauses).map(told).collect();
            let unknown = clauses.iter().any(|clause| clause.holds.is_none());
            let refused = clauses.iter().any(|clause| clause.holds == Some(false));
            let answer = match (passed, unknown && !refused) {
                (true, _) => "the device is addressed",
                (false, true) => "the device does not state enough to be certainly addressed",
                (false, false) => "the device is not addressed",
            };
            (inputs, answer.to_owned())
        })
    }

    fn cohort<T: Trace>(&self, trace: &mut T) -> bool {
        let settings = &self.release.rollout.spec.settings;
        let hash = || settings.bucket(self.request.device_id);
        let bucket = if settings.salt.is_none() {
            *self.unsalted.get_or_init(hash)
        } else {
            hash()
        };
        let passed = bucket.is_within(settings.percent);
        self.note(trace, "cohort", passed, || {
            let inputs = vec![
                ("bucket".into(), bucket.get().to_string()),
                ("cohort".into(), bucket.cohort().to_string()),
                ("rollout_percent".into(), settings.percent.get().to_string()),
                ("salt".into(), settings.salt.clone().unwrap_or_default()),
            ];
            let limit = u16::from(settings.percent.get()) * 100;
            let answer = if passed { "is below" } else { "is not below" };
            (inputs, format!("bucket {} {answer} {limit}", bucket.get()))
        })
    }
}
