//! Handing a build's file out, in whole or in part.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tidegate_domain::{BuildFacts, BuildId};
use tidegate_service::{Authenticator, Download, Downloads, Error, Kind};
use tidegate_signing::DownloadQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conditional::{self, Outcome, not_modified};
use super::input::BuildNumber;
use super::range::{self, Part};
use crate::credentials::{self, bearer, optional_bearer};
use crate::problem::{Problem, Refusal, problem};
use crate::rest;
use crate::state::Routes;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(download))
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
    let download = authorize(&downloads, &authenticator, BuildId(id), query, &headers).await?;
    if follows(query)
        && let Some(url) = downloads.elsewhere(&download).await?
    {
        if method == Method::GET {
            downloads.sent_elsewhere(&download);
        }
        return Ok(sent_to(&url));
    }
    let facts = &download.build.facts;
    match conditional::evaluate(&headers, &etag(facts)) {
        Outcome::GoOn => {}
        Outcome::Failed => return Ok(failed()),
        Outcome::NotModified => return Ok(not_modified(validators(facts))),
    }
    // RFC 9110, section 14.2: a Range means something to a GET alone.
    let part = if method == Method::GET {
        part(&headers, facts)
    } else {
        Part::Whole
    };
    let (status, bytes) = match part {
        Part::Whole => (StatusCode::OK, 0..facts.size),
        Part::Bytes(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Part::Beyond => return Ok(beyond(facts)),
        Part::Malformed => return Err(Error::invalid("Range", "must read like bytes=500-999").into()),
    };
    let length = bytes.end - bytes.start;
    let mut answer = describe(&download);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, facts.size);
        answer.insert(header::CONTENT_RANGE, rest::header_value(&range));
    }
    // A HEAD sends no byte and so must not count as a download.
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(downloads.open(&download, bytes).await?)
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

async fn authorize(
    downloads: &Downloads,
    authenticator: &Authenticator,
    id: BuildId,
    query: &str,
    headers: &HeaderMap,
) -> Result<Download, Error> {
    match signed_query(query)? {
        Some(query) => downloads.authorize(id, &query, optional_bearer(headers)?).await,
        None => {
            let actor = credentials::actor(authenticator, bearer(headers)?, None)?;
            downloads.authorize_person(&actor, id).await
        }
    }
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
fn part(headers: &HeaderMap, facts: &BuildFacts) -> Part {
    let Some(wanted) = headers.get(header::RANGE) else {
        return Part::Whole;
    };
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|tag| tag.as_bytes() != etag(facts).as_bytes())
    {
        return Part::Whole;
    }
    wanted
        .to_str()
        .map_or(Part::Malformed, |wanted| range::parse(wanted, facts.size))
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

fn beyond(facts: &BuildFacts) -> Response {
    let detail = format!(
        "the file has {} bytes, and the Range begins beyond them",
        facts.size
    );
    let mut response = problem(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range_beyond_end",
        detail,
        Some("Range".to_owned()),
    );
    let size = rest::header_value(&format!("bytes */{}", facts.size));
    response.headers_mut().insert(header::CONTENT_RANGE, size);
    response
}

fn describe(download: &Download) -> HeaderMap {
    let facts = &download.build.facts;
    let name = format!(
        "attachment; filename=\"{}-{}.apk\"",
        facts.package, facts.version_code
    );
    // RFC 9530: the digest of the whole file, also beside a part of it.
    let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(facts.sha256.0));
    let mut answer = HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.android.package-archive"),
        ),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (
            HeaderName::from_static("repr-digest"),
            rest::header_value(&digest),
        ),
        (header::CONTENT_DISPOSITION, rest::header_value(&name)),
    ]);
    answer.extend(validators(facts));
    answer
}

/// What a caller who has the file is told as well.
fn validators(facts: &BuildFacts) -> [(HeaderName, HeaderValue); 2] {
    [
        (header::ETAG, rest::header_value(&etag(facts))),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-transform"),
        ),
    ]
}

fn etag(facts: &BuildFacts) -> String {
    format!("\"{}\"", facts.sha256)
}
