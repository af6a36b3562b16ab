//! The key-value service: what `proto/kv/v1/kv.proto` says, in Rust.

#[expect(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::semicolon_if_nothing_returned,
    clippy::use_self,
    reason = "generated"
)]
mod generated {
    connectrpc::include_generated!();
}

pub use generated::kv::v1::*;

/// The compiled description, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kv.bin"));

/// What speaks to the plugin over the channel of a host.
pub type KvClient = KvServiceClient<connectrpc::client::ServiceTransport<jackfield::grpc::Channel>>;

jackfield::grpc::connect_client!(KvClient);
