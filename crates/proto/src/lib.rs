//! Tidegate's protocol buffer messages and gRPC stubs.
