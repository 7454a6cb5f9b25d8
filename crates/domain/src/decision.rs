//! The poll's decision, and the explanation of it.
//!
//! Both run the same evaluation: [`decide`] with a trace that costs nothing, [`explain`] with one that writes down
//! each rule that was asked, what it was given and what it answered. They can therefore never disagree.
//!
//! The rollouts of a package are asked in order, the current one first. Rules that say "not this device" pass it
//! on to the next rollout that was kept beside the current one; rules that say "nothing for you now" end the
//! search. When no rollout takes the device, the reason given is the current rollout's.

use std::cell::OnceCell;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    Bucket, Build, BuildId, Catalog, PackageCatalog, Rejection, Release, Rollout, RolloutId, RolloutState,
    SdkLevel, SignerFingerprint, VersionCode, track::signer_of,
};

/// What a device says when it polls. Attributes that it leaves out are not judged, except by an audience that
/// demands them.
#[derive(Clone, Copy, Debug)]
pub struct PollRequest<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The package it asks about.
    pub package: &'a str,
    /// The version it runs; 0 when the package is not installed.
    pub installed: VersionCode,
    /// Its API level.
    pub sdk: Option<SdkLevel>,
    /// Its region.
    pub region: Option<&'a str>,
    /// Its model.
    pub model: Option<&'a str>,
    /// Its instruction sets, comma-separated, best first.
    pub abis: Option<&'a str>,
    /// The builds that it gave up.
    pub rejections: &'a [Rejection],
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
}

/// Why a device is offered nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The package releases nothing.
    NoCurrentBuild,
    /// The device runs this version or a higher one that it is not to be taken back from.
    AlreadyCurrent,
    /// The device is outside the share of the fleet.
    NotInCohort,
    /// The device is not one of those that the rollout addresses.
    NotInAudience,
    /// An operator holds the rollout.
    Paused,
    /// A health gate holds the rollout.
    Halted,
    /// The rollout has not begun.
    Scheduled,
    /// The build needs a higher API level.
    IncompatibleSdk,
    /// The build has native code, none of it for this device.
    IncompatibleAbi,
    /// The device tried the build and gave it up.
    RejectedByDevice,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::NoCurrentBuild,
        Self::AlreadyCurrent,
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
    pub inputs: Vec<(&'static str, String)>,
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

/// What one rollout says of a device.
enum Verdict {
    Takes,
    /// Not this device; a rollout kept beside it may take it.
    PassesOn(Reason),
    /// This device, and nothing for it now.
    Ends(Reason),
}

fn evaluate<'c, T: Trace>(
    catalog: &'c Catalog,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
    trace: &mut T,
) -> Decision<'c> {
    let package = catalog
        .package(request.package)
        .filter(|package| !package.serving.is_empty());
    trace.note(|| Step {
        rollout: None,
        build: None,
        rule: "current_rollout",
        inputs: vec![("package_name", request.package.to_owned())],
        passed: package.is_some(),
        answer: match package {
            Some(package) => format!("{} rollout(s) serve this package", package.serving.len()),
            None => "nothing was released for this package".to_owned(),
        },
    });
    let Some(package) = package else {
        return Decision::NoUpdate(Reason::NoCurrentBuild);
    };
    let mut first_reason = None;
    let unsalted = OnceCell::new();
    for release in &package.serving {
        let ask = Ask {
            release,
            package,
            request,
            now,
            unsalted: &unsalted,
        };
        match ask.verdict(trace) {
            Verdict::Takes => {
                let signer = release.build.facts.signers.seen_by(request.sdk);
                return Decision::Offer(Offer {
                    rollout: &release.rollout,
                    build: &release.build,
                    signer,
                });
            }
            Verdict::Ends(reason) => return Decision::NoUpdate(reason),
            Verdict::PassesOn(reason) => first_reason = first_reason.or(Some(reason)),
        }
    }
    Decision::NoUpdate(first_reason.unwrap_or(Reason::NoCurrentBuild))
}

/// One rollout asked about one poll.
struct Ask<'a> {
    release: &'a Release,
    package: &'a PackageCatalog,
    request: &'a PollRequest<'a>,
    now: DateTime<Utc>,
    /// The device's bucket without a salt: the same for all rollouts that have none, so it is hashed once.
    unsalted: &'a OnceCell<Bucket>,
}

