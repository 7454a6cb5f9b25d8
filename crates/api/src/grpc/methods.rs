//! Which methods there are, so that no others are taken for ours, by whatever layer.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic_reflection::pb::{v1, v1alpha};

/// The services as they describe themselves.
const DESCRIPTORS: [&[u8]; 4] = [
    tidegate_proto::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    v1::FILE_DESCRIPTOR_SET,
    v1alpha::FILE_DESCRIPTOR_SET,
];

/// The paths of all methods.
pub(super) fn all() -> Arc<HashSet<String>> {
    let mut paths = HashSet::new();
    for descriptors in DESCRIPTORS {
        // They were written by the compiler of the very messages that are read here.
        for file in FileDescriptorSet::decode(descriptors).unwrap_or_default().file {
            for service in &file.service {
                let methods = service.method.iter();
                paths.extend(
                    methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())),
                );
            }
        }
    }
    Arc::new(paths)
}

/// Lets the methods that there are through.
pub(super) async fn known(
    State(methods): State<Arc<HashSet<String>>>,
    request: Request,
    next: Next,
) -> Response {
    if methods.contains(request.uri().path()) {
        return next.run(request).await;
    }
    crate::nothing_here(&request)
}
