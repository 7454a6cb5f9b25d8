//! An answer's body that is there as a whole: it waits for nothing and needs no box.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// The body of a poll's answer.
#[derive(Debug, Default)]
pub struct PollBody(Option<Bytes>);

impl PollBody {
    /// No body, and no length either: that of a 304's absent body would be taken for the manifest's.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// These bytes.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Some(bytes.into()))
    }
}

impl HttpBody for PollBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(bytes) => SizeHint::with_exact(bytes.len() as u64),
            None => SizeHint::default(),
        }
    }
}
