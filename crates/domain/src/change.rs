//! What an operator asks for, and what comes of it: the words in which verbs of a [`Track`](crate::Track) are said.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::gate::{GateTerms, RolloutGate};
use crate::install_terms::check_deadline;
use crate::{
    Audience, Build, BuildId, CalendarName, Consent, Error, InstallTermsEdit, Percent, Plan, PlanRun,
    Position, Release, Rollout, RolloutId, RolloutSettings, RolloutSpec, RolloutState, Slice, Tag,
    VersionCode,
};

/// Who asks for a change, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The subject of the credential.
    pub actor: &'a str,
    /// The person whose word it is as well: who made the service account that acts.
    pub on_behalf_of: Option<&'a str>,
    /// The time of the change.
    pub now: DateTime<Utc>,
}

impl By<'_> {
    /// Those who may not approve what is edited so.
    pub(crate) fn editors(&self) -> Vec<String> {
        let both = std::iter::once(self.actor).chain(self.on_behalf_of);
        both.map(ToOwned::to_owned).collect()
    }
}

/// What an operator says when releasing a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// To whom and how.
    pub settings: RolloutSettings,
    /// Let the rollouts that serve now go on, for the devices that the new one does not take.
    pub keep_previous: bool,
    /// Offer the build anew to devices that gave it up for good.
    pub retry_failed: bool,
    /// Begin the slice where the last automatic one ended, whatever the settings say of its start.
    pub auto_start: bool,
    /// The steps by which the share grows. The settings' share is then the first step's.
    pub plan: Option<Plan>,
    /// The gate that watches it.
    pub gate: Option<GateTerms>,
}

/// What an operator says when making a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutDraft {
    /// What people call it; may be empty.
    pub name: String,
    /// Whom it is asked before; 0 makes it the package's base, as promoting does.
    pub priority: u32,
    /// To whom and how.
    pub promotion: Promotion,
}

/// The terms of a rollout that an operator changes; those left out stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutEdit {
    /// What people call it.
    pub name: Option<String>,
    /// Whom it is asked before.
    pub priority: Option<u32>,
    /// Whom it addresses.
    pub audience: Option<Audience>,
    /// The part of all positions that the share is taken of.
    pub slice: Option<Slice>,
    /// The share. A plan is then held there.
    pub percent: Option<Percent>,
    /// The steps. Those that have begun stay as they are.
    pub plan: Option<Plan>,
    /// The gate; `Some(None)`: none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub gate: Option<Option<GateTerms>>,
    /// Download over Wi-Fi only.
    pub wifi_only: Option<bool>,
    /// Shorten the waiting on the device.
    pub must_install: Option<bool>,
    /// When devices may download; `Some(None)`: at any time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub download_calendar: Option<Option<CalendarName>>,
    /// When devices may install; `Some(None)`: at any time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub install_calendar: Option<Option<CalendarName>>,
    /// Pass over the calendars' freezes.
    pub ignore_freeze: Option<bool>,
    /// What a device waits for before it installs.
    pub install: InstallTermsEdit,
}

