//! Traces: read from a request's headers, and sent to a collector.
//!
//! A request may bring the trace that it belongs to (`traceparent`); the spans of its handling become that trace's
//! children. They are sent in batches by a thread of their own, over gRPC without TLS, to a collector that an operator
//! runs beside the server. The rest of the program knows nothing of this: it opens `tracing` spans.
//!
//! Source: <https://www.w3.org/TR/trace-context/>

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::{Config, Error};

/// Sends traces in batches; [`Traces::finish`] sends what is left.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// To the collector of the settings. Must be called in the runtime that the server runs in.
    pub(crate) fn to(endpoint: &str, config: &Config) -> Result<Self, Error> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|fault| Error::unusable("otlp_endpoint")(&fault))?;
        // A caller that has its trace recorded wants to see our part of it.
        let share = Sampler::TraceIdRatioBased(f64::from(config.trace_percent) / 100.0);
        let resource = Resource::builder_empty()
            .with_service_name("tidegate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("tidegate")
    }

    /// Sends what waits. Blocks while the collector is slow, for some seconds at most.
    pub fn finish(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// The span that a request's headers name, as the parent of what is done for it.
pub(crate) fn caller(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
