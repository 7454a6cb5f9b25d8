//! Rollouts.

use std::collections::BTreeSet;
use std::mem::take;

use chrono::{DateTime, Utc};
use tidegate_domain::gate::GateTerms;
use tidegate_domain::{
    BuildId, InstallCondition, InstallTerms, InstallTermsEdit, MAX_PRIORITY, PackageName, Percent, Promotion,
    Role, RolloutDraft, RolloutEdit, RolloutId, RolloutSettings, RolloutState, Slice, Which,
};
use tidegate_proto::{Timestamp, v1};
use tidegate_service::{Actor, Adjusted, Audiences, Error, Forecasts, Paged, RolloutFilter, Rollouts};

use super::audiences;
use super::calendars;
use super::gates::{self, AfterHalt};
use super::list::List;
use super::optional_package;
use super::plans::{self, Rates};
use crate::messages;

pub(crate) async fn promote(
    (rollouts, forecasts): (&Rollouts, &Forecasts),
    actor: &Actor,
    request: v1::PromoteRequest,
) -> Result<v1::PromoteResponse, Error> {
    let after = AfterHalt {
        on_halt: request.on_halt,
        roll_back_forced: request.roll_back_forced,
    };
    let gate = match request.gate {
        None if !after.is_said() => rollouts.proposed_gate(actor, BuildId(request.build_id)).await?,
        change => gates::edited(change, after, None)?.flatten(),
    };
    let terms = Terms {
        percent: share(request.whole_percent, request.rollout_percent)?,
        plan: request.plan,
        slice: request.slice,
        audience: request.audience,
        salt: request.salt,
        wifi_only: request.wifi_only,
        must_install: request.must_install,
        calendars: None,
        ignore_freeze: false,
        install: InstallTerms::default(),
        gate,
    };
    let (promotion, rates) = promotion(terms, request.keep_previous, request.retry_failed)?;
    let build = BuildId(request.build_id);
    let draft = RolloutDraft {
        name: String::new(),
        priority: 0,
        promotion,
    };
    let draft = forecasts.paced(actor, build, draft, &rates).await?;
    let promoted = rollouts
        .promote(
            actor,
            build,
            draft.promotion,
            request.current_build_id.map(BuildId),
        )
        .await?;
    let (now, percent) = (rollouts.now(), promoted.rollout.spec.settings.percent);
    Ok(v1::PromoteResponse {
        success: true,
        build_id: promoted.build.id.0,
        version_code: promoted.build.facts.version_code.get(),
        rollout_id: promoted.rollout.id.0,
        state: promoted.rollout.spec.state.to_string(),
        staged_rollout_percent: percent.rounded_up().into(),
        previous_build_id: promoted.previous.map(|id| id.0),
        rollout_percent: percent.as_decimal(),
        going_on: promoted
            .going_on
            .into_iter()
            .map(|of| messages::rollout(of, now))
            .collect(),
    })
}

/// To whom and how, as requests say it.
struct Terms {
    percent: Percent,
    plan: Option<v1::Plan>,
    slice: Option<v1::Slice>,
    audience: Option<v1::Audience>,
    salt: Option<String>,
    wifi_only: bool,
    must_install: bool,
    calendars: Option<v1::RolloutCalendars>,
    ignore_freeze: bool,
    install: InstallTerms,
    gate: Option<GateTerms>,
}

/// What is asked for, and the rates of its plan's steps.
fn promotion(terms: Terms, keep_previous: bool, retry_failed: bool) -> Result<(Promotion, Rates), Error> {
    let (plan, rates) = terms.plan.as_ref().map(plans::read).transpose()?.unzip();
    if plan.is_some() && terms.percent != Percent::NOBODY {
        let fault = "must be left out beside a share: a plan has its own";
        return Err(Error::invalid("plan", fault));
    }
    let auto_start = terms.slice.is_some_and(|slice| slice.auto_start);
    let promotion = Promotion {
        settings: RolloutSettings {
            percent: terms.percent,
            slice: terms.slice.map_or(Ok(Slice::WHOLE), slice)?,
            salt: terms.salt,
            audience: audiences::read(terms.audience)?,
            wifi_only: terms.wifi_only,
            must_install: terms.must_install,
            calendars: calendars::of_rollout(terms.calendars)?,
            ignore_freeze: terms.ignore_freeze,
            install: terms.install,
        },
        keep_previous,
        retry_failed,
        auto_start,
        plan,
        gate: terms.gate,
    };
    Ok((promotion, rates.unwrap_or_default()))
}

