//! The poll's decision, and the explanation of it.
//!
//! Both run the same evaluation: [`decide`] with a trace that costs nothing, [`explain`] with one that writes down
//! each rule, its inputs and its answer. They can therefore never disagree.
//!
//! 0. A policy's hold is asked before everything else.
//! 1. A device that runs a version which a forced roll-back takes back is judged by that roll-back first, unless it runs
//!    that version because a rollout which is asked earlier takes it.
//! 2. Then the rollouts that serve the package are asked in order: by priority, and at last the base. Each asks whether
//!    the device is one of its own (audience, then slice and share) before it looks at versions, or a rollout to some
//!    devices would end the search for all others. Then come the version, the state, and whether the device can install
//!    the build and may have it. A build that devices must take in between replaces the one that is released. At last the
//!    calendars are asked whether the device may be reached now.
//!
//! A rule that says "not this device" passes it on to the next rollout. A rule that says "this device, but nothing now"
//! ends the search. When no rollout takes the device, it is told the current base's reason.

mod ask;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use self::ask::Ask;
use crate::gate::{Arm, StepAtHand, Watch};
use crate::tag_index::Places;
use crate::{
    Build, BuildId, Catalog, DeviceFacts, Overlay, Policy, PolicySet, Position, Reason, Rejection, Release,
    Rollout, RolloutId, Sha256, Share, SignerFingerprint, VersionCode,
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
    /// What operators gave to it.
    pub overlay: &'a Overlay,
    /// The file that it has fetched as a whole and not installed yet. Rules that are about fetching alone don't hold such a
    /// build back; those about installing are the device's to obey.
    pub fetched: Option<Sha256>,
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
        overlay: &'a Overlay,
    ) -> Self {
        Self {
            device_id,
            package,
            installed,
            facts,
            rejections,
            overlay,
            fetched: None,
        }
    }

    /// The same of a device that has fetched this file.
    #[must_use]
    pub fn with_fetched(self, fetched: Option<Sha256>) -> Self {
        Self { fetched, ..self }
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

/// The answer to a poll, and when it may be another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PollDecision<'c> {
    /// The answer.
    pub decision: Decision<'c>,
    /// The next moment at which it changes by itself, as far as a rule that was asked can tell: the opening of a window,
    /// for one. The device is to ask again then.
    pub again: Option<Again>,
    /// What the poll means for the health gate of a rollout; none where no gate watches the device.
    pub watch: Option<Watch>,
}

/// When a device is to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// From when on the answer is another one.
    pub at: DateTime<Utc>,
    /// Over how long those who wait for that moment are to come in, where many wait for the same one; `None` where each
    /// has a moment of its own.
    pub spread: Option<TimeDelta>,
}

/// What a device is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer<'c> {
    /// The rollout that takes the device.
    pub rollout: &'c Rollout,
    /// The build: the one that the rollout releases, or one that the device must take before it.
    pub build: &'c Build,
    /// The signer that this device will see on it.
    pub signer: SignerFingerprint,
    /// Whether the device is taken back from the version that it runs.
    pub forced: bool,
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
    /// When it changes by itself.
    pub again: Option<Again>,
}

/// Answers a poll.
pub fn decide<'c>(catalog: &'c Catalog, request: &PollRequest<'_>, now: DateTime<Utc>) -> Decision<'c> {
    let (again, unsalted) = (Cell::new(None), OnceCell::new());
    evaluate(catalog, request, now, (&again, &unsalted), &mut Silent).decision
}

/// Answers a poll, and says when the answer may be another one, and whether a health gate watches the device from now on.
pub fn decide_until<'c>(
    catalog: &'c Catalog,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
) -> PollDecision<'c> {
    let (again, unsalted) = (Cell::new(None), OnceCell::new());
    let found = evaluate(catalog, request, now, (&again, &unsalted), &mut Silent);
    PollDecision {
        watch: watch(catalog, request, now, &found, &unsalted),
        decision: found.decision,
        again: again.get(),
    }
}

/// Answers a poll and says why.
pub fn explain<'c>(catalog: &'c Catalog, request: &PollRequest<'_>, now: DateTime<Utc>) -> Explanation<'c> {
    let mut steps = Vec::new();
    let (again, unsalted) = (Cell::new(None), OnceCell::new());
    let found = evaluate(catalog, request, now, (&again, &unsalted), &mut steps);
    Explanation {
        decision: found.decision,
        steps,
        again: again.get(),
    }
}

trait Trace {
    /// Whether what is noted is told to anybody.
    const TELLS: bool;

    fn note(&mut self, step: impl FnOnce() -> Step);
}

struct Silent;

impl Trace for Silent {
    const TELLS: bool = false;

    fn note(&mut self, _: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    const TELLS: bool = true;

    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

/// What one rollout says about a device.
enum Verdict<'c> {
    /// It is to take this build.
    Takes(&'c Build),
    /// Not this device: the next rollout is asked.
    PassesOn(Reason),
    /// This device, but nothing for it now: no other rollout is asked.
    Ends(Reason),
}

/// An answer, and how far the search for it came.
struct Evaluated<'c> {
    decision: Decision<'c>,
    /// How many of the rollouts that serve were asked without one that ended the search.
    passed: usize,
}

impl<'c> Evaluated<'c> {
    fn of(decision: Decision<'c>, passed: usize) -> Self {
        Self { decision, passed }
    }

