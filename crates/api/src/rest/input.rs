//! Reading what REST callers send: bounded, strict, and with the name of the field that is wrong.

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use tidegate_service::{Error, Kind};

use crate::problem::Refusal;

/// The largest JSON body, in bytes, where a route allows no larger one.
pub(crate) const MAX_JSON_BYTES: usize = 64 * 1024;

/// A JSON body. None at all is refused: who says nothing has not asked for anything either.
pub(crate) struct Json<T, const LIMIT: usize = MAX_JSON_BYTES>(pub T);

/// A JSON body of a verb that has nothing to be told. None at all is read as `{}`.
pub(crate) struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        Ok(Self(from_json(&body(request, LIMIT).await?)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = body(request, MAX_JSON_BYTES).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self(from_json(text)?))
    }
}

/// A body that says by its length that it is too large is refused before a byte of it is read, or asked for.
pub(super) async fn body(request: Request, limit: usize) -> Result<Bytes, Error> {
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes or was cut off");
        Error::new(Kind::TooLarge, "too_large", message)
    };
    let body = request.into_body();
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > limit) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, limit).await.map_err(|_| too_large())
}

fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    // serde would read a message from a bare list of its values too, in an order that is not in the protocol.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(unreadable("expected a JSON object in the body"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|fault| misread(&fault))?;
    json.end().map_err(unreadable)?;
    Ok(value)
}

/// A query string.
pub(crate) struct Fields<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Fields<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let fields = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(query));
        Ok(Self(fields.map_err(|fault| misread(&fault))?))
    }
}

/// The number of a build in a path.
pub(crate) struct BuildNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for BuildNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "a build").await.map(Self)
    }
}

/// The numbers of two builds in a path.
pub(crate) struct TwoBuilds(pub i64, pub i64);

impl<S: Send + Sync> FromRequestParts<S> for TwoBuilds {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let numbers = texts.ok().and_then(|Path((one, other))| {
            let (one, other) = (one.parse().ok()?, other.parse().ok()?);
            Some(Self(one, other))
        });
        Ok(numbers.ok_or_else(|| no_number(parts, "two builds"))?)
    }
}

/// The number of a rollout in a path.
pub(crate) struct RolloutNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for RolloutNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "a rollout").await.map(Self)
    }
}

/// The number of an experiment in a path.
pub(crate) struct ExperimentNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for ExperimentNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "an experiment").await.map(Self)
    }
}

/// The number of a campaign in a path.
pub(crate) struct CampaignNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for CampaignNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "a campaign").await.map(Self)
    }
}

/// The number of a policy in a path.
pub(crate) struct PolicyNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for PolicyNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "a policy").await.map(Self)
    }
}

/// The number of an enrolment token in a path.
pub(crate) struct TokenNumber(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for TokenNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        number(parts, state, "a token").await.map(Self)
    }
}

async fn number<S: Send + Sync>(parts: &mut Parts, state: &S, what: &str) -> Result<i64, Refusal> {
    let text = Path::<String>::from_request_parts(parts, state).await;
    let number = text.as_ref().ok().and_then(|Path(text)| text.parse().ok());
    Ok(number.ok_or_else(|| no_number(parts, what))?)
}

fn no_number(parts: &Parts, what: &str) -> Error {
    let path = parts.uri.path();
    let message =
        format!("nothing is served at {path}: where it names {what}, there must be the number of one");
    Error::not_found("not_found", message)
}

/// A name in a path: a device's id, a package.
pub(crate) struct TextPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for TextPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| Error::invalid("path", "must be UTF-8"))?;
        Ok(Self(id))
    }
}

/// What could not be read, by the name of the field at fault: the path to it ends in the field's own name also where
/// that is none of the message's.
fn misread<E: std::fmt::Display>(fault: &serde_path_to_error::Error<E>) -> Error {
    let mut segments = fault.path().iter();
    if segments.all(|segment| matches!(segment, Segment::Unknown)) {
        let fault = fault.inner().to_string();
        return missing_field(&fault).unwrap_or_else(|| unreadable(fault));
    }
    Error::invalid(
        fault.path().to_string(),
        format!("cannot be read: {}", fault.inner()),
    )
}

/// serde names a field that is missing in its sentence alone.
fn missing_field(fault: &str) -> Option<Error> {
    let field = fault.strip_prefix("missing field `")?.split('`').next()?;
    Some(Error::invalid(field, "is missing"))
}

fn unreadable(fault: impl std::fmt::Display) -> Error {
    let message = format!("the request cannot be read: {fault}");
    Error::new(Kind::Invalid, "invalid_argument", message)
}

#[cfg(test)]
mod tests {
    use tidegate_proto::v1::{AdjustRolloutRequest, ListBuildsRequest, PromoteRequest};

    use super::*;

    fn fault(json: &str) -> (Option<String>, String) {
        let error = from_json::<PromoteRequest>(json.as_bytes()).unwrap_err();
        (error.field, error.message)
    }

    #[test]
    fn a_wrong_field_is_named() {
        assert_eq!(
            fault(r#"{"rollout_percent":"ten"}"#).0.as_deref(),
            Some("rollout_percent")
        );
        assert_eq!(
            fault(r#"{"rolout_percent":10}"#).0.as_deref(),
            Some("rolout_percent")
        );
        assert_eq!(
            fault(r#"{"audience":{"region":[]}}"#).0.as_deref(),
            Some("audience.region")
        );
    }

    #[test]
    fn a_missing_field_is_named() {
        for empty in ["{}", "{\"build_id\":7}"] {
            let error = from_json::<AdjustRolloutRequest>(empty.as_bytes()).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("rollout_percent"));
        }
    }

    #[test]
    fn a_wrong_field_of_a_query_is_named() {
        let fault = |query: &'static str| {
            let query = form_urlencoded::parse(query.as_bytes());
            let deserializer = serde_urlencoded::Deserializer::new(query);
            let fields = serde_path_to_error::deserialize::<_, ListBuildsRequest>(deserializer);
            misread(&fields.unwrap_err()).field
        };
        assert_eq!(fault("pagesize=3").as_deref(), Some("pagesize"));
        assert_eq!(fault("page_size=three").as_deref(), Some("page_size"));
    }

    #[test]
    fn what_is_not_json_is_refused_whole() {
        for bad in [
            "",
            "{",
            "{\"rollout_",
            "[]",
            "{\"rollout_percent\":1} {}",
            "null",
            "\u{0}",
        ] {
            assert_eq!(fault(bad).0, None, "{bad}");
        }
    }
}