/// The share by either of its two names.
fn share(whole: i64, percent: f64) -> Result<Percent, Error> {
    if percent == 0.0 && whole != 0 {
        return Ok(Percent::new(whole)?);
    }
    Ok(Percent::of_decimal(percent)?)
}

fn slice(slice: v1::Slice) -> Result<Slice, Error> {
    let width = slice.width_percent.unwrap_or(100.0);
    Ok(Slice::of_percents(slice.start_percent, width)?)
}

pub(crate) async fn create(
    (rollouts, forecasts): (&Rollouts, &Forecasts),
    actor: &Actor,
    request: v1::CreateRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let build = BuildId(request.build_id);
    let (draft, rates) = draft(request)?;
    let draft = forecasts.paced(actor, build, draft, &rates).await?;
    let rollout = rollouts.create(actor, build, draft).await?;
    Ok(messages::rollout(rollout, rollouts.now()))
}

pub(crate) async fn forecast(
    forecasts: &Forecasts,
    actor: &Actor,
    request: v1::ForecastRolloutRequest,
) -> Result<v1::RolloutForecast, Error> {
    // Before anything is said of what is asked for.
    actor.require(Role::Viewer)?;
    let Some(request) = request.rollout else {
        return Err(Error::invalid(
            "rollout",
            "is missing: say what is to be forecast",
        ));
    };
    let build = BuildId(request.build_id);
    let (draft, rates) = draft(request)?;
    let draft = forecasts.paced(actor, build, draft, &rates).await?;
    let (forecast, package) = forecasts.forecast(actor, build, draft).await?;
    Ok(messages::forecast(forecast, build, &package))
}

/// A rollout as it is posted, and the rates of its plan's steps.
fn draft(request: v1::CreateRolloutRequest) -> Result<(RolloutDraft, Rates), Error> {
    let after = AfterHalt {
        on_halt: request.on_halt,
        roll_back_forced: request.roll_back_forced,
    };
    let terms = Terms {
        percent: Percent::of_decimal(request.rollout_percent)?,
        plan: request.plan,
        slice: request.slice,
        audience: request.audience,
        salt: request.salt,
        wifi_only: request.wifi_only,
        must_install: request.must_install,
        calendars: request.calendars,
        ignore_freeze: request.ignore_freeze,
        install: InstallTerms {
            when: install_when(&request.install_when)?,
            deadline: request.install_deadline.map(install_deadline).transpose()?,
        },
        gate: gates::asked(request.gate, after)?,
    };
    if request.keep_previous && request.priority != 0 {
        let fault = "is for a base, whose priority is 0: one above ends nothing";
        return Err(Error::invalid("keep_previous", fault));
    }
    let (promotion, rates) = promotion(terms, request.keep_previous, request.retry_failed)?;
    let draft = RolloutDraft {
        name: request.name,
        priority: priority(request.priority)?,
        promotion,
    };
    Ok((draft, rates))
}

fn priority(priority: i64) -> Result<u32, Error> {
    u32::try_from(priority).map_err(|_| {
        let fault = format!("must be from 0 to {MAX_PRIORITY}");
        Error::invalid("priority", fault)
    })
}

