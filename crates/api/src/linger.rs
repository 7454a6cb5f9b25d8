//! Reading on after a refusal, so that the refusal arrives.
//!
//! A server that answers before it has read the request's body and then lets go of the body cuts its client off: over
//! HTTP/1 the connection is reset, over HTTP/2 the stream is. The client, still writing, sees a fault and often never the
//! answer: the protocol would have it keep an answer that was whole before the reset, and curl before 8.0 does not. What a
//! handler leaves of a body is therefore read and thrown away for a while, behind the answer.
//!
//! It holds no memory: what came is let go of before more is asked for. Over HTTP/2 a peer reads while it writes, so that it
//! hears of the answer soon, and what it may still bring is bounded. Over HTTP/1 many a client reads when it has
//! written everything.
//!
//! An HTTP/1 client that waits for "100 Continue" writes nothing until somebody begins to read, so that what it holds back
//! is not asked for only to be thrown away. Over HTTP/2 reading asks for nothing.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9112#section-9.6>, <https://www.rfc-editor.org/rfc/rfc9113#section-8.1>,
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

/// How many bytes of the rest are read over HTTP/2.
const MAX_REST: u64 = 16 * 1024 * 1024;

/// Sees to the body's rest.
pub(crate) async fn read_on(request: Request, next: Next) -> Response {
    let lingering = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => {
            let waits = request.headers().contains_key(header::EXPECT);
            request.map(|body| Lingering::of(body, waits, u64::MAX))
        }
        _ => request.map(|body| Lingering::of(body, false, MAX_REST)),
    };
    next.run(lingering).await
}

/// Lets go of a request that no layer saw and whose body nobody looked at, as a poll's. Over HTTP/1 the library does what is
/// needed.
pub fn let_go<B>(request: Request<B>)
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    // Nearly all have no body, and of these the library can say so without a lock.
    if request.version() != Version::HTTP_2 || request.body().size_hint().upper() == Some(0) {
        return;
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(tokio::time::timeout(
            LINGER,
            throw_away(request.into_body(), MAX_REST),
        ));
    }
}

/// A body whose rest is read when its reader lets go of it.
struct Lingering {
    body: Body,
    /// The client holds it back until it is asked for.
    waits: bool,
    /// How many bytes of the rest are read.
    max_rest: u64,
}

impl Lingering {
    fn of(body: Body, waits: bool, max_rest: u64) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self {
            body,
            waits,
            max_rest,
        })
    }
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
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body, self.max_rest)));
        }
    }
}

async fn throw_away<B: HttpBody<Data = Bytes>>(body: B, max: u64) {
    let mut body = std::pin::pin!(body);
    let mut left = max;
    while let Some(Ok(frame)) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
