//! Traces, as the collector of an operator receives them.

#![allow(clippy::disallowed_methods, reason = "a test may look at any clock")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use tidegate_testkit::apks;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::program::{Running, client, out, run, tidegate};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Far longer than a batch waits.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A collector that keeps all spans.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        self.0
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one on a free port.
    pub(crate) fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        (collector, address)
    }

    /// All that was received, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }

    /// A span with this name, waited for.
    pub(crate) async fn span(&self, name: &str) -> Span {
        let begun = Instant::now();
        loop {
            let found = self
                .0
                .lock()
                .unwrap()
                .iter()
                .find(|span| span.name == name)
                .cloned();
            if let Some(span) = found {
                return span;
            }
            assert!(begun.elapsed() < WAIT_LIMIT, "no {name} came: {}", self.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_poll_and_a_promotion_arrive_at_the_collector_in_their_callers_trace() {
    let (collector, address) = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let mut command = tidegate(folder.path());
    command
        .arg("serve")
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_OTLP_ENDPOINT", format!("http://{address}"))
        // Only what a caller asks for.
        .env("TIDEGATE_TRACE_PERCENT", "0");
    let server = Running::start(command);
    let line: Value = serde_json::from_str(&server.line("ota.server.start")).unwrap();
    let base = format!("http://{}", line["listen"].as_str().unwrap());

    let admin = ["admin", "token", "--subject", "ann", "--role", "operator"];
    let admin = out(&run(folder.path(), &admin)).trim().to_owned();
    let enrollment = out(&run(folder.path(), &["admin", "enroll-token"]))
        .trim()
        .to_owned();
    let http = client();
    let part = reqwest::multipart::Part::bytes(apks::build(apks::PACKAGE, 2)).file_name("app.apk");
    let upload = http.post(format!("{base}/v1/apk/upload")).bearer_auth(&admin);
    let upload = upload
        .multipart(reqwest::multipart::Form::new().part("file", part))
        .send();
    let build: Value = upload.await.unwrap().json().await.unwrap();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let promote = http
        .post(format!("{base}/v1/apk/{}/promote", build["build_id"]))
        .bearer_auth(&admin)
        .header("traceparent", &traceparent)
        .json(&json!({ "rollout_percent": 100 }));
    let promoted = promote.send().await.unwrap();
    assert_eq!(promoted.status(), 200);
    let device = http
        .post(format!("{base}/v1/agent/enroll"))
        .json(&json!({ "enrollment_token": enrollment, "device_id": "phone" }));
    let device: Value = device.send().await.unwrap().json().await.unwrap();
    let query = format!(
        "device_id=phone&current_version_code=1&package_name={}",
        apks::PACKAGE
    );
    let poll = http
        .get(format!("{base}/v1/agent/update?{query}"))
        .bearer_auth(device["device_token"].as_str().unwrap())
        .header("traceparent", &traceparent);
    assert_eq!(poll.send().await.unwrap().status(), 200);

    // An event's line names the caller's trace too.
    assert!(server.line("ota.promote").contains(TRACE));
    for name in ["POST /v1/apk/{id}/promote", "GET /v1/agent/update"] {
        let span = collector.span(name).await;
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (TRACE.into(), PARENT.into())
        );
    }
    let promote = collector.span("POST /v1/apk/{id}/promote").await;
    let change = collector.span("rollouts::change_track").await;
    assert_eq!(
        (change.parent_span_id, change.trace_id),
        (promote.span_id, promote.trace_id)
    );
    // The upload brought no trace, and of those that begin here none is recorded.
    assert!(
        !collector.text().contains("/v1/apk/upload"),
        "{}",
        collector.text()
    );

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