/// What is there at all is said, be it nothing.
pub(crate) fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl RolloutEdit {
    /// Only the share.
    pub fn percent(percent: Percent) -> Self {
        Self {
            percent: Some(percent),
            ..Self::default()
        }
    }

    /// Whether two changes are about a term in common. The share and the plan are one: each sets the other.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        fn both<T>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_some() && other.is_some()
        }
        both(&self.name, &other.name)
            || both(&self.priority, &other.priority)
            || both(&self.audience, &other.audience)
            || both(&self.slice, &other.slice)
            || (self.sets_share() && other.sets_share())
            || both(&self.gate, &other.gate)
            || both(&self.wifi_only, &other.wifi_only)
            || both(&self.must_install, &other.must_install)
            || both(&self.download_calendar, &other.download_calendar)
            || both(&self.install_calendar, &other.install_calendar)
            || both(&self.ignore_freeze, &other.ignore_freeze)
            || both(&self.install.when, &other.install.when)
            || both(&self.install.deadline, &other.install.deadline)
    }

    /// Both changes; of the terms that they have in common this one's.
    pub(crate) fn over(self, earlier: Self) -> Self {
        let (percent, plan) = match self.sets_share() {
            true => (self.percent, self.plan),
            false => (earlier.percent, earlier.plan),
        };
        Self {
            name: self.name.or(earlier.name),
            priority: self.priority.or(earlier.priority),
            audience: self.audience.or(earlier.audience),
            slice: self.slice.or(earlier.slice),
            percent,
            plan,
            gate: self.gate.or(earlier.gate),
            wifi_only: self.wifi_only.or(earlier.wifi_only),
            must_install: self.must_install.or(earlier.must_install),
            download_calendar: self.download_calendar.or(earlier.download_calendar),
            install_calendar: self.install_calendar.or(earlier.install_calendar),
            ignore_freeze: self.ignore_freeze.or(earlier.ignore_freeze),
            install: InstallTermsEdit {
                when: self.install.when.or(earlier.install.when),
                deadline: self.install.deadline.or(earlier.install.deadline),
            },
        }
    }

    fn sets_share(&self) -> bool {
        self.percent.is_some() || self.plan.is_some()
    }

    /// Whether it changes which devices the rollout addresses, or what they are asked before, and not the share alone.
    pub fn chooses_devices(&self) -> bool {
        self.audience.is_some() || self.slice.is_some() || self.priority.is_some() || self.plan.is_some()
    }

    /// The calendars that the rollout would go by after it, as far as it says any.
    fn calendar_names(&self) -> impl Iterator<Item = &CalendarName> {
        let said = [&self.download_calendar, &self.install_calendar];
        said.into_iter().filter_map(|said| said.as_ref()?.as_ref())
    }

    pub(crate) fn apply(self, spec: &mut RolloutSpec, now: DateTime<Utc>) -> Result<(), Error> {
        fn set<T>(term: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *term = value;
            }
        }
        set(&mut spec.name, self.name);
        set(&mut spec.priority, self.priority);
        set(&mut spec.settings.audience, self.audience);
        set(&mut spec.settings.slice, self.slice);
        if let Some(percent) = self.percent {
            set_share(spec, percent, now)?;
        }
        if let Some(plan) = self.plan {
            set_plan(spec, plan, now)?;
        }
        if let Some(gate) = self.gate {
            set_gate(spec, gate, now)?;
        }
        set(&mut spec.settings.wifi_only, self.wifi_only);
        set(&mut spec.settings.must_install, self.must_install);
        set(&mut spec.settings.calendars.download, self.download_calendar);
        set(&mut spec.settings.calendars.install, self.install_calendar);
        set(&mut spec.settings.ignore_freeze, self.ignore_freeze);
        check_deadline(self.install.deadline.flatten(), now)?;
        self.install.apply(&mut spec.settings.install);
        Ok(())
    }
}

impl RolloutSpec {
    /// Whether its audience names the tag, or would by a change that waits for an approval.
    pub fn names_tag(&self, tag: &Tag) -> bool {
        let waiting = self.waiting_edit().and_then(|edit| edit.audience.as_ref());
        self.settings.audience.names_tag(tag) || waiting.is_some_and(|audience| audience.names_tag(tag))
    }

    /// The calendars that it goes by, and those that it would by a change that waits for an approval; some maybe twice.
    pub fn calendar_names(&self) -> impl Iterator<Item = &CalendarName> {
        let waiting = self.waiting_edit().into_iter();
        let waiting = waiting.flat_map(RolloutEdit::calendar_names);
        self.settings.calendars.names().chain(waiting)
    }

    fn waiting_edit(&self) -> Option<&RolloutEdit> {
        Some(&self.consent.request.as_ref()?.edit)
    }
}

/// Sets the share by hand: a plan is held there, and one that has not begun is given up for the share.
fn set_share(spec: &mut RolloutSpec, percent: Percent, now: DateTime<Utc>) -> Result<(), Error> {
    match &mut spec.plan {
        Some(_) if !spec.state.has_begun() => {
            let fault = "can't be set before the plan has begun; change the plan instead";
            return Err(Error::invalid("rollout_percent", fault));
        }
        Some(run) if percent.share() != run.share(now) => run.hold_at(percent, now),
        Some(_) => return Ok(()),
        None => {}
    }
    spec.settings.percent = percent;
    Ok(())
}

/// Gives a rollout a plan, or another one.
fn set_plan(spec: &mut RolloutSpec, plan: Plan, now: DateTime<Utc>) -> Result<(), Error> {
    match &mut spec.plan {
        Some(run) if run.plan == plan => return Ok(()),
        Some(run) if spec.state.has_begun() => {
            if spec.gate.is_some() && run.next_step().is_none() && plan.steps().len() > run.plan.steps().len()
            {
                let fault = "can't have more steps once the last one has begun: the gate has placed its bet; make another \
                             rollout, or take the gate away first";
                return Err(Error::invalid("plan.steps", fault));
            }
            return run.replan(plan, now);
        }
        _ => {}
    }
    let from = match spec.state.has_begun() {
        true => spec.settings.percent,
        false => Percent::NOBODY,
    };
    let first = plan.first().percent;
    if first < from {
        let fault = format!("must begin with a step to {from} or more, which is the share now");
        return Err(Error::invalid("plan", fault));
    }
    let mut run = PlanRun::begun(plan, from.share(), now);
    if spec.state.has_begun() && spec.state != RolloutState::Active {
        run.stop(now);
    }
    spec.settings.percent = first;
    spec.plan = Some(run);
    Ok(())
}

