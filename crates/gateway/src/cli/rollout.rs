//! `tidegate admin rollout` and `build`: which builds go to whom and in which order, and what devices take in between.

use std::sync::Arc;

use tidegate_domain::gate::GateTerms;
use tidegate_domain::{
    Audience, BuildId, CalendarName, InstallTerms, InstallTermsEdit, Percent, Promotion, Resume, Rollout,
    RolloutCalendars, RolloutDraft, RolloutEdit, RolloutId, RolloutSettings, Slice, VersionCode,
};
use tidegate_service::{
    Actor, BuildEdit, BuildView, Builds, Error as Refusal, Forecasts, MAX_FORECAST_FLEET, RolloutEvent,
    RolloutFilter, Rollouts, Snapshots,
};

use super::args::{AdminBuild, AdminRollout, ChangedTerms, NewRollout, SliceAt};
use super::people::{lines, moment};
use super::plan_text::{self, Rates};
use super::{forecast, gate_text};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

struct UseCases {
    rollouts: Rollouts,
    builds: Builds,
    console: Actor,
}

async fn open(config: &Config, init: bool) -> Result<UseCases, Error> {
    let Stores { store, artifacts, .. } = Stores::open_made(config, init).await?;
    let clock = wiring::clock();
    let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
    Ok(UseCases {
        builds: Builds::new(store.clone(), Arc::clone(&snapshots), Arc::clone(&clock)),
        rollouts: Rollouts::new(store, artifacts, snapshots, clock),
        console: Actor::console(),
    })
}

/// Makes, changes, ends and shows rollouts.
pub(super) async fn rollout(config: &Config, init: bool, what: AdminRollout) -> Result<String, Error> {
    let UseCases {
        rollouts, console, ..
    } = open(config, init).await?;
    let id = match what {
        AdminRollout::List {
            package,
            build,
            state,
        } => {
            let filter = RolloutFilter {
                package,
                build: build.map(BuildId),
                state,
            };
            return lines(|page| rollouts.list(filter.clone(), page), told).await;
        }
        AdminRollout::Create(new) => {
            let (build, forecasts) = (BuildId(new.build), forecasts(rollouts, config));
            let (draft, rates) = draft(*new)?;
            let draft = forecasts.paced(&console, build, draft, &rates).await?;
            let made = forecasts.rollouts().create(&console, build, draft).await?;
            return Ok(shown(&made));
        }
        AdminRollout::Forecast(new) => {
            let (build, forecasts) = (BuildId(new.build), forecasts(rollouts, config));
            let (draft, rates) = draft(*new)?;
            let draft = forecasts.paced(&console, build, draft, &rates).await?;
            let (forecast, _) = forecasts.forecast(&console, build, draft).await?;
            return Ok(forecast::told(&forecast));
        }
        AdminRollout::Edit {
            id,
            revision,
            terms,
            gate_terms,
        } => {
            // The revision that was seen is asked for, so what is read here is what is changed.
            let gate = rollouts.get(RolloutId(id)).await?.spec.gate;
            let before = gate.map(|gate| gate.terms).unwrap_or_default();
            let gate = gate_text::terms(terms.gate, &gate_terms, before).map_err(Refusal::from)?;
            let (edit, rates) = edit(*terms, gate)?;
            let (id, forecasts) = (RolloutId(id), forecasts(rollouts, config));
            let edit = forecasts.paced_edit(&console, id, edit, &rates).await?;
            let edited = forecasts.rollouts().edit(&console, id, edit, revision);
            return Ok(shown(&edited.await?));
        }
        AdminRollout::RollBack { id, force_downgrade } => {
            let ended = rollouts.roll_back_rollout(&console, RolloutId(id), force_downgrade);
            return Ok(shown(&ended.await?));
        }
        AdminRollout::Show { id } => RolloutId(id),
        AdminRollout::Timeline { id } => return timeline(&rollouts, RolloutId(id)).await,
        AdminRollout::Gate { id } => return Ok(gate_text::table(&rollouts.gate(RolloutId(id)).await?)),
        AdminRollout::Start { id } => rollouts.start(&console, RolloutId(id)).await?.id,
        AdminRollout::Advance { id } => rollouts.advance(&console, RolloutId(id), None).await?.id,
        AdminRollout::Hold { id } => rollouts.hold(&console, RolloutId(id)).await?.id,
        AdminRollout::Deny { id } => rollouts.deny(&console, RolloutId(id), None).await?.id,
        AdminRollout::Approve { id, break_glass } => {
            let approved = rollouts.approve(&console, RolloutId(id), None, Some(break_glass));
            approved.await?.id
        }
        AdminRollout::Pause { id } => {
            rollouts.pause(&console, RolloutId(id)).await?;
            RolloutId(id)
        }
        AdminRollout::Resume {
            id,
            acknowledged_failures,
            remark,
        } => {
            let resume = Resume {
                acknowledged_failures,
                remark,
            };
            rollouts.resume(&console, RolloutId(id), resume).await?;
            RolloutId(id)
        }
        AdminRollout::Halt { id } => {
            rollouts.halt(&console, RolloutId(id)).await?;
            RolloutId(id)
        }
        AdminRollout::Cancel { id } => {
            rollouts.cancel(&console, RolloutId(id)).await?;
            RolloutId(id)
        }
        AdminRollout::Complete { id } => {
            rollouts.complete(&console, RolloutId(id)).await?;
            RolloutId(id)
        }
    };
    let rollout = rollouts.get(id).await?;
    let overdue = rollouts.overdue([&rollout]).await?;
    let overdue = overdue
        .get(&id)
        .map(|devices| format!("\n  overdue devices: {devices}"));
    Ok(shown(&rollout) + &overdue.unwrap_or_default())
}

