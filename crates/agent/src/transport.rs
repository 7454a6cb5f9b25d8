//! How the agent's requests reach the server. It is a trait so that an embedder can bring its own HTTP client, and a
//! simulator can measure requests, lose them and damage the answers.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::Error;

/// Sends requests. It must not follow redirects: they would send a device's token to another host.
pub trait Transport: Send + Sync {
    /// Sends a request and waits for the head of its answer, whatever its status. Dropping the future or the body
    /// ends the request.
    ///
    /// # Errors
    /// [`Error::Transport`] when there is no answer.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Body>, Error>> + Send;
}

/// Many agents can share a transport.
impl<T: Transport> Transport for std::sync::Arc<T> {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Body>, Error>> + Send {
        (**self).send(request)
    }
}

/// The body of an answer, in pieces as they come.
pub struct Body(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl Body {
    /// A body of these pieces. An error is a connection that broke; an end without an error means that the server sent
    /// all.
    pub fn new(pieces: impl Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }

    /// The next piece; `None` at the end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        self.0.next().await
    }

    /// The pieces.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        self.0
    }

    /// The whole body, or an error when it is longer than `limit`.
    pub(crate) async fn read(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = self.chunk().await {
            let piece = piece?;
            if all.len() + piece.len() > limit {
                return Err(Error::Malformed(format!("it is longer than {limit} bytes")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(futures::stream::iter([Ok(Bytes::from(bytes))]))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(…)")
    }
}
