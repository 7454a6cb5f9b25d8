//! Taking a build in from a form, as a tool or a browser sends it.
//!
//! The form is read part by part as it comes, so that a file never lies in memory. Both surfaces that take builds in
//! hand their form over here, so that its fields, its bounds and its errors are the same on both.
//!
//! `multipart/form-data` is read in this crate although it knows no protocol: to it the form is a file format, as an
//! APK is. It is handed bytes and the text that names their boundary, and knows nothing of the request around them.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7578>

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use multer::{Field, Multipart};
use tidegate_domain::{Role, Verb};

use crate::{Actor, Error, Kind, MAX_NOTES_BYTES, Upload, UploadNotes, UploadPace, Uploaded, Uploads};

/// How many parts a form may have beside its token: the five that are known, and no repetition of any.
const MAX_PARTS: usize = 5;

/// How many bytes of a form may be held that no part of it has yielded yet. The parser reads ahead while the network
/// brings more, up to some megabytes at once, so the bound leaves it room.
const MAX_BACKLOG_BYTES: usize = 32 * 1024 * 1024;

/// The code of the refusal of a form whose token is missing, late or wrong.
pub const STALE_FORM: &str = "stale_form";

/// What proves that a page of ours made a form. It has to come before all other fields.
pub struct FormToken<'a> {
    /// The token's field.
    pub field: &'static str,
    /// Whether it was seen elsewhere, such as in a header.
    pub seen: bool,
    /// Whether a token is the right one.
    pub is_right: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Uploads {
    /// Takes in the build that a form brings in its field `file`, with its notes. `content_type` is what the sender
    /// said of the body. Where there is a `token`, the form must begin with it.
    ///
    /// # Errors
    /// As [`Uploads::begin`] and [`Uploads::finish`]; [`Kind::Invalid`] for another form, with the field at fault;
    /// [`Kind::Forbidden`] with [`STALE_FORM`]; [`Kind::TooSlow`].
    pub async fn receive<S, E>(
        &self,
        actor: &Actor,
        content_type: Option<&[u8]>,
        body: S,
        token: Option<FormToken<'_>>,
    ) -> Result<Uploaded, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        actor.require_some(Role::Operator, Verb::Upload)?;
        let boundary = content_type
            .and_then(|text| multer::parse_boundary(std::str::from_utf8(text).ok()?).ok())
            .ok_or_else(|| misread("send a multipart/form-data body with the part \"file\""))?;
        let backlog = Backlog::default();
        let mut form = Multipart::new(backlog.watch(body), boundary);
        let mut reading = Reading {
            uploads: self,
            actor,
            token,
            backlog,
            pace: self.pace(),
            upload: None,
            notes: UploadNotes::default(),
            parts: 0,
        };
        while let Some(part) = next(&mut reading.pace, form.next_field()).await? {
            reading.part(part).await?;
        }
        reading.check_token()?;
        let missing = || Error::invalid("file", "is missing; choose an APK file first");
        self.finish(reading.upload.ok_or_else(missing)?, reading.notes)
            .await
    }
}

const UNKNOWN_PART: &str =
    "is not a part of this form: it has `file`, `notes`, `build_type`, `ci_run_id` and `git_sha`";

struct Reading<'a> {
    uploads: &'a Uploads,
    actor: &'a Actor,
    token: Option<FormToken<'a>>,
    backlog: Backlog,
    pace: UploadPace,
    upload: Option<Upload>,
    notes: UploadNotes,
    parts: usize,
}

