//! Builds.

use std::mem::take;

use tidegate_domain::{BuildId, Role, VersionCode};
use tidegate_proto::v1;
use tidegate_service::{Actor, BuildEdit, Builds, Error, Patches, Uploads};

use super::list::List;
use super::optional_package;
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
    mut request: v1::ListBuildsRequest,
) -> Result<v1::ListBuildsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("builds", size, &token, &request)?;
    let package = optional_package(&request.package_name)?;
    let ask = |page| builds.list(package.clone(), page);
    let (items, next_page_token) = list.tell(ask, messages::build).await?;
    Ok(v1::ListBuildsResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn compare(
    builds: &Builds,
    actor: &Actor,
    request: v1::CompareBuildsRequest,
) -> Result<v1::BuildComparison, Error> {
    actor.require(Role::Viewer)?;
    let from = (request.from_build_id != 0).then_some(BuildId(request.from_build_id));
    let comparison = builds.compare(BuildId(request.build_id), from).await?;
    Ok(messages::comparison(comparison))
}

pub(crate) async fn set_notes(
    builds: &Builds,
    actor: &Actor,
    request: v1::SetBuildNotesRequest,
) -> Result<v1::Build, Error> {
    let edit = BuildEdit {
        notes: Some(request.notes),
        ..BuildEdit::default()
    };
    let build = builds.edit(actor, BuildId(request.build_id), edit).await?;
    Ok(messages::build(build))
}

pub(crate) async fn edit(
    builds: &Builds,
    actor: &Actor,
    request: v1::EditBuildRequest,
) -> Result<v1::Build, Error> {
    let from = request.min_from_version.map(version_from).transpose()?;
    let edit = BuildEdit {
        notes: request.notes,
        barrier: request.barrier,
        min_from_version: from,
    };
    let build = builds.edit(actor, BuildId(request.build_id), edit).await?;
    Ok(messages::build(build))
}

/// A version to come from; 0 for any.
fn version_from(code: i64) -> Result<Option<VersionCode>, Error> {
    let version =
        VersionCode::new(code).map_err(|_| Error::invalid("min_from_version", "must not be negative"))?;
    Ok(Some(version).filter(|version| *version != VersionCode::NONE))
}

pub(crate) async fn delete(
    uploads: &Uploads,
    actor: &Actor,
    request: v1::DeleteBuildRequest,
) -> Result<v1::DeleteBuildResponse, Error> {
    let deleted = uploads.delete(actor, BuildId(request.build_id)).await?;
    Ok(v1::DeleteBuildResponse {
        success: true,
        build_id: request.build_id,
        version_code_free: deleted.version_free,
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

pub(crate) async fn patches(
    patches: &Patches,
    actor: &Actor,
    request: v1::GetBuildPatchesRequest,
) -> Result<v1::BuildPatches, Error> {
    actor.require(Role::Viewer)?;
    let build = BuildId(request.build_id);
    Ok(messages::patches::of_build(build, patches.of_build(build).await?))
}