fn forecasts(rollouts: Rollouts, config: &Config) -> Forecasts {
    Forecasts::new(Arc::new(rollouts), config.poll_interval, MAX_FORECAST_FLEET)
}

/// The rollout that is asked for, and the rates of its plan's steps.
fn draft(new: NewRollout) -> Result<(RolloutDraft, Rates), Error> {
    if new.keep_previous && new.priority != 0 {
        let fault = "is for a base, whose priority is 0: one above ends nothing";
        return Err(Refusal::invalid("keep_previous", fault).into());
    }
    let auto_start = new.slice.is_some_and(|slice| slice.start.is_none());
    let (plan, rates) = plan_text::plan(new.plan.steps, new.plan.careful).map_err(Refusal::from)?;
    let draft = RolloutDraft {
        name: new.name,
        priority: new.priority,
        promotion: Promotion {
            settings: RolloutSettings {
                percent: new.percent.map_or(Ok(Percent::NOBODY), share)?,
                slice: new.slice.map_or(Ok(Slice::WHOLE), slice)?,
                salt: new.salt,
                audience: new
                    .audience
                    .map_or(Ok(Audience::everybody()), |text| audience(&text))?,
                wifi_only: new.wifi_only,
                must_install: new.must_install,
                calendars: RolloutCalendars {
                    download: new.download_calendar,
                    install: new.install_calendar,
                },
                ignore_freeze: new.ignore_freeze,
                install: InstallTerms {
                    when: new.install_when.unwrap_or_default().0,
                    deadline: new.install_deadline,
                },
            },
            keep_previous: new.keep_previous,
            retry_failed: new.retry_failed,
            auto_start,
            plan,
            gate: gate_text::terms(new.gate, &new.gate_terms, GateTerms::default()).map_err(Refusal::from)?,
        },
    };
    Ok((draft, rates))
}

/// The change that is asked for, with the gate that is, and the rates of its plan's steps.
fn edit(terms: ChangedTerms, gate: Option<GateTerms>) -> Result<(RolloutEdit, Rates), Error> {
    if terms.slice.is_some_and(|slice| slice.start.is_none()) {
        let fault = "is taken when a rollout begins; name the place where this one is to begin now";
        return Err(Refusal::invalid("slice.start", fault).into());
    }
    let audience = match terms.everybody {
        true => Some(Audience::everybody()),
        false => terms.audience.map(|text| audience(&text)).transpose()?,
    };
    let (plan, rates) = plan_text::plan(terms.steps, false).map_err(Refusal::from)?;
    let edit = RolloutEdit {
        name: terms.name,
        priority: terms.priority,
        audience,
        slice: terms.slice.map(slice).transpose()?,
        percent: terms.percent.map(share).transpose()?,
        plan,
        gate: gate.map(Some).or(terms.no_gate.then_some(None)),
        wifi_only: terms.wifi_only,
        must_install: terms.must_install,
        download_calendar: terms.download_calendar.map(|name| *name),
        install_calendar: terms.install_calendar.map(|name| *name),
        ignore_freeze: terms.ignore_freeze,
        install: InstallTermsEdit {
            when: terms.install_when.map(|when| when.0),
            deadline: terms
                .install_deadline
                .map(Some)
                .or(terms.no_install_deadline.then_some(None)),
        },
    };
    Ok((edit, rates))
}

fn share(percent: f64) -> Result<Percent, Refusal> {
    Ok(Percent::of_decimal(percent)?)
}

fn slice(at: SliceAt) -> Result<Slice, Refusal> {
    Ok(Slice::of_percents(at.start.unwrap_or_default(), at.width)?)
}

fn audience(text: &str) -> Result<Audience, Refusal> {
    Ok(Audience::parse(text)?)
}

