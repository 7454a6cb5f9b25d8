//! The protocol edge: gRPC services and REST routes.
