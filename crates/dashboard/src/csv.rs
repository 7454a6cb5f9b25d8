//! Files for spreadsheets (RFC 4180), sent part by part.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use tidegate_service::Error;

/// Adds one line. A spreadsheet takes a cell that begins with one of these for a formula, and devices name
/// themselves: an apostrophe before it says that it is a text (OWASP, "CSV Injection").
pub(crate) fn write(text: &mut String, cells: &[String]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        let guard = if is_formula { "'" } else { "" };
        if is_formula || cell.contains(['"', ',', '\r', '\n']) {
            text.push_str(&format!("\"{guard}{}\"", cell.replace('"', "\"\"")));
        } else {
            text.push_str(cell);
        }
    }
    text.push_str("\r\n");
}

/// A part of a file, and the token of the next one, if there is one.
pub(crate) type Part = (String, Option<String>);

/// A file of this name, which must be a plain word, part by part: one is held at a time. The first comes before the answer
/// begins, so that what is wrong is said and not cut off.
pub(crate) async fn file<Fut>(
    name: &'static str,
    head: &'static str,
    part: impl Fn(Option<String>) -> Fut + Send + 'static,
) -> Result<Response, Error>
where
    Fut: Future<Output = Result<Part, Error>> + Send + 'static,
{
    let (first, next) = part(None).await?;
    let begin = stream::once(async move { Ok::<_, Error>(Bytes::from(format!("{head}{first}"))) });
    let rest = stream::try_unfold((part, next), |(part, next)| async move {
        let Some(token) = next else {
            return Ok(None);
        };
        let (text, next) = part(Some(token)).await?;
        Ok::<_, Error>(Some((Bytes::from(text), (part, next))))
    });
    Ok(answer(name, begin.chain(rest)))
}

fn answer(name: &'static str, parts: impl Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Response {
    let mut headers = HeaderMap::new();
    let csv = HeaderValue::from_static("text/csv; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, csv);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    if let Ok(disposition) = disposition {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    (headers, Body::from_stream(parts)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_leaves_its_place() {
        let mut text = String::new();
        let cells = [
            "=1+1", "+1", "-1", "@x", "\tx", "a,b", "a\"b", "a\r\nb", "plain", "",
        ];
        write(&mut text, &cells.map(str::to_owned));
        assert_eq!(
            text,
            "\"'=1+1\",\"'+1\",\"'-1\",\"'@x\",\"'\tx\",\"a,b\",\"a\"\"b\",\"a\r\nb\",plain,\r\n"
        );
    }
}
