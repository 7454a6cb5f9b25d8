//! Reflection, for few callers at a time: it is open to everybody, and what it answers is large.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tidegate_service::{Error, Kind};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::{MAX_JSON_BYTES, refuse, without_fallback};
use crate::problem::status;

/// How many callers are answered at once.
const MAX_CALLERS: usize = 16;

/// Both versions of the protocol: clients in the field speak either.
pub(super) fn router() -> axum::Router {
    let configured = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(tidegate_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What the details of a refusal are made of.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            // Symbols are told with the file that was given last.
            .register_file_descriptor_set(details())
    };
    let mut routes = Routes::builder();
    match (configured().build_v1(), configured().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes
                .add_service(v1.max_decoding_message_size(MAX_JSON_BYTES))
                .add_service(v1alpha.max_decoding_message_size(MAX_JSON_BYTES));
        }
        (v1, v1alpha) => tracing::error!(v1 = ?v1.err(), v1alpha = ?v1alpha.err(), "no gRPC reflection"),
    }
    let places = Arc::new(Semaphore::new(MAX_CALLERS));
    without_fallback(routes).layer(from_fn_with_state(places, few))
}

/// The details of refusals, in files of the names that everybody imports: the library's own have no folder.
fn details() -> FileDescriptorSet {
    const FOLDER: &str = "google/rpc/";
    // It was written by the compiler of the very messages that are read here.
    let mut details = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in &mut details.file {
        for name in file.name.iter_mut().chain(&mut file.dependency) {
            if !name.contains('/') {
                name.insert_str(0, FOLDER);
            }
        }
    }
    details
}

/// A caller has its place until the last byte of its answer is handed over.
async fn few(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let message = format!("{MAX_CALLERS} callers are answered, which is as many as the server takes");
        return refuse(status(Error::new(
            Kind::Exhausted,
            "too_many_reflections",
            message,
        )));
    };
    next.run(request).await.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}
