//! Taking a build in by multipart form.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json as JsonAnswer;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use futures::StreamExt;
use tidegate_proto::v1;
use tidegate_service::{Error, Kind, MAX_NOTES_BYTES, Upload, UploadNotes};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::timeouts::next_part;
use crate::{Api, messages};

/// How many parts a form may have: the five that are known, and no repetition of any.
const MAX_PARTS: usize = 5;

/// How many bytes the form's parser may hold. It reads on while the network brings more, up to some megabytes at
/// once, so the bound leaves it room.
const MAX_BACKLOG_BYTES: usize = 32 * 1024 * 1024;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    // The upload's own limit counts the file's bytes as they stream in, and names itself when it is passed.
    OpenApiRouter::new()
        .routes(routes!(upload))
        .layer(DefaultBodyLimit::disable())
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
    let begun = api.uploads.begin(&actor).await?;
    let backlog = Backlog::default();
    let request = request.map(|body| backlog.watch(body));
    let mut form = Multipart::from_request(request, &api).await.map_err(|_| {
        Error::new(
            Kind::Invalid,
            "invalid_argument",
            "send a multipart/form-data body with the part \"file\"",
        )
    })?;
    let mut reading = Reading {
        upload: begun,
        notes: UploadNotes::default(),
        has_file: false,
        parts: 0,
        backlog,
    };
    while let Some(field) = next_part(form.next_field())
        .await?
        .map_err(|fault| cut_off(&fault))?
    {
        reading.part(field).await?;
    }
    if !reading.has_file {
        return Err(Error::invalid("file", "is missing").into());
    }
    let build = api.uploads.finish(reading.upload, reading.notes).await?;
    let view = api.builds.get(build.id).await?;
    Ok((StatusCode::CREATED, JsonAnswer(messages::build(view))))
}

struct Reading {
    upload: Upload,
    notes: UploadNotes,
    has_file: bool,
    parts: usize,
    backlog: Backlog,
}

/// How many bytes the form's parser holds that no part has yielded yet: a part's head without an end would have it
/// hold all that comes.
#[derive(Clone, Default)]
struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Ends a body of which more than [`MAX_BACKLOG_BYTES`] are held.
    fn watch(&self, body: Body) -> Body {
        let held = Arc::clone(&self.0);
        Body::from_stream(body.into_data_stream().map(move |bytes| {
            let bytes = bytes?;
            if held.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > MAX_BACKLOG_BYTES {
                return Err(axum::Error::new(
                    "a part of the form does not begin where it should",
                ));
            }
            Ok(bytes)
        }))
    }

    /// Notes bytes that a part has yielded. The parts' heads are never noted; there are few of them.
    fn yielded(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Reading {
    async fn part(&mut self, mut field: Field<'_>) -> Result<(), Error> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            let message = format!("the form has more than {MAX_PARTS} parts");
            return Err(Error::new(Kind::Invalid, "invalid_argument", message));
        }
        match field.name().unwrap_or_default() {
            "file" if self.has_file => return Err(Error::invalid("file", "may come only once")),
            "file" => {
                self.has_file = true;
                while let Some(bytes) = next_part(field.chunk()).await?.map_err(|fault| cut_off(&fault))? {
                    self.backlog.yielded(bytes.len());
                    self.upload.write(bytes).await?;
                }
            }
            "notes" => self.notes.notes = self.text("notes", field).await?,
            "build_type" => self.notes.build_type = self.text("build_type", field).await?,
            "ci_run_id" => self.notes.ci_run_id = self.text("ci_run_id", field).await?,
            "git_sha" => self.notes.git_sha = self.text("git_sha", field).await?,
            other => return Err(Error::invalid(other, "is not a part of this form")),
        }
        Ok(())
    }

    async fn text(&self, name: &'static str, mut field: Field<'_>) -> Result<String, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = next_part(field.chunk()).await?.map_err(|fault| cut_off(&fault))? {
            self.backlog.yielded(chunk.len());
            if bytes.len() + chunk.len() > MAX_NOTES_BYTES {
                return Err(Error::invalid(
                    name,
                    format!("is longer than {MAX_NOTES_BYTES} bytes"),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| Error::invalid(name, "must be UTF-8"))
    }
}

fn cut_off(fault: &MultipartError) -> Error {
    let message = format!("the form cannot be read, or was cut off: {}", fault.body_text());
    Error::new(Kind::Invalid, "invalid_argument", message)
}