impl Ask<'_> {
    /// Cheap rules first; the cohort, which costs a hash, last.
    fn verdict<T: Trace>(&self, trace: &mut T) -> Verdict {
        let held = self.state(trace);
        // The other rules are asked of a held rollout too, for it holds its own devices only: one that it would
        // not take goes on to a kept rollout, but one that has its build must not, or it might be taken back.
        if !self.version(trace) {
            return Verdict::Ends(held.unwrap_or(Reason::AlreadyCurrent));
        }
        match self.first_refusal(trace) {
            Some(reason) => Verdict::PassesOn(held.unwrap_or(reason)),
            None => held.map_or(Verdict::Takes, Verdict::Ends),
        }
    }

    /// The first rule that says "not this device".
    fn first_refusal<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        if !self.rejection(trace) {
            Some(Reason::RejectedByDevice)
        } else if !self.sdk(trace) {
            Some(Reason::IncompatibleSdk)
        } else if !self.abi(trace) {
            Some(Reason::IncompatibleAbi)
        } else if !self.audience(trace) {
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
        words: impl FnOnce() -> (Vec<(&'static str, String)>, String),
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
        let held = match state {
            RolloutState::Active | RolloutState::Completed => None,
            RolloutState::Paused => Some(Reason::Paused),
            RolloutState::Halted => Some(Reason::Halted),
            RolloutState::Scheduled => Some(Reason::Scheduled),
            // The catalog holds no rollout that has ended; were one there, it must offer nothing.
            RolloutState::Superseded | RolloutState::RolledBack => Some(Reason::NoCurrentBuild),
        };
        self.note(trace, "state", held.is_none(), || {
            (
                vec![("state", state.to_string())],
                format!("the rollout is {state}"),
            )
        });
        held
    }

    fn version<T: Trace>(&self, trace: &mut T) -> bool {
        let (installed, offered) = (self.request.installed, self.release.build.facts.version_code);
        let forced = self.release.rollout.spec.settings.force_downgrade;
        let passed = installed < offered || (forced && installed > offered && self.same_signer(installed));
        self.note(trace, "version", passed, || {
            let inputs = vec![
                ("current_version_code", installed.to_string()),
                ("version_code", offered.to_string()),
                ("force_downgrade", forced.to_string()),
            ];
            let answer = match (installed.cmp(&offered), passed) {
                (std::cmp::Ordering::Less, _) => "the device runs an older version",
                (std::cmp::Ordering::Equal, _) => "the device already runs this version",
                (_, true) => "the device runs a newer version of the same signer and is taken back",
                (_, false) if forced => {
                    "the device runs a newer version that is not known to have the same signer"
                }
                _ => "the device runs a newer version, and downgrades are not forced",
            };
            (inputs, answer.to_owned())
        })
    }

    /// Whether the version that the device runs is one the server holds, signed alike in this device's eyes.
    fn same_signer(&self, installed: VersionCode) -> bool {
        let sdk = self.request.sdk;
        signer_of(&self.package.known_signers, installed, sdk)
            .is_some_and(|signer| signer == self.release.build.facts.signers.seen_by(sdk))
    }

    fn rejection<T: Trace>(&self, trace: &mut T) -> bool {
        let spec = &self.release.rollout.spec;
        let rejection = self
            .request
            .rejections
            .iter()
            .find(|rejection| rejection.applies_to(spec.build, spec.attempt, self.now));
        self.note(trace, "rejection", rejection.is_none(), || {
            let inputs = vec![("attempt", spec.attempt.to_string())];
            let answer = match rejection {
                None => "the device has not given this build up".to_owned(),
                Some(Rejection {
                    until: Some(until), ..
                }) => {
                    format!(
                        "the device failed repeatedly and rests until {}",
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
        let (sdk, min_sdk) = (self.request.sdk, self.release.build.facts.min_sdk);
        let passed = sdk.is_none_or(|sdk| sdk >= min_sdk);
        self.note(trace, "sdk", passed, || {
            let stated = sdk.map_or("not stated".to_owned(), |sdk| sdk.to_string());
            let inputs = vec![("sdk", stated), ("min_sdk", min_sdk.to_string())];
            let answer = if passed {
                "the API level suffices or is not stated"
            } else {
                "the API level is too low"
            };
            (inputs, answer.to_owned())
        })
    }

    fn abi<T: Trace>(&self, trace: &mut T) -> bool {
        let (device, build) = (self.request.abis, &self.release.build.facts.abis);
        let passed = build.is_empty()
            || device.is_none_or(|abis| abis.split(',').any(|abi| build.iter().any(|b| b == abi.trim())));
        self.note(trace, "abi", passed, || {
            let inputs = vec![
                ("abi", device.unwrap_or("not stated").to_owned()),
                ("abis", build.join(",")),
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
        let (region, model) = (self.request.region, self.request.model);
        let passed = audience.includes(region, model);
        self.note(trace, "audience", passed, || {
            let inputs = vec![
                ("region", region.unwrap_or("not stated").to_owned()),
                ("model", model.unwrap_or("not stated").to_owned()),
                ("regions", audience.regions.join(",")),
                ("models", audience.models.join(",")),
            ];
            let answer = if passed {
                "the device is addressed"
            } else {
                "the device is not addressed"
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
                ("bucket", bucket.get().to_string()),
                ("cohort", bucket.cohort().to_string()),
                ("rollout_percent", settings.percent.get().to_string()),
                ("salt", settings.salt.clone().unwrap_or_default()),
            ];
            let limit = u16::from(settings.percent.get()) * 100;
            let answer = if passed { "is below" } else { "is not below" };
            (inputs, format!("bucket {} {answer} {limit}", bucket.get()))
        })
    }
}