    fn refused(reason: Reason, passed: usize) -> Self {
        Self::of(Decision::NoUpdate(reason), passed)
    }
}

fn evaluate<'c, T: Trace>(
    catalog: &'c Catalog,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
    (again, unsalted): (&Cell<Option<Again>>, &OnceCell<Position>),
    trace: &mut T,
) -> Evaluated<'c> {
    let found = catalog
        .indexed(request.package)
        .filter(|(track, ..)| !track.serving.is_empty());
    let track = found.map(|(track, ..)| track);
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
    let Some((track, index, _)) = found else {
        return Evaluated::refused(Reason::NoCurrentBuild, 0);
    };
    let policies = catalog.policies();
    if let Some(held) = policy_hold(policies, request, now, trace) {
        return Evaluated::refused(held, 0);
    }
    let ask = |release: &'c Release| Ask {
        release,
        track,
        request,
        policies,
        calendars: catalog.calendars(),
        now,
        again,
        unsalted,
    };
    let offer = |release: &'c Release, build: &'c Build, forced| {
        let offer = Offer {
            rollout: &release.rollout,
            build,
            signer: build.facts.signers.seen_by(request.facts.sdk),
            forced,
        };
        Evaluated::of(Decision::Offer(offer), 0)
    };
    for (at, release) in track.serving.iter().enumerate() {
        let takes_back = || release.rollout.spec.takes_back == Some(request.installed);
        if !index.taking_back.has(at) || !takes_back() {
            continue;
        }
        let at_home = track.serving[..at].iter().find(|earlier| ask(earlier).is_home());
        match ask(release).forced_verdict(at_home, trace) {
            Verdict::Takes(build) => return offer(release, build, true),
            Verdict::Ends(reason) => return Evaluated::refused(reason, 0),
            Verdict::PassesOn(_) => {}
        }
    }
    let mut untaken = Reason::NoCurrentBuild;
    let mut heard_current = false;
    // Whoever wants to know why is told of each rollout.
    let candidates = match T::TELLS {
        true => Places::ALL,
        false => index.candidates(request.overlay),
    };
    for (at, release) in track.serving.iter().enumerate() {
        if !candidates.has(at) {
            if !heard_current {
                untaken = Reason::NotInAudience;
            }
            heard_current |= index.current == Some(at);
            continue;
        }
        match ask(release).verdict(trace) {
            Verdict::Takes(build) => return offer(release, build, false),
            // Who stays back is told nothing for the want of a share only.
            Verdict::Ends(Reason::HeldBack) => return Evaluated::refused(Reason::HeldBack, at + 1),
            Verdict::Ends(reason) => return Evaluated::refused(reason, at),
            Verdict::PassesOn(reason) if !heard_current => untaken = reason,
            Verdict::PassesOn(_) => {}
        }
        heard_current |= index.current == Some(at);
    }
    Evaluated::refused(untaken, track.serving.len())
}

/// What the poll means for health gates. A device that is offered the build is treated. One that is told nothing is
/// control of the first rollout with a gate that would have offered it its build if the share covered it, if its place is
/// among that one's control. Only whose place is there costs the rest of the rules.
fn watch(
    catalog: &Catalog,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
    found: &Evaluated<'_>,
    unsalted: &OnceCell<Position>,
) -> Option<Watch> {
    let (track, tags, gates) = catalog.indexed(request.package)?;
    if gates.is_empty() {
        return None;
    }
    let place = |release: &Release| {
        let settings = &release.rollout.spec.settings;
        settings.position_once(request.device_id, unsalted)
    };
    if let Decision::Offer(offer) = &found.decision {
        let gate = gates.steps().find(|gate| gate.rollout == offer.rollout.id)?;
        return Some(gate.watch(Arm::Treated, place(&track.serving[gate.place])));
    }
    let asked = || gates.steps().take_while(|gate| gate.place < found.passed);
    let is_control = |gate: &&StepAtHand| {
        let release = &track.serving[gate.place];
        gate.is_control(place(release), release.rollout.spec.share(now))
    };
    asked().find(is_control)?;
    let (candidates, again) = (tags.candidates(request.overlay), Cell::new(None));
    for gate in asked().filter(|gate| candidates.has(gate.place)) {
        let release = &track.serving[gate.place];
        let slice = release.rollout.spec.settings.slice;
        if !slice.takes(place(release), Share::WHOLE) {
            continue;
        }
        let ask = Ask {
            release,
            track,
            request,
            policies: catalog.policies(),
            calendars: catalog.calendars(),
            now,
            again: &again,
            unsalted,
        };
        match ask.covered() {
            Verdict::PassesOn(_) => {}
            Verdict::Ends(_) => return None,
            Verdict::Takes(_) => {
                return is_control(&gate).then(|| gate.watch(Arm::Control, place(release)));
            }
        }
    }
    None
}

/// Whether a policy keeps the device from every update of the package. Where none ever did, there is nothing to note.
fn policy_hold<T: Trace>(
    policies: &PolicySet,
    request: &PollRequest<'_>,
    now: DateTime<Utc>,
    trace: &mut T,
) -> Option<Reason> {
    let (policy, hold) = policies.hold_on(request.device_id, request.package, request.overlay)?;
    let passed = !hold.stands(now);
    trace.note(|| Step {
        rollout: None,
        build: None,
        rule: "policy_hold",
        inputs: policy_inputs(policy, "hold", hold.to_string()),
        passed,
        answer: if passed {
            format!("the hold of policy {} has ended", policy.id)
        } else {
            format!(
                "policy {} holds the device back {hold}: {}",
                policy.id, policy.spec.remark
            )
        },
    });
    (!passed).then_some(Reason::HeldByPolicy)
}

/// A policy as the steps of an explanation show it, with the term that is asked for.
fn policy_inputs(policy: &Policy, term: &'static str, value: String) -> Vec<Input> {
    vec![
        ("policy_id".into(), policy.id.to_string()),
        ("subject".into(), policy.spec.subject.to_string()),
        (term.into(), value),
        ("remark".into(), policy.spec.remark.clone()),
    ]
}