pub(crate) async fn edit(
    (rollouts, forecasts): (&Rollouts, &Forecasts),
    actor: &Actor,
    request: v1::EditRolloutRequest,
) -> Result<v1::Rollout, Error> {
    if request.slice.is_some_and(|slice| slice.auto_start) {
        let fault = "is taken when a rollout begins; name the place where this one is to begin now";
        return Err(Error::invalid("slice.start", fault));
    }
    if request.plan.is_some() && request.rollout_percent.is_some() {
        let fault = "must be left out beside a share, which would hold the plan";
        return Err(Error::invalid("plan", fault));
    }
    let (download_calendar, install_calendar) = calendars::edited(request.calendars)?;
    if request.no_install_deadline && request.install_deadline.is_some() {
        let fault = "goes not with an install_deadline: send one of the two";
        return Err(Error::invalid("no_install_deadline", fault));
    }
    let deadline = request.install_deadline.map(install_deadline).transpose()?;
    let id = RolloutId(request.rollout_id);
    let after = AfterHalt {
        on_halt: request.on_halt,
        roll_back_forced: request.roll_back_forced,
    };
    // The revision that was seen is asked for, so what is read here is what is changed.
    let before = match request.gate.is_some() || after.is_said() {
        true => rollouts.gate_terms(actor, id).await?,
        false => None,
    };
    let gate = gates::edited(request.gate, after, before)?;
    let (plan, rates) = request.plan.as_ref().map(plans::read).transpose()?.unzip();
    let edit = RolloutEdit {
        name: request.name,
        priority: request.priority.map(priority).transpose()?,
        audience: request
            .audience
            .map(|said| audiences::read(Some(said)))
            .transpose()?,
        slice: request.slice.map(slice).transpose()?,
        percent: request.rollout_percent.map(Percent::of_decimal).transpose()?,
        plan,
        gate,
        wifi_only: request.wifi_only,
        must_install: request.must_install,
        download_calendar,
        install_calendar,
        ignore_freeze: request.ignore_freeze,
        install: InstallTermsEdit {
            when: request
                .install_when
                .map(|said| install_when(&said.conditions))
                .transpose()?,
            deadline: deadline.map(Some).or(request.no_install_deadline.then_some(None)),
        },
    };
    let seen = u32::try_from(request.revision)
        .map_err(|_| Error::invalid("revision", "is not a rollout's revision"))?;
    let rates = rates.unwrap_or_default();
    let edit = forecasts.paced_edit(actor, id, edit, &rates).await?;
    let rollout = rollouts.edit(actor, id, edit, seen).await?;
    Ok(messages::rollout(rollout, rollouts.now()))
}

fn install_when(names: &[String]) -> Result<BTreeSet<InstallCondition>, Error> {
    let conditions: Result<_, tidegate_domain::Error> = names.iter().map(|name| name.parse()).collect();
    Ok(conditions?)
}

fn install_deadline(time: Timestamp) -> Result<DateTime<Utc>, Error> {
    let fault = || Error::invalid("install_deadline", "is no time that can be kept");
    time.to_utc().ok_or_else(fault)
}

