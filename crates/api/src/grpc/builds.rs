//! Builds.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_proto::v1;
use tidegate_proto::v1::build_service_server::BuildService;
use tidegate_proto::v1::upload_build_request::Part;
use tidegate_service::{Builds, Error, Patches, UploadNotes, UploadPace, Uploads};
use tonic::{Request, Response, Status, Streaming};

use super::actor;
use crate::problem::status;
use crate::{messages, verbs};

/// The largest chunk of a file in one message, in bytes.
pub(super) const MAX_CHUNK_BYTES: usize = 1024 * 1024;

pub(super) struct Service {
    pub builds: Arc<Builds>,
    pub uploads: Arc<Uploads>,
    pub patches: Arc<Patches>,
}

#[tonic::async_trait]
impl BuildService for Service {
    async fn upload_build(
        &self,
        request: Request<Streaming<v1::UploadBuildRequest>>,
    ) -> Result<Response<v1::Build>, Status> {
        let actor = actor(&request)?;
        let mut messages = request.into_inner();
        let mut pace = self.uploads.pace();
        let notes = metadata(&mut pace, &mut messages).await?;
        let mut upload = self.uploads.begin(&actor).await.map_err(status)?;
        while let Some(message) = pace.next(messages.message()).await.map_err(status)?? {
            let Some(Part::Chunk(chunk)) = message.part else {
                return Err(status(Error::invalid(
                    "metadata",
                    "may only come in the first message",
                )));
            };
            if chunk.len() > MAX_CHUNK_BYTES {
                return Err(status(Error::invalid(
                    "chunk",
                    format!("is larger than {MAX_CHUNK_BYTES} bytes"),
                )));
            }
            pace.brought(chunk.len());
            upload.write(Bytes::from(chunk)).await.map_err(status)?;
        }
        let uploaded = self.uploads.finish(upload, notes).await.map_err(status)?;
        let view = self.builds.get(uploaded.build.id).await.map_err(status)?;
        Ok(Response::new(messages::uploaded(view, uploaded.against_current)))
    }

    async fn get_build(&self, request: Request<v1::GetBuildRequest>) -> Result<Response<v1::Build>, Status> {
        call!(request, verbs::builds::get, self.builds)
    }

    async fn list_builds(
        &self,
        request: Request<v1::ListBuildsRequest>,
    ) -> Result<Response<v1::ListBuildsResponse>, Status> {
        call!(request, verbs::builds::list, self.builds)
    }

    async fn compare_builds(
        &self,
        request: Request<v1::CompareBuildsRequest>,
    ) -> Result<Response<v1::BuildComparison>, Status> {
        call!(request, verbs::builds::compare, self.builds)
    }

    async fn get_deployment_stats(
        &self,
        request: Request<v1::GetDeploymentStatsRequest>,
    ) -> Result<Response<v1::DeploymentStats>, Status> {
        call!(request, verbs::builds::stats, self.builds)
    }

    async fn get_build_patches(
        &self,
        request: Request<v1::GetBuildPatchesRequest>,
    ) -> Result<Response<v1::BuildPatches>, Status> {
        call!(request, verbs::builds::patches, self.patches)
    }

    async fn edit_build(
        &self,
        request: Request<v1::EditBuildRequest>,
    ) -> Result<Response<v1::Build>, Status> {
        call!(request, verbs::builds::edit, self.builds)
    }

    async fn set_build_notes(
        &self,
        request: Request<v1::SetBuildNotesRequest>,
    ) -> Result<Response<v1::Build>, Status> {
        call!(request, verbs::builds::set_notes, self.builds)
    }

    async fn delete_build(
        &self,
        request: Request<v1::DeleteBuildRequest>,
    ) -> Result<Response<v1::DeleteBuildResponse>, Status> {
        call!(request, verbs::builds::delete, self.uploads)
    }
}

async fn metadata(
    pace: &mut UploadPace,
    messages: &mut Streaming<v1::UploadBuildRequest>,
) -> Result<UploadNotes, Status> {
    let first = pace.next(messages.message()).await.map_err(status)??;
    match first.and_then(|message| message.part) {
        Some(Part::Metadata(v1::UploadMetadata {
            notes,
            build_type,
            ci_run_id,
            git_sha,
        })) => Ok(UploadNotes {
            notes,
            build_type,
            ci_run_id,
            git_sha,
        }),
        _ => Err(status(Error::invalid(
            "metadata",
            "must be the first message of an upload",
        ))),
    }
}
