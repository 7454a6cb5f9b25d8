//! How long a call may take: as long as its client says in `grpc-timeout`, and never longer than the server allows.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;

use super::{UPLOAD_BUILD, refuse};
use crate::timeouts::REQUEST_TIMEOUT;

/// An upload, whose bytes take as long as their network does.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// A watch, which goes on until there is nothing to tell any more. Its client asks again.
const WATCH_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The calls that may take longer than [`REQUEST_TIMEOUT`].
const LONG_CALLS: [(&str, Duration); 3] = [
    (UPLOAD_BUILD, UPLOAD_TIMEOUT),
    ("/tidegate.v1.NudgeService/WatchCampaign", WATCH_TIMEOUT),
    ("/grpc.health.v1.Health/Watch", WATCH_TIMEOUT),
];

/// Ends a call at its deadline, also while its answer is being sent.
///
/// Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `grpc-timeout`.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let long = LONG_CALLS.iter().find(|(method, _)| *method == path);
    let allowed = long.map_or(REQUEST_TIMEOUT, |(_, timeout)| *timeout);
    let wanted = wanted(request.headers()).unwrap_or(allowed);
    let mut ends = Box::pin(tokio::time::sleep(wanted.min(allowed)));
    tokio::select! {
        response = next.run(request) => response.map(|body| {
            Body::new(Timed { body, ends, over: false })
        }),
        () = &mut ends => refuse(over()),
    }
}

fn over() -> Status {
    Status::deadline_exceeded("the call took longer than its client or this server allows")
}

fn wanted(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// An answer that ends with "deadline exceeded" when its time is up.
struct Timed {
    body: Body,
    ends: Pin<Box<Sleep>>,
    over: bool,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            return frame;
        }
        ready!(self.ends.as_mut().poll(context));
        // Nothing follows the status, and whatever the call holds ends with its body.
        (self.over, self.body) = (true, Body::empty());
        let mut trailers = HeaderMap::new();
        // Only a message that is no header value fails, and this one is.
        let _ = over().add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn a_deadline_reads_as_the_protocol_writes_it() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "5", "5x", "123456789S", "-5S", "µ"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    /// How many seconds pass until this method of nobody's ends, and what it says then.
    async fn ends_after(path: &'static str, timeout: Option<&str>) -> (u64, String) {
        let router = Router::new()
            .route(path, post(std::future::pending::<()>))
            .layer(from_fn(keep));
        let mut request = Request::post(path);
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        let begun = tokio::time::Instant::now();
        let response = router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
        (begun.elapsed().as_secs(), status)
    }

    #[tokio::test(start_paused = true)]
    async fn the_shorter_of_both_deadlines_counts() {
        let list = "/tidegate.v1.BuildService/ListBuilds";
        for (path, timeout, seconds) in [
            (list, None, 30),
            (list, Some("5S"), 5),
            (list, Some("2H"), 30),
            (list, Some("never"), 30),
            (UPLOAD_BUILD, None, 3600),
            (UPLOAD_BUILD, Some("1M"), 60),
            (UPLOAD_BUILD, Some("99999999H"), 3600),
        ] {
            let ended = ends_after(path, timeout).await;
            assert_eq!(ended, (seconds, "4".to_owned()), "{path} {timeout:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_end_is_ended_with_a_status() {
        let endless =
            || async { Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>()) };
        let router = Router::new().route("/", post(endless)).layer(from_fn(keep));
        let request = Request::post("/").body(Body::empty()).unwrap();
        let mut body = router.oneshot(request).await.unwrap().into_body();
        let mut next = async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let trailers = next().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "4");
        assert!(next().await.is_none());
    }
}