pub(crate) async fn get(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::GetRolloutRequest,
) -> Result<v1::Rollout, Error> {
    actor.require(Role::Viewer)?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn board(
    (audiences, rollouts): (&Audiences, &Rollouts),
    actor: &Actor,
    request: v1::GetRolloutBoardRequest,
) -> Result<v1::RolloutBoard, Error> {
    actor.require(Role::Viewer)?;
    let package = PackageName::parse(&request.package_name)?;
    let board = audiences.board(&package).await?;
    let serving = board.track.serving.iter().map(|release| &release.rollout);
    let overdue = rollouts.overdue(serving).await?;
    Ok(messages::board(&board, &overdue))
}

/// The rollout as it stands now.
pub(super) async fn tell(rollouts: &Rollouts, id: i64) -> Result<v1::Rollout, Error> {
    let rollout = rollouts.get(RolloutId(id)).await?;
    let overdue = rollouts.overdue([&rollout]).await?;
    Ok(messages::watched_rollout(rollout, rollouts.now(), &overdue))
}

pub(crate) async fn halt(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::HaltRolloutRequest,
) -> Result<v1::Rollout, Error> {
    rollouts.halt(actor, RolloutId(request.rollout_id)).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn cancel(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::CancelRolloutRequest,
) -> Result<v1::Rollout, Error> {
    rollouts.cancel(actor, RolloutId(request.rollout_id)).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn complete(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::CompleteRolloutRequest,
) -> Result<v1::Rollout, Error> {
    rollouts.complete(actor, RolloutId(request.rollout_id)).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn roll_back_rollout(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::RollBackRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let id = RolloutId(request.rollout_id);
    let rollout = rollouts
        .roll_back_rollout(actor, id, request.force_downgrade)
        .await?;
    Ok(messages::rollout(rollout, rollouts.now()))
}

pub(crate) async fn adjust(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::AdjustRolloutRequest,
) -> Result<v1::AdjustRolloutResponse, Error> {
    let percent = share(request.whole_percent, request.rollout_percent)?;
    let Adjusted { old, new, waits } = rollouts
        .adjust(actor, BuildId(request.build_id), percent, None)
        .await?;
    Ok(v1::AdjustRolloutResponse {
        success: true,
        build_id: request.build_id,
        whole_old_percent: old.rounded_up().into(),
        whole_new_percent: new.rounded_up().into(),
        old_percent: old.as_decimal(),
        new_percent: new.as_decimal(),
        waits,
    })
}

/// What a request names: a build, or one rollout.
fn which(build: i64, rollout: i64) -> Result<Which, Error> {
    match (build, rollout) {
        (build, 0) => Ok(BuildId(build).into()),
        (0, rollout) => Ok(RolloutId(rollout).into()),
        _ => {
            let fault = "must be left out where a build is named: one of the two is meant";
            Err(Error::invalid("rollout_id", fault))
        }
    }
}

pub(crate) async fn pause(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::PauseRolloutRequest,
) -> Result<v1::RolloutStateResponse, Error> {
    let which = which(request.build_id, request.rollout_id)?;
    let state = rollouts.pause(actor, which).await?;
    stands(rollouts, which, state).await
}

pub(crate) async fn resume(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::ResumeRolloutRequest,
) -> Result<v1::RolloutStateResponse, Error> {
    let which = which(request.build_id, request.rollout_id)?;
    let resume = gates::resumption(request.acknowledged_failures, request.remark)?;
    let state = rollouts.resume(actor, which, resume).await?;
    stands(rollouts, which, state).await
}

pub(crate) async fn pause_rollout(
    rollouts: &Rollouts,
    actor: &Actor,
    rollout_id: i64,
) -> Result<v1::Rollout, Error> {
    rollouts.pause(actor, RolloutId(rollout_id)).await?;
    tell(rollouts, rollout_id).await
}

pub(crate) async fn resume_rollout(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::ResumeRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let resume = gates::resumption(request.acknowledged_failures, request.remark)?;
    rollouts
        .resume(actor, RolloutId(request.rollout_id), resume)
        .await?;
    tell(rollouts, request.rollout_id).await
}

async fn stands(
    rollouts: &Rollouts,
    which: Which,
    state: RolloutState,
) -> Result<v1::RolloutStateResponse, Error> {
    let build = match which {
        Which::Build(build) => build,
        Which::Rollout(rollout) => rollouts.get(rollout).await?.spec.build,
    };
    Ok(v1::RolloutStateResponse {
        success: true,
        build_id: build.0,
        state: state.to_string(),
    })
}

pub(crate) async fn roll_back(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::RollBackRequest,
) -> Result<v1::RollBackResponse, Error> {
    let package = optional_package(&request.package_name)?;
    let bad = request.build_id.map(BuildId);
    let rolled_back = rollouts
        .roll_back(actor, package, bad, request.force_downgrade)
        .await?;
    let now = rollouts.now();
    Ok(v1::RollBackResponse {
        success: true,
        rolled_back_to: Some(messages::build_ref(&rolled_back.to)),
        rolled_back_from: Some(messages::build_ref(&rolled_back.from)),
        force_downgrade: request.force_downgrade,
        going_on: rolled_back
            .going_on
            .into_iter()
            .map(|of| messages::rollout(of, now))
            .collect(),
    })
}

pub(crate) async fn list(
    rollouts: &Rollouts,
    actor: &Actor,
    mut request: v1::ListRolloutsRequest,
) -> Result<v1::ListRolloutsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("rollouts", size, &token, &request)?;
    let filter = RolloutFilter {
        package: optional_package(&request.package_name)?,
        build: (request.build_id != 0).then_some(BuildId(request.build_id)),
        state: match request.state.as_str() {
            "" => None,
            state => Some(state.parse()?),
        },
    };
    let now = rollouts.now();
    let ask = async |page| {
        let listed = rollouts.list(filter.clone(), page).await?;
        let overdue = rollouts.overdue(&listed.items).await?;
        let watched = |rollout| messages::watched_rollout(rollout, now, &overdue);
        Ok(Paged {
            items: listed.items.into_iter().map(watched).collect(),
            next_page_token: listed.next_page_token,
        })
    };
    let (items, next_page_token) = list.tell(ask, |rollout| rollout).await?;
    Ok(v1::ListRolloutsResponse {
        items,
        next_page_token,
    })
}
