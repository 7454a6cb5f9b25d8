//! Handing a build's file out, in whole or in part.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tidegate_domain::BuildId;
use tidegate_service::{Authenticator, Download, Downloads, Error, Kind};
use tidegate_signing::DownloadQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conditional::{self, Outcome, not_modified};
use super::input::{BuildNumber, TwoBuilds};
use super::range::{self, Part};
use crate::credentials::{self, bearer, optional_bearer};
use crate::problem::{Problem, Refusal, problem};
use crate::rest;
use crate::state::Routes;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(download))
        .routes(routes!(download_patch))
}

/// Fetches a build's file.
///
/// Devices come with the signed query of a manifest's `download_url`; people come with an admin token instead.
#[utoipa::path(
    get, path = "/v1/apk/{id}/download",
    operation_id = "DownloadBuild", tag = "agent",
    params(
        ("id" = i64, Path, description = "The build's number"),
        ("device_id" = Option<String>, Query, description = "The device that the URL was made for"),
        ("rollout_id" = Option<i64>, Query, description = "The rollout that offered the build"),
        ("expires" = Option<i64>, Query, description = "When the URL ends, in seconds since 1970"),
        ("signature" = Option<String>, Query, description = "The server's signature over the above"),
        ("redirect" = Option<String>, Query, description = "1: the caller follows a redirection to another host"),
        ("range" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "Part of the file, as in RFC 9110"),
        ("if-match" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag that the file must have"),
        ("if-none-match" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag of the file that the caller has"),
        ("if-range" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag that the part must belong to"),
    ),
    responses(
        (status = 200, description = "The whole file", body = String, content_type = "application/vnd.android.package-archive"),
        (status = 206, description = "A part of it", body = String, content_type = "application/vnd.android.package-archive"),
        (status = 302, description = "Where the file is for the next 15 minutes, for those who sent redirect=1"),
        (status = 304, description = "The caller has it"),
        (status = 400, description = "A malformed Range or query", body = Problem),
        (status = 401, description = "Neither a signed query nor an admin token", body = Problem),
        (status = 403, description = "Altered, expired or another device's URL", body = Problem),
        (status = 404, description = "No such build", body = Problem),
        (status = 412, description = "The file is not the one that If-Match names", body = Problem),
        (status = 503, description = "The artifact store is away", body = Problem),
        (status = 416, description = "A Range beyond the end", body = Problem),
    ),
    security((), ("admin_token" = []))
)]
async fn download(
    State(downloads): State<Arc<Downloads>>,
    State(authenticator): State<Arc<Authenticator>>,
    BuildNumber(id): BuildNumber,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = uri.query().unwrap_or_default();
    let download = match signed_query(query)? {
        Some(query) => {
            let token = optional_bearer(&headers)?;
            downloads.authorize(BuildId(id), &query, token).await?
        }
        None => {
            let actor = credentials::actor(&authenticator, bearer(&headers)?, None)?;
            downloads.authorize_person(&actor, BuildId(id)).await?
        }
    };
    serve(&downloads, &download, &method, query, &headers).await
}

/// Fetches the patch to a build from another.
///
/// Devices come with the signed query of a manifest's `patch.url`; people come with an admin token instead.
#[utoipa::path(
    get, path = "/v1/apk/{id}/patches/{base_id}",
    operation_id = "DownloadPatch", tag = "agent",
    params(
        ("id" = i64, Path, description = "The number of the build that it leads to"),
        ("base_id" = i64, Path, description = "The number of the build that it is made from"),
        ("device_id" = Option<String>, Query, description = "The device that the URL was made for"),
        ("rollout_id" = Option<i64>, Query, description = "The rollout that offered the build"),
        ("expires" = Option<i64>, Query, description = "When the URL ends, in seconds since 1970"),
        ("signature" = Option<String>, Query, description = "The server's signature over the above"),
        ("redirect" = Option<String>, Query, description = "1: the caller follows a redirection to another host"),
        ("range" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "Part of the patch, as in RFC 9110"),
        ("if-match" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag that the patch must have"),
        ("if-none-match" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag of the patch that the caller has"),
        ("if-range" = Option<String>, Header, pattern = r"^[\t -~]*$", description = "The ETag that the part must belong to"),
    ),
    responses(
        (status = 200, description = "The whole patch", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "A part of it", body = String, content_type = "application/octet-stream"),
        (status = 302, description = "Where the patch is for the next 15 minutes, for those who sent redirect=1"),
        (status = 304, description = "The caller has it"),
        (status = 400, description = "A malformed Range or query", body = Problem),
        (status = 401, description = "Neither a signed query nor an admin token", body = Problem),
        (status = 403, description = "Altered, expired or another device's URL", body = Problem),
        (status = 404, description = "No such build, or no such patch: take the whole file", body = Problem),
        (status = 412, description = "The patch is not the one that If-Match names", body = Problem),
        (status = 503, description = "The artifact store is away", body = Problem),
        (status = 416, description = "A Range beyond the end", body = Problem),
    ),
    security((), ("admin_token" = []))
)]
async fn download_patch(
    State(downloads): State<Arc<Downloads>>,
    State(authenticator): State<Arc<Authenticator>>,
    TwoBuilds(id, base): TwoBuilds,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = uri.query().unwrap_or_default();
    let builds = (BuildId(id), BuildId(base));
    let download = match signed_query(query)? {
        Some(query) => {
            let token = optional_bearer(&headers)?;
            downloads.authorize_patch(builds, &query, token).await?
        }
        None => {
            let actor = credentials::actor(&authenticator, bearer(&headers)?, None)?;
            downloads.authorize_person_patch(&actor, builds).await?
        }
    };
    serve(&downloads, &download, &method, query, &headers).await
}

/// Hands out what may be fetched.
async fn serve(
    downloads: &Downloads,
    download: &Download,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    if follows(query)
        && let Some(url) = downloads.elsewhere(download).await?
    {
        if *method == Method::GET {
            downloads.sent_elsewhere(download);
        }
        return Ok(sent_to(&url));
    }
    let size = download.size();
    match conditional::evaluate(headers, &etag(download)) {
        Outcome::GoOn => {}
        Outcome::Failed => return Ok(failed()),
        Outcome::NotModified => return Ok(not_modified(validators(download))),
    }
    // RFC 9110, section 14.2: a Range means something to a GET alone.
    let part = if *method == Method::GET {
        part(headers, download)
    } else {
        Part::Whole
    };
    let (status, bytes) = match part {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Bytes(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Part::Beyond => return Ok(beyond(size)),
        Part::Malformed => return Err(Error::invalid("Range", "must read like bytes=500-999").into()),
    };
    let length = bytes.end - bytes.start;
    let mut answer = describe(download);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, size);
        answer.insert(header::CONTENT_RANGE, rest::header_value(&range));
    }
    // A HEAD sends no byte and so must not count as a download.
    let body = if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(downloads.open(download, bytes).await?)
    };
    Ok((status, answer, body).into_response())
}

