//! The port: HTTP/2 without TLS, and HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Shared, oauth, send};

/// As many as Google allows.
const MAX_STREAMS: u32 = 100;

/// The largest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// How a request is answered.
pub(super) enum Outcome {
    Answer(Reply),
    Reset,
    Hang,
}

/// An answer.
pub(super) struct Reply {
    status: u16,
    kind: &'static str,
    retry_after: Option<String>,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            kind: "application/json; charset=UTF-8",
            retry_after: None,
            body: body.to_string().into_bytes(),
        }
    }

    /// An error as Google's interfaces shape it, with or without FCM's own code.
    pub(super) fn google(status: u16, name: &str, code: Option<&str>) -> Self {
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        let details: Vec<Value> = code
            .map(|code| json!({"@type": kind, "errorCode": code}))
            .into_iter()
            .collect();
        let error = json!({"code": status, "message": "by the stand-in", "status": name, "details": details});
        Self::json(status, &json!({ "error": error }))
    }

    pub(super) fn page(status: u16) -> Self {
        Self {
            status,
            kind: "text/html",
            retry_after: None,
            body: b"<html><title>Bad gateway</title></html>".to_vec(),
        }
    }

    pub(super) fn after(mut self, wait: Option<String>) -> Self {
        self.retry_after = wait;
        self
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .header(CONTENT_TYPE, self.kind);
        if let Some(wait) = &self.retry_after {
            response = response.header(RETRY_AFTER, wait);
        }
        response.body(Full::new(self.body.into())).unwrap_or_default()
    }
}

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    let broken = Arc::new(Notify::new());
    let service = {
        let broken = Arc::clone(&broken);
        service_fn(move |request| answer(request, Arc::clone(&shared), Arc::clone(&broken)))
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Whatever the error, the client is gone.
        _ = served => {}
        () = broken.notified() => {}
        _ = cut.changed() => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    broken: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let latency = shared.state().latency;
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
        return Ok(Reply::google(413, "INVALID_ARGUMENT", None).into_response());
    };
    let body = body.to_bytes();
    if head.method != Method::POST {
        return Ok(Reply::google(404, "NOT_FOUND", None).into_response());
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if head.uri.path() == "/token" {
        return Ok(oauth::sign_in(&shared, &body).into_response());
    }
    let authorization = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match send::send(&shared, head.uri.path(), authorization, &body) {
        Outcome::Answer(reply) => Ok(reply.into_response()),
        Outcome::Reset => {
            broken.notify_one();
            std::future::pending().await
        }
        Outcome::Hang => std::future::pending().await,
    }
}
