//! The `Date` of an answer, by the server's own clock.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use tidegate_service::Polls;

/// The last second that has such a text.
const LAST_SECOND: u64 = 253_402_300_799;

thread_local! {
    /// The second that was told last, and its text: a second has many polls.
    static LAST: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
}

/// The time as HTTP tells it. Source: RFC 9110, 5.6.7.
pub(crate) fn of(now: DateTime<Utc>) -> HeaderValue {
    LAST.with_borrow_mut(|(second, text)| {
        if *second != now.timestamp() {
            *second = now.timestamp();
            let since = Duration::from_secs(u64::try_from(*second).unwrap_or(0).min(LAST_SECOND));
            let written = httpdate::fmt_http_date(UNIX_EPOCH + since);
            *text = HeaderValue::from_str(&written).unwrap_or(HeaderValue::from_static(""));
        }
        text.clone()
    })
}

/// Dates every answer by the server's clock, which is the database's: an agent corrects its own by any of them, and windows
/// and deadlines are told by this one.
pub(crate) async fn tell(State(polls): State<Arc<Polls>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::DATE, of(polls.now()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_text() {
        let at = |seconds| of(DateTime::from_timestamp(seconds, 0).unwrap());
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
