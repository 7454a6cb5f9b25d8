//! One rollout's rules, in the order in which it asks them.

use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Again, Input, PollRequest, Silent, Step, Trace, Verdict, policy_inputs};
use crate::calendar::CalendarQuestion;
use crate::{
    Build, Clause, CompiledCalendars, InstallTerms, Installability, Phase, PolicySet, Position, Reason,
    Rejection, Release, RolloutState, SdkLevel, Subject, TERMS_SINCE_PROTOCOL, Track, VersionCode,
};
/// One rollout asked about one poll.
pub(super) struct Ask<'c, 'a> {
    pub(super) release: &'c Release,
    pub(super) track: &'c Track,
    pub(super) request: &'a PollRequest<'a>,
    pub(super) policies: &'a PolicySet,
    pub(super) calendars: &'a CompiledCalendars,
    pub(super) now: DateTime<Utc>,
    /// When the answer changes by itself, as far as it is known by now.
    pub(super) again: &'a Cell<Option<Again>>,
    /// The device's position without a salt: the same for all rollouts that have none, so it is hashed once.
    pub(super) unsalted: &'a OnceCell<Position>,
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

impl<'c> Ask<'c, '_> {
    /// Asks who is meant before what is offered, so that a rollout speaks for its own devices only.
    pub(super) fn verdict<T: Trace>(&self, trace: &mut T) -> Verdict<'c> {
        match self.not_a_member(trace) {
            None => self.verdict_on_member(trace),
            Some(Reason::HeldBack) => match self.verdict_on_member(trace) {
                Verdict::Takes(_) => Verdict::Ends(Reason::HeldBack),
                other => other,
            },
            Some(reason) => Verdict::PassesOn(reason),
        }
    }

    /// What it would say if its share covered the device. Asked of rollouts that have begun.
    pub(super) fn covered(&self) -> Verdict<'c> {
        match self.audience(&mut Silent) {
            true => self.verdict_on_member(&mut Silent),
            false => Verdict::PassesOn(Reason::NotInAudience),
        }
    }

    fn verdict_on_member<T: Trace>(&self, trace: &mut T) -> Verdict<'c> {
        match self.version(trace) {
            Ordering::Less => {}
            Ordering::Equal => return Verdict::Ends(Reason::AlreadyCurrent),
            Ordering::Greater => return Verdict::PassesOn(Reason::NewerInstalled),
        }
        match self.state(trace) {
            None => {}
            Some(Reason::Scheduled) => return Verdict::PassesOn(Reason::Scheduled),
            Some(stopped) => return Verdict::Ends(stopped),
        }
        if let Some(reason) = self.unfit(trace).or_else(|| self.ceiling(trace)) {
            return Verdict::PassesOn(reason);
        }
        match self.next_build(trace) {
            Some(build) if self.is_open_for(build, trace) => {
                self.tell_install_terms(trace);
                Verdict::Takes(build)
            }
            Some(_) => Verdict::Ends(Reason::OutsideWindow),
            None => Verdict::PassesOn(Reason::NeedsIntermediate),
        }
    }

    /// Notes what the device will wait for before it installs what it is offered. Where that is nothing, so is the note.
    fn tell_install_terms<T: Trace>(&self, trace: &mut T) {
        let terms = &self.release.rollout.spec.settings.install;
        if !T::TELLS || *terms == InstallTerms::default() {
            return;
        }
        self.note(trace, "install_terms", true, || {
            let deadline = terms
                .deadline
                .map(|deadline| deadline.format("%FT%TZ").to_string());
            let inputs = vec![
                ("install_when".into(), terms.conditions()),
                (
                    "install_deadline".into(),
                    deadline.clone().unwrap_or_else(|| "none".to_owned()),
                ),
            ];
            let conditions: Vec<&str> = terms.when.iter().map(|condition| condition.as_str()).collect();
            let conditions = conditions.join(" and ");
            let answer = match (terms.when.is_empty(), deadline) {
                (true, _) => {
                    "the device installs as soon as it has fetched the file and its safety rules allow it"
                        .to_owned()
                }
                (false, Some(deadline)) if terms.is_past(self.now) => {
                    format!("the deadline {deadline} has passed: the device no longer waits for {conditions}")
                }
                (false, Some(deadline)) => {
                    format!("the device installs while {conditions} holds, and from {deadline} on at once")
                }
                (false, None) => format!("the device installs while {conditions} holds"),
            };
            let known = self.request.facts.protocol >= TERMS_SINCE_PROTOCOL;
            let answer = match known || terms.when.is_empty() {
                true => answer,
                false => {
                    "the device's agent is older than conditions for the installation, and waits for none"
                        .to_owned()
                }
            };
            (inputs, answer)
        });
    }

    /// Whether the rollout takes the device back from the version that it runs. Share and audience are not asked: a
    /// bad version is to be taken from everybody who has it, but for those whom a rollout that is asked earlier wants to
    /// run it.
    pub(super) fn forced_verdict<T: Trace>(&self, at_home: Option<&Release>, trace: &mut T) -> Verdict<'c> {
        if !self.takes_back(at_home, trace) {
            return Verdict::PassesOn(Reason::NewerInstalled);
        }
        let stopped = self.state(trace);
        match (self.unfit(trace), stopped) {
            (Some(reason), _) => Verdict::PassesOn(reason),
            (None, Some(stopped)) => Verdict::Ends(stopped),
            // Who closed a calendar doesn't want these devices touched, be it for the better.
            (None, None) if self.is_open_for(&self.release.build, trace) => {
                self.tell_install_terms(trace);
                Verdict::Takes(&self.release.build)
            }
            (None, None) => Verdict::Ends(Reason::OutsideWindow),
        }
    }

    /// Whether the device runs this rollout's build and is one of its own.
    pub(super) fn is_home(&self) -> bool {
        self.request.installed == self.release.build.facts.version_code
            && self.not_a_member(&mut Silent).is_none()
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
        if !self.release.rollout.spec.state.has_begun() {
            return self.state(trace);
        }
        match self.audience(trace) {
            true => self.cohort(trace),
            false => Some(Reason::NotInAudience),
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
            RolloutState::Proposed | RolloutState::Scheduled => Some(Reason::Scheduled),
            // The catalog holds no rollout that has ended; were one there, it must offer nothing.
            RolloutState::Superseded | RolloutState::RolledBack | RolloutState::Canceled => {
                Some(Reason::NoCurrentBuild)
            }
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

    /// Whether Android would install the build over the version that is taken back, as far as the signer decides it, and
    /// no rollout that is asked earlier wants the device to run it.
    fn takes_back<T: Trace>(&self, at_home: Option<&Release>, trace: &mut T) -> bool {
        let installed = self.request.installed;
        let same_signer = self.same_signer(installed);
        self.note(trace, "forced_roll_back", same_signer && at_home.is_none(), || {
            let inputs = vec![
                ("current_version_code".into(), installed.to_string()),
                ("version_code".into(), self.release.build.facts.version_code.to_string()),
            ];
            let answer = match at_home {
                Some(home) => format!(
                    "the device runs the version that is taken back, but rollout {} is asked earlier and wants it to",
                    home.rollout.id
                ),
                None if same_signer => {
                    "the device runs the version that is taken back, whatever its share and audience".to_owned()
                }
                None => "the device runs the version that is taken back, but the build is not known to have the same \
                         signer"
                    .to_owned(),
            };
            (inputs, answer)
        })
    }

    /// Whether the server holds the version that the device runs, and this device sees the same signer on both.
    fn same_signer(&self, installed: VersionCode) -> bool {
        let sdk = self.request.facts.sdk;
        self.track
            .signer_of(installed, sdk)
            .is_some_and(|signer| signer == self.release.build.facts.signers.seen_by(sdk))
    }

    /// Why the device does not take this build, if it gave it up.
    fn rejection_of(&self, build: &Build) -> Option<&Rejection> {
        let generation = self.release.rollout.spec.retry_generation;
        self.request
            .rejections
            .iter()
            .find(|(id, rejection)| *id == build.id && rejection.applies_to(generation, self.now))
            .map(|(_, rejection)| rejection)
    }

    fn rejection<T: Trace>(&self, trace: &mut T) -> bool {
        let spec = &self.release.rollout.spec;
        let rejection = self.rejection_of(&self.release.build);
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

    fn fits_sdk(&self, build: &Build) -> bool {
        let known = build.facts.installability.as_ref();
        self.request
            .facts
            .sdk
            .is_none_or(|sdk| sdk >= build.facts.min_sdk && known.is_none_or(|known| known.installs_at(sdk)))
    }

    fn sdk<T: Trace>(&self, trace: &mut T) -> bool {
        let facts = &self.release.build.facts;
        let (sdk, min_sdk) = (self.request.facts.sdk, facts.min_sdk);
        let known = facts.installability.as_ref();
        let suffices = sdk.is_none_or(|sdk| sdk >= min_sdk);
        let passed = self.fits_sdk(&self.release.build);
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

    fn fits_abi(&self, build: &Build) -> bool {
        let wanted = &build.facts.abis;
        let has = |abis: &str| {
            abis.split(',')
                .any(|abi| wanted.iter().any(|wanted| wanted == abi.trim()))
        };
        wanted.is_empty() || self.request.facts.abis.as_deref().is_none_or(has)
    }

    fn abi<T: Trace>(&self, trace: &mut T) -> bool {
        let (device, build) = (self.request.facts.abis.as_deref(), &self.release.build.facts.abis);
        let passed = self.fits_abi(&self.release.build);
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

    /// Whether a policy allows the device no version as high as this one. A forced roll-back doesn't ask: it takes devices
    /// from a bad version, and must not leave those on it that are kept below it. Without a ceiling there is nothing to note.
    fn ceiling<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        let PollRequest {
            device_id,
            package,
            overlay,
            ..
        } = self.request;
        let (policy, ceiling) = self.policies.ceiling_on(device_id, package, overlay)?;
        let offered = self.release.build.facts.version_code;
        let passed = self.note(trace, "ceiling", offered <= ceiling, || {
            let mut inputs = policy_inputs(policy, "max_version", ceiling.to_string());
            inputs.push(("version_code".into(), offered.to_string()));
            let answer = if offered <= ceiling {
                format!("policy {} allows this version", policy.id)
            } else {
                format!(
                    "policy {} allows nothing above {ceiling}: {}",
                    policy.id, policy.spec.remark
                )
            };
            (inputs, answer)
        });
        (!passed).then_some(Reason::AboveCeiling)
    }

    fn audience<T: Trace>(&self, trace: &mut T) -> bool {
        let audience = &self.release.rollout.spec.settings.audience;
        let subject = Subject {
            facts: self.request.facts,
            installed: self.request.installed,
            tags: self.request.overlay.tags(),
        };
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

    /// Why the share does not take the device now, if it doesn't.
    fn cohort<T: Trace>(&self, trace: &mut T) -> Option<Reason> {
        let spec = &self.release.rollout.spec;
        let settings = &spec.settings;
        let position = settings.position_once(self.request.device_id, self.unsalted);
        let passed = spec.takes(position, self.now);
        let kept_back = !passed && spec.keeps_back(position);
        // In the step's share the plan's ramp will reach it.
        let ramps = !passed && !kept_back && spec.phase() == Some(Phase::Ramping) && settings.takes(position);
        let run = spec.plan.as_ref().filter(|_| ramps);
        let reached = run.and_then(|run| run.reaches(settings.slice, position));
        if let Some(at) = reached {
            self.changes(Again { at, spread: None });
        }
        self.note(trace, "cohort", passed, || {
            let mut inputs = vec![
                ("position".into(), position.get().to_string()),
                ("cohort".into(), position.cohort().to_string()),
                (
                    "rollout_percent".into(),
                    spec.percent(self.now).as_decimal().to_string(),
                ),
                ("slice".into(), settings.slice.to_string()),
                ("salt".into(), settings.salt.clone().unwrap_or_default()),
            ];
            if let Some(phase) = spec.phase() {
                inputs.push(("phase".into(), phase.to_string()));
                inputs.push(("step_percent".into(), settings.percent.as_decimal().to_string()));
            }
            let answer = if passed { "is" } else { "is not" };
            let place = position.as_percent();
            let share = spec.share(self.now).as_percent();
            let mut answer = format!(
                "the device's position, {place:.6} %, {answer} in the first {share} % of {}",
                settings.slice
            );
            if kept_back {
                let _ = write!(answer, "; it stays back until the bake of this step ends");
            }
            if let Some(at) = reached {
                let _ = write!(answer, "; the ramp reaches it at {}", at.format("%FT%TZ"));
            }
            (inputs, answer)
        });
        match (passed, ramps) {
            (true, _) => None,
            (false, _) if kept_back => Some(Reason::HeldBack),
            (false, true) => Some(Reason::Ramping),
            (false, false) => Some(Reason::NotInCohort),
        }
    }

    /// The build that the device is to take next: the lowest barrier between the version that it runs and the released
    /// one, or the released one. None when it can't take that. A device that does not have the package at all may begin
    /// with any build.
    fn next_build<T: Trace>(&self, trace: &mut T) -> Option<&'c Build> {
        let (installed, released) = (self.request.installed, &*self.release.build);
        if installed == VersionCode::NONE {
            return Some(released);
        }
        let between = |build: &&Arc<Build>| {
            (installed < build.facts.version_code) && (build.facts.version_code < released.facts.version_code)
        };
        let barrier = self.track.barriers.iter().find(between);
        let next = barrier.map_or(released, |build| &**build);
        let from = next.steps.min_from_version;
        if barrier.is_none() && from.is_none() {
            return Some(released);
        }
        let old_enough = from.is_none_or(|from| installed >= from);
        let fits = barrier.is_none()
            || (self.rejection_of(next).is_none() && self.fits_sdk(next) && self.fits_abi(next));
        let passed = self.note(trace, "intermediate", old_enough && fits, || {
            let inputs = vec![
                ("current_version_code".into(), installed.to_string()),
                ("next_version_code".into(), next.facts.version_code.to_string()),
                (
                    "min_from_version".into(),
                    from.map_or("none".to_owned(), |from| from.to_string()),
                ),
            ];
            let answer = match (old_enough, fits, barrier.is_some()) {
                (false, ..) => "the next build is not for devices that run so old a version",
                (_, false, _) => {
                    "the device must take the next build first, and gave it up or can't install it"
                }
                (.., true) => "the device takes the next build first",
                _ => "the device may go to the released build at once",
            };
            (inputs, answer.to_owned())
        });
        passed.then_some(next)
    }

    /// Whether the rollout's calendars are open for this device: the one of the download, and for an agent that doesn't
    /// know openings the one of the installation too, as it would install at once. Without a calendar there is nothing to
    /// note.
    fn is_open<T: Trace>(&self, trace: &mut T) -> bool {
        let settings = &self.release.rollout.spec.settings;
        let facts = self.request.facts;
        let asked = CalendarQuestion::before_an_offer(
            &settings.calendars,
            settings.ignore_freeze,
            facts.protocol,
            facts.zone.as_deref(),
        );
        let Some(asked) = asked else { return true };
        let found = self.calendars.next(&asked, self.now);
        let passed = found.is_some_and(|opening| opening.holds(self.now));
        if let Some(opening) = found.filter(|_| !passed) {
            self.changes(Again {
                at: opening.from,
                spread: Some((opening.until - opening.from) / 2),
            });
        }
        self.note(trace, "calendar", passed, || {
            let looked_at = self.calendars.looked_at(&asked).into_iter();
            let inputs = looked_at.map(|(name, value)| (name.into(), value)).collect();
            (inputs, self.calendars.answer(&asked, found, self.now))
        })
    }

    /// Whether the device may be offered this build now. One that has the file already has nothing to download: when it may
    /// install, its manifest says.
    fn is_open_for<T: Trace>(&self, build: &Build, trace: &mut T) -> bool {
        self.request.fetched == Some(build.facts.sha256) || self.is_open(trace)
    }

    /// Takes note of a moment at which this rollout answers otherwise; the earliest counts.
    fn changes(&self, again: Again) {
        if self.again.get().is_none_or(|known| again.at < known.at) {
            self.again.set(Some(again));
        }
    }
}
