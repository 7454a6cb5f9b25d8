//! Taking a build in by multipart form.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use tidegate_proto::v1;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::{Api, messages};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// The form of an upload.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form in the API document")]
struct UploadForm {
    /// The signed APK.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
    /// Release notes.
    notes: Option<String>,
    /// Kind of build, such as `release`.
    build_type: Option<String>,
    /// The CI run that made it.
    ci_run_id: Option<String>,
    /// The commit that it was made from.
    git_sha: Option<String>,
}

/// Takes a signed APK in. Nothing is kept of a file that is refused.
#[utoipa::path(
    post, path = "/v1/apk/upload",
    operation_id = "UploadBuild", tag = "builds",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "Taken in", body = v1::Build),
        (status = 400, description = "Not the form that is expected", body = Problem),
        (status = 401, description = "No valid admin token", body = Problem),
        (status = 403, description = "The role is too low", body = Problem),
        (status = 408, description = "Slower than min_upload_rate", body = Problem),
        (status = 409, description = "The version exists, or the signer is not the package's", body = Problem),
        (status = 413, description = "Larger than the limit", body = Problem),
        (status = 422, description = "Not an APK that a device would install", body = Problem),
        (status = 429, description = "Too many uploads at once", body = Problem),
    ),
    security(("admin_token" = []))
)]
async fn upload(
    State(api): State<Arc<Api>>,
    Caller(actor): Caller,
    request: Request,
) -> Result<(StatusCode, JsonAnswer<v1::Build>), Refusal> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(HeaderValue::as_bytes);
    let build = api
        .uploads
        .receive(&actor, content_type, body.into_data_stream(), None)
        .await?;
    let view = api.builds.get(build.id).await?;
    Ok((StatusCode::CREATED, JsonAnswer(messages::build(view))))
}
