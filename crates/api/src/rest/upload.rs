//! Taking a build in by multipart form.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use tidegate_proto::v1;
use tidegate_service::{Builds, Uploads};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::credentials::Caller;
use crate::messages;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;

pub(crate) fn routes() -> Routes {
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

/// Takes a signed APK in. Nothing is kept of a file that is refused. The same file may be sent again. The answer tells in
/// `against_current` what devices that run the package's current build hold against it.
#[utoipa::path(
    post, path = "/v1/apk/upload",
    operation_id = "UploadBuild", tag = "builds",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "This very file is that build already; nothing changed", body = v1::Build),
        (status = 201, description = "Taken in", body = v1::Build),
        (status = 400, description = "Not the form that is expected", body = Problem),
        (status = 401, description = "No valid admin token", body = Problem),
        (status = 403, description = "The role is too low", body = Problem),
        (status = 408, description = "Slower than min_upload_rate", body = Problem),
        (status = 409, description = "Another file has the version, or the signer is not the package's", body = Problem),
        (status = 413, description = "Larger than the limit", body = Problem),
        (status = 422, description = "Not an APK that a device would install", body = Problem),
        (status = 429, description = "Too many uploads at once", body = Problem),
    ),
    security(("admin_token" = []))
)]
async fn upload(
    State(uploads): State<Arc<Uploads>>,
    State(builds): State<Arc<Builds>>,
    Caller(actor): Caller,
    request: Request,
) -> Result<(StatusCode, JsonAnswer<v1::Build>), Refusal> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(HeaderValue::as_bytes);
    uploads.check_length(body.size_hint().lower())?;
    let uploaded = uploads
        .receive(&actor, content_type, body.into_data_stream(), None)
        .await?;
    let view = builds.get(uploaded.build.id).await?;
    let status = if uploaded.existed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let build = messages::uploaded(view, uploaded.against_current);
    Ok((status, JsonAnswer(build)))
}