impl Reading<'_> {
    async fn part(&mut self, part: Field<'_>) -> Result<(), Error> {
        let name = part.name().unwrap_or_default().to_owned();
        if let Some(token) = self.token.as_mut().filter(|token| token.field == name) {
            token.seen = (token.is_right)(&text(&self.backlog, &mut self.pace, token.field, part).await?);
            return self.check_token();
        }
        self.check_token()?;
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(misread(format!("the form has more than {MAX_PARTS} parts")));
        }
        match name.as_str() {
            "file" => self.file(part).await?,
            "notes" => self.notes.notes = self.text("notes", part).await?,
            "build_type" => self.notes.build_type = self.text("build_type", part).await?,
            "ci_run_id" => self.notes.ci_run_id = self.text("ci_run_id", part).await?,
            "git_sha" => self.notes.git_sha = self.text("git_sha", part).await?,
            other => return Err(Error::invalid(other, UNKNOWN_PART)),
        }
        Ok(())
    }

    async fn text(&mut self, name: &'static str, part: Field<'_>) -> Result<String, Error> {
        text(&self.backlog, &mut self.pace, name, part).await
    }

    fn check_token(&self) -> Result<(), Error> {
        match &self.token {
            Some(token) if !token.seen => Err(Error::new(
                Kind::Forbidden,
                STALE_FORM,
                format!("the form does not begin with this session's {}", token.field),
            )),
            _ => Ok(()),
        }
    }

    async fn file(&mut self, mut part: Field<'_>) -> Result<(), Error> {
        if self.upload.is_some() {
            return Err(Error::invalid("file", "may come only once"));
        }
        let mut upload = self.uploads.begin(self.actor).await?;
        let is_named = part.file_name().is_some_and(|name| !name.is_empty());
        let mut is_empty = true;
        while let Some(bytes) = chunk(&self.backlog, &mut self.pace, &mut part).await? {
            is_empty &= bytes.is_empty();
            upload.write(bytes).await?;
        }
        // A browser sends an empty file without a name where none was chosen.
        if !is_empty || is_named {
            self.upload = Some(upload);
        }
        Ok(())
    }
}

/// How many bytes the form's parser holds that no part has yielded yet. A part's head has no length, and the parser
/// holds it until it ends: one without an end would have it hold all that comes.
#[derive(Clone, Default)]
struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Ends a body of which more than [`MAX_BACKLOG_BYTES`] are held.
    fn watch<S, E>(
        &self,
        body: S,
    ) -> impl Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>> + Send + 'static + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        let held = Arc::clone(&self.0);
        body.map(move |bytes| {
            let bytes = bytes.map_err(Into::into)?;
            if held.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > MAX_BACKLOG_BYTES {
                return Err("a part of the form has no end to its head".into());
            }
            Ok(bytes)
        })
    }

    /// Notes bytes that a part has yielded. Heads are never noted: there are few of them.
    fn yielded(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

async fn chunk(
    backlog: &Backlog,
    pace: &mut UploadPace,
    part: &mut Field<'_>,
) -> Result<Option<Bytes>, Error> {
    let chunk = next(pace, part.chunk()).await?;
    let bytes = chunk.as_ref().map_or(0, Bytes::len);
    backlog.yielded(bytes);
    pace.brought(bytes);
    Ok(chunk)
}

/// A part's text, with the ends of its lines as one character each: browsers send two.
async fn text(
    backlog: &Backlog,
    pace: &mut UploadPace,
    name: &'static str,
    mut part: Field<'_>,
) -> Result<String, Error> {
    let mut text = Vec::new();
    while let Some(chunk) = chunk(backlog, pace, &mut part).await? {
        if text.len() + chunk.len() > MAX_NOTES_BYTES {
            let fault = format!("is longer than {MAX_NOTES_BYTES} bytes");
            return Err(Error::invalid(name, fault));
        }
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).map_err(|_| Error::invalid(name, "must be UTF-8"))?;
    Ok(text.replace("\r\n", "\n"))
}

/// Waits for what the form brings next.
async fn next<T>(
    pace: &mut UploadPace,
    part: impl Future<Output = Result<T, multer::Error>>,
) -> Result<T, Error> {
    let part = pace.next(part).await?;
    part.map_err(|fault| misread(format!("the form cannot be read, or was cut off: {fault}")))
}

fn misread(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "invalid_argument", message)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    const MEGABYTE: usize = 1024 * 1024;

    /// How many megabytes get through when each is yielded, or none is.
    async fn through(yields: bool) -> usize {
        let backlog = Backlog::default();
        let megabyte = || Ok::<_, Infallible>(Bytes::from(vec![b'x'; MEGABYTE]));
        let mut body = Box::pin(backlog.watch(stream::repeat_with(megabyte).take(100)));
        let mut megabytes = 0;
        while let Some(Ok(bytes)) = body.next().await {
            megabytes += 1;
            if yields {
                backlog.yielded(bytes.len());
            }
        }
        megabytes
    }

    #[tokio::test]
    async fn what_no_part_yields_has_a_bound_and_a_file_has_none() {
        assert_eq!(through(false).await, MAX_BACKLOG_BYTES / MEGABYTE);
        assert_eq!(through(true).await, 100);
    }
}
