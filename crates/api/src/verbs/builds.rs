//! Builds.

use tidegate_domain::{BuildId, Role};
use tidegate_proto::v1;
use tidegate_service::{Actor, Builds, Error};

use super::{optional_package, page};
use crate::messages;

pub(crate) async fn get(
    builds: &Builds,
    actor: &Actor,
    request: v1::GetBuildRequest,
) -> Result<v1::Build, Error> {
    actor.require(Role::Viewer)?;
    Ok(messages::build(builds.get(BuildId(request.build_id)).await?))
}

pub(crate) async fn list(
    builds: &Builds,
    actor: &Actor,
    request: v1::ListBuildsRequest,
) -> Result<v1::ListBuildsResponse, Error> {
    actor.require(Role::Viewer)?;
    let package = optional_package(&request.package_name)?;
    let builds = builds
        .list(package, page(request.page_size, request.page_token)?)
        .await?;
    Ok(v1::ListBuildsResponse {
        items: builds.items.into_iter().map(messages::build).collect(),
        next_page_token: builds.next_page_token.unwrap_or_default(),
    })
}

pub(crate) async fn stats(
    builds: &Builds,
    actor: &Actor,
    request: v1::GetDeploymentStatsRequest,
) -> Result<v1::DeploymentStats, Error> {
    actor.require(Role::Viewer)?;
    Ok(messages::stats(
        builds.stats(BuildId(request.build_id), request.hours).await?,
    ))
}
