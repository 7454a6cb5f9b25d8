//! Preconditions on a file's entity tag.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9110#name-preconditions>

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body::Frame;

/// What a request's preconditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The request goes on.
    GoOn,
    /// The caller wants another version of the file than there is.
    Failed,
    /// The caller has this version.
    NotModified,
}

/// Evaluates `If-Match`, then `If-None-Match`, for a file with this strong tag, quotes included.
pub(crate) fn evaluate(headers: &HeaderMap, etag: &str) -> Outcome {
    if names(headers, &header::IF_MATCH, etag, false) == Some(false) {
        return Outcome::Failed;
    }
    if names(headers, &header::IF_NONE_MATCH, etag, true) == Some(true) {
        return Outcome::NotModified;
    }
    Outcome::GoOn
}

/// Whether a list of tags has this one; `None` when there is no such list. The weak comparison takes a weak tag for the
/// strong one of the same name; the strong comparison doesn't.
fn names(headers: &HeaderMap, list: &HeaderName, etag: &str, weak: bool) -> Option<bool> {
    let mut lists = headers.get_all(list).iter().peekable();
    lists.peek()?;
    // Our tags have no comma in them, so that one in a foreign tag only makes two that are not ours.
    let mut tags = lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    Some(tags.any(|tag| {
        let tag = tag.trim_ascii();
        let strong = tag.strip_prefix(b"W/").filter(|_| weak).unwrap_or(tag);
        tag == b"*" || strong == etag.as_bytes()
    }))
}

/// A 304 with these headers. It has no length: that of its absent body would be taken for the file's.
pub(crate) fn not_modified(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Response {
    let mut response = (StatusCode::NOT_MODIFIED, Body::new(WithoutLength)).into_response();
    response.headers_mut().extend(headers);
    response
}

/// No body, and no length either.
struct WithoutLength;

impl HttpBody for WithoutLength {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_are_evaluated_in_their_order() {
        let (if_match, if_none_match) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let table: [(&[(&HeaderName, &str)], Outcome); 14] = [
            (&[], Outcome::GoOn),
            (&[(&if_match, "\"a\"")], Outcome::GoOn),
            (&[(&if_match, "\"b\", \"a\"")], Outcome::GoOn),
            (&[(&if_match, "\"b\""), (&if_match, "\"a\"")], Outcome::GoOn),
            (&[(&if_match, "*")], Outcome::GoOn),
            (&[(&if_match, "\"b\"")], Outcome::Failed),
            (&[(&if_match, "W/\"a\"")], Outcome::Failed),
            (&[(&if_match, "")], Outcome::Failed),
            (&[(&if_none_match, "\"b\"")], Outcome::GoOn),
            (&[(&if_none_match, "\"b\",\"a\"")], Outcome::NotModified),
            (&[(&if_none_match, "W/\"a\"")], Outcome::NotModified),
            (&[(&if_none_match, "*")], Outcome::NotModified),
            (
                &[(&if_match, "\"b\""), (&if_none_match, "\"a\"")],
                Outcome::Failed,
            ),
            (
                &[(&if_match, "\"a\""), (&if_none_match, "\"a\"")],
                Outcome::NotModified,
            ),
        ];
        for (given, outcome) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(evaluate(&headers, "\"a\""), outcome, "{given:?}");
        }
    }
}
