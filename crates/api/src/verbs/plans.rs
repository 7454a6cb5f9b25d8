//! Plans by hand, and second persons.

use std::mem::take;
use std::time::Duration;

use tidegate_domain::{DevicesPerHour, Percent, Plan, PlanStep, Role, RolloutId, Span};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, Rollouts};

use super::list::List;
use super::moment;
use super::rollouts::tell;
use crate::messages;

/// The ramps that a plan's steps give as a rate; a step that doesn't has none.
pub(crate) type Rates = Vec<Option<DevicesPerHour>>;

/// A plan of a rollout as requests say it. Where a step has a rate, its ramp is still to be worked out.
pub(crate) fn read(plan: &v1::Plan) -> Result<(Plan, Rates), Error> {
    let of_step = |(index, told): (usize, &v1::PlanStep)| {
        let numbered = |fault: Error| Error::invalid("plan", format!("step {}: {fault}", index + 1));
        Ok((step(told).map_err(numbered)?, rate(told).map_err(numbered)?))
    };
    let steps = plan.steps.iter().enumerate().map(of_step);
    let steps: Vec<(PlanStep, Option<DevicesPerHour>)> = steps.collect::<Result<_, Error>>()?;
    let (steps, rates): (Vec<PlanStep>, Rates) = steps.into_iter().unzip();
    Ok((Plan::new(steps)?, rates))
}

/// A plan that is kept for rollouts to come, whose devices nobody can count yet.
pub(crate) fn read_template(plan: &v1::Plan) -> Result<Plan, Error> {
    let (plan, rates) = read(plan)?;
    if rates.iter().any(Option::is_some) {
        let fault = "can't have devices_per_hour here, since its devices are counted when a rollout is made: say over";
        return Err(Error::invalid("plan", fault));
    }
    Ok(plan)
}

fn step(step: &v1::PlanStep) -> Result<PlanStep, Error> {
    Ok(PlanStep {
        percent: Percent::of_decimal(step.percent)?,
        over: span(&step.over)?,
        bake: span(&step.bake)?,
        not_before: step
            .not_before
            .map(|time| moment("not_before", time))
            .transpose()?,
        approve: step.approve,
        nudge: step.nudge,
    })
}

fn rate(step: &v1::PlanStep) -> Result<Option<DevicesPerHour>, Error> {
    if step.devices_per_hour.is_some() && !step.over.is_empty() {
        let fault = "must be left out beside over: either says how long the ramp takes";
        return Err(Error::invalid("devices_per_hour", fault));
    }
    Ok(step.devices_per_hour.map(DevicesPerHour::new).transpose()?)
}

fn span(text: &str) -> Result<Span, Error> {
    match text {
        "" => Ok(Span::new(Duration::ZERO)?),
        text => Ok(text.parse()?),
    }
}

pub(crate) async fn start(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::StartRolloutRequest,
) -> Result<v1::Rollout, Error> {
    rollouts.start(actor, RolloutId(request.rollout_id)).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn advance(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::AdvanceRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let seen = match request.step {
        0 => None,
        seen => Some(usize::try_from(seen).map_err(|_| Error::invalid("step", "is no step of a plan"))?),
    };
    rollouts
        .advance(actor, RolloutId(request.rollout_id), seen)
        .await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn hold(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::HoldRolloutRequest,
) -> Result<v1::Rollout, Error> {
    rollouts.hold(actor, RolloutId(request.rollout_id)).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn approve(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::ApproveRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let seen = revision(request.revision)?;
    let reason = Some(request.break_glass).filter(|reason| !reason.is_empty());
    rollouts
        .approve(actor, RolloutId(request.rollout_id), seen, reason)
        .await?;
    tell(rollouts, request.rollout_id).await
}

/// The revision that was looked at; none for 0.
fn revision(seen: i64) -> Result<Option<u32>, Error> {
    match seen {
        0 => Ok(None),
        seen => {
            let seen = u32::try_from(seen);
            Ok(Some(seen.map_err(|_| {
                Error::invalid("revision", "is not a rollout's revision")
            })?))
        }
    }
}

pub(crate) async fn deny(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::DenyRolloutRequest,
) -> Result<v1::Rollout, Error> {
    let seen = revision(request.revision)?;
    rollouts.deny(actor, RolloutId(request.rollout_id), seen).await?;
    tell(rollouts, request.rollout_id).await
}

pub(crate) async fn timeline(
    rollouts: &Rollouts,
    actor: &Actor,
    mut request: v1::GetRolloutTimelineRequest,
) -> Result<v1::RolloutTimeline, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("rollout_events", size, &token, &request)?;
    let id = RolloutId(request.rollout_id);
    let timeline = rollouts.timeline(id).await?;
    let ask = |page| rollouts.events(id, page);
    let (events, next_page_token) = list.tell(ask, messages::rollout_event).await?;
    Ok(messages::timeline(timeline, events, next_page_token))
}
