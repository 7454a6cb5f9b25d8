//! Handing a build's file out, in whole or in part.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tidegate_domain::{BuildFacts, BuildId};
use tidegate_service::{Download, Error, Kind};
use tidegate_signing::DownloadQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::BuildNumber;
use super::range::{self, Part};
use crate::credentials::{self, bearer, optional_bearer};
use crate::problem::{Problem, Refusal, problem};
use crate::{Api, rest};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
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
        ("expires" = Option<i64>, Query, description = "When the URL ends, in seconds since 1970"),
        ("signature" = Option<String>, Query, description = "The server's signature over the above"),
        ("redirect" = Option<String>, Query, description = "1: the caller follows a redirection to another host"),
        ("range" = Option<String>, Header, description = "Part of the file, as in RFC 9110"),
        ("if-range" = Option<String>, Header, description = "The ETag that the part must belong to"),
    ),
    responses(
        (status = 200, description = "The whole file", content_type = "application/vnd.android.package-archive"),
        (status = 206, description = "A part of it", content_type = "application/vnd.android.package-archive"),
        (status = 302, description = "Where the file is for the next 15 minutes, for those who sent redirect=1"),
        (status = 400, description = "A malformed Range or query", body = Problem),
        (status = 401, description = "Neither a signed query nor an admin token", body = Problem),
        (status = 403, description = "Altered, expired or another device's URL", body = Problem),
        (status = 404, description = "No such build", body = Problem),
        (status = 416, description = "A Range beyond the end", body = Problem),
    )
)]
async fn download(
    State(api): State<Arc<Api>>,
    BuildNumber(id): BuildNumber,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = uri.query().unwrap_or_default();
    let download = authorize(&api, BuildId(id), query, &headers).await?;
    if follows(query)
        && let Some(url) = api.downloads.elsewhere(&download).await?
    {
        return Ok(sent_to(&url));
    }
    let facts = &download.build.facts;
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
        Body::from_stream(api.downloads.open(&download, bytes).await?)
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

async fn authorize(api: &Api, id: BuildId, query: &str, headers: &HeaderMap) -> Result<Download, Error> {
    match signed_query(query)? {
        Some(query) => {
            api.downloads
                .authorize(id, &query, optional_bearer(headers)?)
                .await
        }
        None => {
            let actor = credentials::actor(&api.authenticator, bearer(headers)?, None)?;
            api.downloads.authorize_person(&actor, id).await
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
    HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.android.package-archive"),
        ),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::ETAG, rest::header_value(&etag(facts))),
        (
            header::HeaderName::from_static("repr-digest"),
            rest::header_value(&digest),
        ),
        (header::CONTENT_DISPOSITION, rest::header_value(&name)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-transform"),
        ),
    ])
}

fn etag(facts: &BuildFacts) -> String {
    format!("\"{}\"", facts.sha256)
}
