//! Reading on after a refusal, so that the refusal arrives.
//!
//! A server that answers before it has read the request's body and then closes an HTTP/1 connection resets it: the
//! client, still writing, sees a broken pipe and never the answer. What a handler leaves of a body is therefore read
//! and thrown away for a while. HTTP/2 needs none of this: there a stream ends without its connection.
//!
//! A client that waits for "100 Continue" writes nothing until somebody begins to read, so that what it holds back is not
//! asked for only to be thrown away.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9112#section-9.6>,
//! <https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1>

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// How long the rest of a refused body is read.
const LINGER: Duration = Duration::from_secs(10);

/// Sees to the body's rest.
pub(crate) async fn read_on(request: Request, next: Next) -> Response {
    let request = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => {
            let waits = request.headers().contains_key(header::EXPECT);
            request.map(|body| Body::new(Lingering { body, waits }))
        }
        _ => request,
    };
    next.run(request).await
}

/// A body whose rest is read when its reader lets go of it.
struct Lingering {
    body: Body,
    /// The client holds it back until it is asked for.
    waits: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = frame {
            self.body = Body::empty();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.waits || self.body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let body = std::mem::replace(&mut self.body, Body::empty());
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Body) {
    while let Some(Ok(_)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
}