/// Gives a rollout a gate, other terms of it, or takes it away. What was counted stays.
fn set_gate(spec: &mut RolloutSpec, gate: Option<GateTerms>, now: DateTime<Utc>) -> Result<(), Error> {
    if gate.is_none() && spec.gate.is_some() && spec.state == RolloutState::Halted {
        // It would be resumed without a look at its failures.
        let fault = "can't be taken away from a halted rollout: resume it before";
        return Err(Error::invalid("gate", fault));
    }
    spec.gate = gate.map(|terms| match spec.gate {
        Some(before) => RolloutGate { terms, ..before },
        None => RolloutGate::begun(terms, now),
    });
    Ok(())
}

/// What a person says who resumes a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resume {
    /// The failures that they have seen, of devices with the build. A halted rollout with a gate needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_failures: Option<u64>,
    /// Why it goes on, in 1 to [`MAX_REMARK_BYTES`](crate::MAX_REMARK_BYTES) bytes; needed likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

impl Resume {
    /// Refuses to resume a halted rollout whose gate has counted so many failures unless they were all seen.
    pub(crate) fn require_seen(&self, rollout: RolloutId, failures: u64) -> Result<(), Error> {
        let Some(acknowledged) = self.acknowledged_failures else {
            let fault = format!(
                "must be the number of failures that you have seen: rollout {rollout} is halted; \
                 /v1/rollouts/{rollout}/gate tells them"
            );
            return Err(Error::invalid("acknowledged_failures", fault));
        };
        if self.remark.is_none() {
            return Err(Error::invalid("remark", "must say why a halted rollout goes on"));
        }
        if acknowledged > failures {
            let fault = format!(
                "must be what was counted, which is {failures}: /v1/rollouts/{rollout}/gate tells it"
            );
            return Err(Error::invalid("acknowledged_failures", fault));
        }
        if acknowledged < failures {
            return Err(Error::FailuresGrew {
                rollout,
                acknowledged,
                failures,
            });
        }
        Ok(())
    }
}

/// How a verb names what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The rollouts of this build that serve.
    Build(BuildId),
    /// This rollout.
    Rollout(RolloutId),
}

impl From<BuildId> for Which {
    fn from(build: BuildId) -> Self {
        Self::Build(build)
    }
}

impl From<RolloutId> for Which {
    fn from(rollout: RolloutId) -> Self {
        Self::Rollout(rollout)
    }
}

impl Which {
    pub(crate) fn names(self, release: &Release) -> bool {
        match self {
            Self::Build(build) => release.build.id == build,
            Self::Rollout(rollout) => release.rollout.id == rollout,
        }
    }

    /// The refusal when nothing that serves is named.
    pub(crate) fn not_serving(self) -> Error {
        match self {
            Self::Build(build) => Error::NotServing { build },
            Self::Rollout(rollout) => Error::RolloutEnded { rollout },
        }
    }
}

/// What a transition decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The audit log's word for it, such as `ota.promote`.
    pub action: &'static str,
    /// Existing rollouts in their new shape.
    pub updates: Vec<Rollout>,
    /// The rollouts to add.
    pub insert: Vec<RolloutSpec>,
    /// Where the next automatic slice begins from now on, if that changes.
    pub next_slice_start: Option<Position>,
    /// How the package's offer stood before; `None` when nothing was offered.
    pub before: Option<OfferFacts>,
    /// How it stands afterwards.
    pub after: OfferFacts,
}

impl Change {
    /// Whether there is nothing to write, because all is already as asked.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty() && self.insert.is_empty()
    }
}

/// An offer in the audit log's few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferFacts {
    /// The rollout; none while it has no number yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<RolloutId>,
    /// What people call it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its priority; 0 for a base.
    pub priority: u32,
    /// The build.
    pub build_id: BuildId,
    /// Its version code.
    pub version_code: VersionCode,
    /// Its version name.
    pub version_name: String,
    /// The rollout's state.
    pub state: RolloutState,
    /// To whom and how.
    #[serde(flatten)]
    pub settings: RolloutSettings,
    /// Whether devices are taken back from a higher version.
    pub force_downgrade: bool,
    /// The steps by which the share grows, and where they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRun>,
    /// The gate that watches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<RolloutGate>,
    /// Who edited the terms last, who approved them, and what waits.
    #[serde(flatten)]
    pub consent: Consent,
    /// What was said when it was resumed.
    #[serde(flatten)]
    pub resumed: Resume,
}

impl OfferFacts {
    pub(crate) fn of(spec: &RolloutSpec, build: &Build) -> Self {
        Self {
            rollout_id: None,
            name: spec.name.clone(),
            priority: spec.priority,
            build_id: build.id,
            version_code: build.facts.version_code,
            version_name: build.facts.version_name.clone(),
            state: spec.state,
            settings: spec.settings.clone(),
            force_downgrade: spec.takes_back.is_some(),
            plan: spec.plan.clone(),
            gate: spec.gate,
            consent: spec.consent.clone(),
            resumed: Resume::default(),
        }
    }

    pub(crate) fn of_rollout(rollout: &Rollout, build: &Build) -> Self {
        Self {
            rollout_id: Some(rollout.id),
            ..Self::of(&rollout.spec, build)
        }
    }
}
