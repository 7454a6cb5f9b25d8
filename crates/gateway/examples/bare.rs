//! The least that any server over HTTP costs: axum with two routes of constant answers. `just bench-server` puts the product
//! beside it.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

/// As long as a manifest is.
const BODY_BYTES: usize = 760;

#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(0)))
        .await
        .expect("a port");
    let body = "x".repeat(BODY_BYTES);
    let nothing = get(|| std::future::ready(StatusCode::NOT_MODIFIED));
    let whole = get(move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], body.clone())));
    let router = Router::new()
        .route("/nothing/v1/agent/update", nothing)
        .route("/whole/v1/agent/update", whole);
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("no delay"));
    axum::serve(listener, router).await.expect("a server");
}
