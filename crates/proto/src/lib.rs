//! # Tidegate's messages and gRPC stubs
//!
//! What the protocol edge, the command line and generated clients share: the messages of `proto/tidegate/v1`, the
//! gRPC stubs behind the features `client` and `server`, and nothing else. It must never hold a rule or a
//! conversion; those belong to the crates that know the meaning.
//!
//! The REST surface uses the very same structs: every message derives serde (snake_case, numbers as numbers, RFC
//! 3339 times), so a field exists in one place. Requests refuse unknown fields; answers ignore them, so that an
//! older client survives a newer server.

mod audience;
mod calendar_names;
mod embedded_json;
mod gate_change;
mod install_conditions;
mod install_openings;
mod named_devices;
mod percent;
mod slice;
mod timestamp;
mod winner;

/// The messages and services of package `tidegate.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::needless_pass_by_value,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("tidegate.v1");
}

pub use timestamp::Timestamp;

/// The encoded `FileDescriptorSet` of all services and messages, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