/// Whether the caller says that it follows redirections.
fn follows(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "redirect" && value == "1")
}

/// The URL is a secret for as long as it holds, so nobody keeps it.
fn sent_to(url: &str) -> Response {
    let headers = [
        (header::LOCATION, rest::header_value(url)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// The signed query; `None` when there is no signature at all.
fn signed_query(query: &str) -> Result<Option<DownloadQuery>, Error> {
    let (mut device_id, mut rollout_id, mut expires, mut signature) = (None, None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "device_id" => device_id = Some(value.into_owned()),
            "rollout_id" => rollout_id = Some(value.into_owned()),
            "expires" => expires = Some(value.into_owned()),
            "signature" => signature = Some(value.into_owned()),
            _ => {}
        }
    }
    let Some(signature) = signature else {
        return Ok(None);
    };
    let malformed = || Error::new(Kind::Forbidden, "url_refused", "the download URL is malformed");
    let expires = expires.and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    let rollout_id = rollout_id
        .map(|text| text.parse().map_err(|_| malformed()))
        .transpose()?;
    Ok(Some(DownloadQuery {
        device_id: device_id.ok_or_else(malformed)?,
        rollout_id,
        expires,
        signature,
    }))
}

/// The part that the headers ask for. A part of another version of the file than the caller has is no use to them,
/// so they are sent all of it.
fn part(headers: &HeaderMap, download: &Download) -> Part {
    let Some(wanted) = headers.get(header::RANGE) else {
        return Part::Whole;
    };
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|tag| tag.as_bytes() != etag(download).as_bytes())
    {
        return Part::Whole;
    }
    wanted
        .to_str()
        .map_or(Part::Malformed, |wanted| range::parse(wanted, download.size()))
}

fn failed() -> Response {
    let detail = "the file is another than the one that If-Match names; begin anew";
    problem(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        detail.to_owned(),
        None,
    )
}

fn beyond(size: u64) -> Response {
    let detail = format!("the file has {size} bytes, and the Range begins beyond them");
    let mut response = problem(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range_beyond_end",
        detail,
        Some("Range".to_owned()),
    );
    let size = rest::header_value(&format!("bytes */{size}"));
    response.headers_mut().insert(header::CONTENT_RANGE, size);
    response
}

fn describe(download: &Download) -> HeaderMap {
    let facts = &download.build.facts;
    let (kind, ending) = match &download.patch {
        None => ("application/vnd.android.package-archive", "apk".to_owned()),
        Some(patch) => (
            "application/octet-stream",
            format!("from-build-{}.tgp", patch.base),
        ),
    };
    let name = format!(
        "attachment; filename=\"{}-{}.{ending}\"",
        facts.package, facts.version_code
    );
    // RFC 9530: the digest of the whole file, also beside a part of it.
    let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(download.sha256().0));
    let mut answer = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (
            HeaderName::from_static("repr-digest"),
            rest::header_value(&digest),
        ),
        (header::CONTENT_DISPOSITION, rest::header_value(&name)),
    ]);
    answer.extend(validators(download));
    answer
}

/// What a caller who has the file is told as well.
fn validators(download: &Download) -> [(HeaderName, HeaderValue); 2] {
    [
        (header::ETAG, rest::header_value(&etag(download))),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-transform"),
        ),
    ]
}

fn etag(download: &Download) -> String {
    format!("\"{}\"", download.sha256())
}
