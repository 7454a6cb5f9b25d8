//! Reading on after a refusal, so that the refusal arrives.
//!
//! A server that answers before it has read the request's body and then closes an HTTP/1 connection resets it: the
//! client, still writing, sees a broken pipe and never the answer. What a handler leaves of a body is therefore read
//! and thrown away for a while. HTTP/2 needs none of this: there a stream ends without its connection.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9112#section-9.6>

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// How long the rest of a refused body is read.
const LINGER: Duration = Duration::from_secs(10);

/// Sees to the body's rest.
pub(crate) async fn read_on(request: Request, next: Next) -> Response {
    let request = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => {
            request.map(|body| Body::new(Lingering(body)))
        }
        _ => request,
    };
    next.run(request).await
}

/// A body whose rest is read when its reader lets go of it.
struct Lingering(Body);

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = frame {
            self.0 = Body::empty();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let body = std::mem::replace(&mut self.0, Body::empty());
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Body) {
    while let Some(Ok(_)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
}
