//! Rollouts.

use std::mem::take;

use tidegate_domain::{BuildId, Percent, Promotion, Role, RolloutSettings, RolloutState};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, RolloutFilter, Rollouts};

use super::audiences;
use super::list::List;
use super::optional_package;
use crate::messages;

pub(crate) async fn promote(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::PromoteRequest,
) -> Result<v1::PromoteResponse, Error> {
    let percent = Percent::new(request.rollout_percent)?;
    let audience = audiences::read(request.audience)?;
    let promotion = Promotion {
        settings: RolloutSettings {
            salt: request.salt,
            audience,
            wifi_only: request.wifi_only,
            must_install: request.must_install,
            ..RolloutSettings::to(percent)
        },
        keep_previous: request.keep_previous,
        retry_failed: request.retry_failed,
    };
    let promoted = rollouts
        .promote(
            actor,
            BuildId(request.build_id),
            promotion,
            request.current_build_id.map(BuildId),
        )
        .await?;
    Ok(v1::PromoteResponse {
        success: true,
        build_id: promoted.build.id.0,
        version_code: promoted.build.facts.version_code.get(),
        staged_rollout_percent: percent.into(),
        previous_build_id: promoted.previous.map(|id| id.0),
    })
}

pub(crate) async fn adjust(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::AdjustRolloutRequest,
) -> Result<v1::AdjustRolloutResponse, Error> {
    let percent = Percent::new(request.rollout_percent)?;
    let adjusted = rollouts.adjust(actor, BuildId(request.build_id), percent).await?;
    Ok(v1::AdjustRolloutResponse {
        success: true,
        build_id: request.build_id,
        old_percent: adjusted.old.into(),
        new_percent: adjusted.new.into(),
    })
}

pub(crate) async fn pause(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::PauseRolloutRequest,
) -> Result<v1::RolloutStateResponse, Error> {
    let state = rollouts.pause(actor, BuildId(request.build_id)).await?;
    Ok(stands(request.build_id, state))
}

pub(crate) async fn resume(
    rollouts: &Rollouts,
    actor: &Actor,
    request: v1::ResumeRolloutRequest,
) -> Result<v1::RolloutStateResponse, Error> {
    let state = rollouts.resume(actor, BuildId(request.build_id)).await?;
    Ok(stands(request.build_id, state))
}

fn stands(build_id: i64, state: RolloutState) -> v1::RolloutStateResponse {
    v1::RolloutStateResponse {
        success: true,
        build_id,
        state: state.to_string(),
    }
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
    Ok(v1::RollBackResponse {
        success: true,
        rolled_back_to: Some(messages::build_ref(&rolled_back.to)),
        rolled_back_from: Some(messages::build_ref(&rolled_back.from)),
        force_downgrade: request.force_downgrade,
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
    };
    let ask = |page| rollouts.list(filter.clone(), page);
    let (items, next_page_token) = list.tell(ask, messages::rollout).await?;
    Ok(v1::ListRolloutsResponse {
        items,
        next_page_token,
    })
}
