//! Experiments.

use std::mem::take;

use tidegate_domain::{
    ArmDraft, BuildId, ConclusionDraft, DEFAULT_EXPERIMENT_PRIORITY, ExperimentDraft, ExperimentId,
    MAX_PRIORITY, PackageName, Percent, Position, Role, RolloutId, Share, Slice, Winner,
};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, ExperimentFilter, Experiments};

use super::audiences;
use super::list::List;
use super::optional_package;
use crate::messages;

pub(crate) async fn create(
    experiments: &Experiments,
    actor: &Actor,
    request: v1::CreateExperimentRequest,
) -> Result<v1::Experiment, Error> {
    let package = PackageName::parse(&request.package_name)?;
    let draft = ExperimentDraft {
        name: request.name,
        priority: priority(request.priority)?,
        audience: audiences::read(request.audience)?,
        salt: request.salt,
        arms: request.arms.into_iter().map(arm).collect::<Result<_, _>>()?,
        holdout: request
            .holdout_percent
            .map(|percent| width("holdout_percent", percent))
            .transpose()?,
        start: request.start_percent.map(start).transpose()?,
    };
    let experiment = experiments.create(actor, package, draft).await?;
    Ok(messages::experiment(experiment, experiments.now()))
}

fn priority(priority: Option<i64>) -> Result<u32, Error> {
    let Some(priority) = priority else {
        return Ok(DEFAULT_EXPERIMENT_PRIORITY);
    };
    u32::try_from(priority).map_err(|_| {
        let fault = format!("must be from 1 to {MAX_PRIORITY}");
        Error::invalid("priority", fault)
    })
}

fn arm(arm: v1::ArmRequest) -> Result<ArmDraft, Error> {
    Ok(ArmDraft {
        build: BuildId(arm.build_id),
        width: width("width_percent", arm.width_percent)?,
        name: arm.name,
    })
}

fn width(field: &'static str, percent: f64) -> Result<Share, Error> {
    let slice = Slice::of_percents(0.0, percent);
    let width = slice.map(|slice| slice.width);
    width.map_err(|_| Error::invalid(field, "must be above 0 and at most 100"))
}

fn start(percent: f64) -> Result<Position, Error> {
    let slice = Slice::of_percents(percent, 100.0);
    let start = slice.map(|slice| slice.start);
    start.map_err(|_| {
        let fault = "must be at least 0 and below 100, or left out to begin where the last one ended";
        Error::invalid("start_percent", fault)
    })
}

pub(crate) async fn list(
    experiments: &Experiments,
    actor: &Actor,
    mut request: v1::ListExperimentsRequest,
) -> Result<v1::ListExperimentsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("experiments", size, &token, &request)?;
    let filter = ExperimentFilter {
        package: optional_package(&request.package_name)?,
    };
    let now = experiments.now();
    let ask = |page| experiments.list(filter.clone(), page);
    let (items, next_page_token) = list.tell(ask, |of| messages::experiment(of, now)).await?;
    Ok(v1::ListExperimentsResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn get(
    experiments: &Experiments,
    actor: &Actor,
    request: v1::GetExperimentRequest,
) -> Result<v1::Experiment, Error> {
    actor.require(Role::Viewer)?;
    let found = experiments.get(ExperimentId(request.experiment_id)).await?;
    Ok(messages::experiment(found, experiments.now()))
}

pub(crate) async fn conclude(
    experiments: &Experiments,
    actor: &Actor,
    request: v1::ConcludeExperimentRequest,
) -> Result<v1::Experiment, Error> {
    let percent = request.rollout_percent.map(Percent::of_decimal).transpose()?;
    let draft = ConclusionDraft {
        winner: winner(request.winner)?,
        percent: percent.unwrap_or(Percent::EVERYBODY),
    };
    if draft.winner.is_none() && percent.is_some() {
        let fault = "goes not with winner \"none\": nothing is promoted";
        return Err(Error::invalid("rollout_percent", fault));
    }
    let id = ExperimentId(request.experiment_id);
    let concluded = experiments.conclude(actor, id, draft).await?;
    Ok(messages::experiment(concluded, experiments.now()))
}

/// That there is none is to be said as well: a script's empty variable must not end an experiment.
fn winner(said: Option<v1::Winner>) -> Result<Option<Winner>, Error> {
    match said.unwrap_or_default() {
        v1::Winner {
            build_id: 0,
            rollout_id: 0,
            none: true,
        } => Ok(None),
        v1::Winner {
            build_id,
            rollout_id: 0,
            none: false,
        } if build_id != 0 => Ok(Some(Winner::Build(BuildId(build_id)))),
        v1::Winner {
            build_id: 0,
            rollout_id,
            none: false,
        } if rollout_id != 0 => Ok(Some(Winner::Rollout(RolloutId(rollout_id)))),
        _ => {
            let fault = "must be a build, the rollout of an arm, or \"none\", and only one of them";
            Err(Error::invalid("winner", fault))
        }
    }
}
