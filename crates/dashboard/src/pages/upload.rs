//! Uploading a build.
//!
//! The form is read part by part as it comes, so that a file never lies in memory. Its token therefore has to be
//! its first field, or to come in a header as our script sends it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use tidegate_domain::{Build, Role};
use tidegate_service::{Error, Kind, MAX_NOTES_BYTES, Upload, UploadNotes};

use super::done;
use crate::backlog::Backlog;
use crate::error::{Refusal, html, status};
use crate::form::{foreign, stale};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::{AppState, origin};

/// How many parts the form may have: its token, the file and the four texts.
const MAX_PARTS: usize = 6;

/// How long an upload may bring nothing before it is broken off.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Template)]
#[template(path = "upload.html")]
struct Page {
    frame: Frame,
    error: Option<String>,
}

pub(crate) async fn page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Operator)?;
    Ok(show(&visitor, None))
}

fn show(visitor: &Visitor, error: Option<String>) -> Response {
    let frame = Frame::new(visitor, Section::Builds, "Upload a build");
    html(&Page { frame, error })
}

pub(crate) async fn upload(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Response> {
    if origin::is_foreign(request.headers(), request.uri()) {
        return Err(foreign());
    }
    let by_script = visitor.made_by_script(request.headers());
    let wants_json = accepts_json(request.headers());
    let taken = match take_in(&app, &visitor, by_script, request).await {
        Ok(build) => Ok(build),
        Err(Stopped::Stale) => return Err(stale()),
        Err(Stopped::Refused(error)) => Err(error),
    };
    Ok(match taken {
        Ok(build) if wants_json => {
            let next = format!("/builds/{}?done=uploaded", build.id);
            axum::Json(serde_json::json!({ "next": next })).into_response()
        }
        Ok(build) => done(&format!("/builds/{}", build.id), "uploaded"),
        Err(error) if wants_json => {
            let problem = axum::Json(serde_json::json!({ "code": error.code, "detail": error.message }));
            (status(error.kind), problem).into_response()
        }
        Err(error) => (status(error.kind), show(&visitor, Some(error.message))).into_response(),
    })
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"))
}

/// Why an upload went no further.
enum Stopped {
    /// The form's token is not this session's.
    Stale,
    Refused(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

async fn take_in(
    app: &AppState,
    visitor: &Visitor,
    by_script: bool,
    request: Request,
) -> Result<Build, Stopped> {
    visitor.actor.require(Role::Operator)?;
    let backlog = Backlog::default();
    let request = request.map(|body| backlog.watch(body));
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
        Error::new(
            Kind::Invalid,
            "invalid_argument",
            "the form is not one that holds a file",
        )
    })?;
    let mut reading = Reading {
        app,
        visitor,
        trusted: by_script,
        upload: None,
        backlog,
        notes: UploadNotes::default(),
    };
    for _ in 0..MAX_PARTS {
        match next(form.next_field()).await? {
            Some(field) => reading.part(field).await?,
            None => return reading.finish().await,
        }
    }
    match next(form.next_field()).await? {
        None => reading.finish().await,
        Some(_) => {
            let message = format!("the form has more than {MAX_PARTS} parts");
            Err(Error::new(Kind::Invalid, "invalid_argument", message).into())
        }
    }
}

struct Reading<'a> {
    app: &'a AppState,
    visitor: &'a Visitor,
    /// Whether the form's token was seen.
    trusted: bool,
    upload: Option<Upload>,
    backlog: Backlog,
    notes: UploadNotes,
}

impl Reading<'_> {
    async fn part(&mut self, field: Field<'_>) -> Result<(), Stopped> {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "csrf" && !self.trusted {
            return Err(Stopped::Stale);
        }
        match name.as_str() {
            "csrf" => self.trusted = self.visitor.made(&text("csrf", field, &self.backlog).await?),
            "file" => self.file(field).await?,
            "notes" => self.notes.notes = text("notes", field, &self.backlog).await?,
            "build_type" => self.notes.build_type = text("build_type", field, &self.backlog).await?,
            "ci_run_id" => self.notes.ci_run_id = text("ci_run_id", field, &self.backlog).await?,
            "git_sha" => self.notes.git_sha = text("git_sha", field, &self.backlog).await?,
            other => return Err(Error::invalid(other, "is not a part of this form").into()),
        }
        Ok(())
    }

    async fn file(&mut self, mut field: Field<'_>) -> Result<(), Error> {
        if self.upload.is_some() {
            return Err(Error::invalid("file", "may come only once"));
        }
        let mut upload = self.app.uploads.begin(&self.visitor.actor).await?;
        let mut is_empty = true;
        while let Some(bytes) = next(field.chunk()).await? {
            self.backlog.yielded(bytes.len());
            is_empty &= bytes.is_empty();
            upload.write(bytes).await?;
        }
        // A browser sends an empty file where none was chosen.
        if !is_empty {
            self.upload = Some(upload);
        }
        Ok(())
    }

    async fn finish(self) -> Result<Build, Stopped> {
        if !self.trusted {
            return Err(Stopped::Stale);
        }
        let Some(upload) = self.upload else {
            return Err(Error::new(Kind::Invalid, "invalid_argument", "choose an APK file first").into());
        };
        Ok(self.app.uploads.finish(upload, self.notes).await?)
    }
}

async fn text(name: &'static str, mut field: Field<'_>, backlog: &Backlog) -> Result<String, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(field.chunk()).await? {
        backlog.yielded(chunk.len());
        if bytes.len() + chunk.len() > MAX_NOTES_BYTES {
            return Err(Error::invalid(
                name,
                format!("is longer than {MAX_NOTES_BYTES} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid(name, "must be UTF-8"))?;
    // Browsers send a line's end as two characters.
    Ok(text.replace("\r\n", "\n"))
}

/// Waits for the next part of the form.
async fn next<T>(
    part: impl Future<Output = Result<T, axum::extract::multipart::MultipartError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(SILENCE, part).await {
        Ok(Ok(part)) => Ok(part),
        Ok(Err(fault)) => {
            let message = format!("the form cannot be read, or was cut off: {}", fault.body_text());
            Err(Error::new(Kind::Invalid, "invalid_argument", message))
        }
        Err(_) => {
            let message = format!(
                "the upload brought nothing for {} seconds and was broken off",
                SILENCE.as_secs()
            );
            Err(Error::new(Kind::Unavailable, "timed_out", message))
        }
    }
}