/// A rollout as a line.
fn told(rollout: &Rollout) -> String {
    let spec = &rollout.spec;
    let place = match (spec.priority, spec.is_current) {
        (0, true) => "current base".to_owned(),
        (0, false) => "base".to_owned(),
        (priority, _) => format!("priority {priority}"),
    };
    let name = match spec.name.as_str() {
        "" => String::new(),
        name => format!(": {name}"),
    };
    format!(
        "{} {} build {}, {place}, {}, {}, revision {}, made {} by {}{name}",
        rollout.id,
        spec.package,
        spec.build,
        spec.state,
        spec.settings.percent,
        spec.revision,
        moment(spec.created_at),
        spec.created_by,
    )
}

/// What happened to a rollout, the oldest first, and what is to come.
async fn timeline(rollouts: &Rollouts, id: RolloutId) -> Result<String, Error> {
    let told = |event: &RolloutEvent| {
        let phase = event.phase.as_deref().map(|phase| format!(", {phase}"));
        let step = event.step.map(|step| format!(", step {step}"));
        let remark = event.remark.as_deref().map(|remark| format!("; {remark}"));
        format!(
            "{} {} by {}: {}{}{}, {}{}",
            moment(event.at),
            event.action,
            event.actor,
            event.state,
            phase.unwrap_or_default(),
            step.unwrap_or_default(),
            event.percent,
            remark.unwrap_or_default()
        )
    };
    let timeline = rollouts.timeline(id).await?;
    let happened = lines(|page| rollouts.events(id, page), told).await?;
    let mut all: Vec<String> = happened.lines().rev().map(str::to_owned).collect();
    all.extend(timeline.coming.iter().map(|coming| {
        let at = coming.at.map_or("after somebody has acted".to_owned(), moment);
        format!(
            "{at} to come: {}, step {} to {}",
            coming.stage, coming.step, coming.percent
        )
    }));
    Ok(all.join("\n"))
}

/// A rollout as a line, and its terms below it.
fn shown(rollout: &Rollout) -> String {
    let (spec, settings) = (&rollout.spec, &rollout.spec.settings);
    let mut lines = vec![told(rollout)];
    let mut tell = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("  {name}: {value}")));
    };
    let audience = &settings.audience;
    tell(
        "audience",
        (!audience.is_everybody()).then(|| audience.to_string()),
    );
    let slice = settings.slice;
    tell("slice", (slice != Slice::WHOLE).then(|| slice.to_string()));
    tell("salt", settings.salt.clone());
    tell(
        "download",
        settings.wifi_only.then(|| "over Wi-Fi only".to_owned()),
    );
    let install = &settings.install;
    let conditions = install.conditions();
    tell(
        "installs while",
        Some(conditions).filter(|conditions| !conditions.is_empty()),
    );
    tell("install deadline", install.deadline.map(moment));
    tell("must install", settings.must_install.then(|| "yes".to_owned()));
    for (number, step) in (1..).zip(spec.plan.iter().flat_map(|run| run.plan.steps())) {
        tell(&format!("step {number}"), Some(plan_text::written(step)));
    }
    tell("gate", spec.gate.map(|gate| gate_text::written(gate.terms)));
    tell("phase", spec.phase().map(|phase| phase.to_string()));
    let waits = spec.consent.request.as_ref();
    tell(
        "waits to be approved",
        waits.map(|request| format!("a change by {}", request.by.join(" for "))),
    );
    let calendar = |name: &Option<CalendarName>| name.as_ref().map(ToString::to_string);
    tell("calendar for downloading", calendar(&settings.calendars.download));
    tell("calendar for installing", calendar(&settings.calendars.install));
    tell(
        "ignores freezes",
        settings.ignore_freeze.then(|| "yes".to_owned()),
    );
    tell("returns to rollout", spec.previous.map(|id| id.to_string()));
    let taken = spec.takes_back.map(|version| version.to_string());
    tell("takes devices back from version", taken);
    lines.join("\n")
}

/// Changes what devices take in between.
pub(super) async fn build(config: &Config, init: bool, what: AdminBuild) -> Result<String, Error> {
    let UseCases { builds, console, .. } = open(config, init).await?;
    let AdminBuild::Edit { id, steps } = what;
    let min_from_version = match steps.min_from {
        None => None,
        Some(0) => Some(None),
        Some(version) => Some(Some(VersionCode::new(version).map_err(Refusal::from)?)),
    };
    let edit = BuildEdit {
        notes: None,
        barrier: steps.barrier,
        min_from_version,
    };
    Ok(told_build(&builds.edit(&console, BuildId(id), edit).await?))
}

fn told_build(view: &BuildView) -> String {
    let build = &view.build;
    let barrier = match build.steps.barrier {
        true => "a barrier",
        false => "no barrier",
    };
    let from = build.steps.min_from_version.map_or_else(
        || "from any version".to_owned(),
        |from| format!("from version {from} on"),
    );
    format!(
        "{} {} version {}, {barrier}, {from}",
        build.id, build.facts.package, build.facts.version_code
    )
}
