//! What an answer to a download is: the file, a part of it, or neither.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};

use crate::downloading::Ending;
use crate::target::Target;
use crate::{Body, Error};

pub(crate) fn too_long(target: &Target) -> String {
    format!("more than the {} bytes of the manifest came", target.size)
}

/// Whether the body ends where the file does. A connection that breaks there is fine: all of the file is here.
pub(crate) async fn nothing_more(body: &mut Body) -> bool {
    loop {
        match body.chunk().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(_)) => return false,
            Some(Err(_)) | None => return true,
        }
    }
}

/// The strong ETag of what the server sends itself.
pub(crate) fn etag(target: &Target) -> String {
    format!("\"{}\"", target.sha256)
}

/// The download URL, with the word that this agent goes where the server sends it. Servers that know nothing of it, or send
/// nobody elsewhere, answer with the file.
pub(crate) fn redirectable(url: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}redirect=1")
}

/// Which byte of the file the body starts with, if it is a part of this file. `expected`: the ETag that it has to have.
pub(crate) fn first_byte(
    head: &http::response::Parts,
    target: &Target,
    had: u64,
    expected: Option<&str>,
) -> Result<u64, Ending> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let unusable = |what: String| Err(Ending::Cut(Error::Malformed(what), None));
    let other_file = text(ETAG).is_some_and(|tag| expected.is_some_and(|expected| tag != expected));
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match head.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT if other_file => {
            unusable("the ETag is that of another file".to_owned())
        }
        StatusCode::OK => match length {
            Some(length) if length != target.size => Err(Ending::WrongSize(format!(
                "{length} bytes are offered, the manifest names {}",
                target.size
            ))),
            _ => Ok(0),
        },
        StatusCode::PARTIAL_CONTENT => {
            let range = text(CONTENT_RANGE).and_then(content_range);
            match range {
                Some((_, size)) if size != target.size => Err(Ending::WrongSize(format!(
                    "the file has {size} bytes, the manifest names {}",
                    target.size
                ))),
                Some((first, _)) if first == had && had > 0 => Ok(had),
                _ => unusable("the answer is another part of the file than requested".to_owned()),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let size =
                text(CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes */")?.parse::<u64>().ok());
            match size {
                Some(size) if size != target.size => Err(Ending::WrongSize(format!(
                    "the file has {size} bytes, the manifest names {}",
                    target.size
                ))),
                _ => unusable("the server refuses to send the rest of the file".to_owned()),
            }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Ending::UrlRefused)
        }
        status => unusable(format!("the download was answered with {status}")),
    }
}

/// The first byte and the size of the whole file, from such as `bytes 500-999/8000`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}
