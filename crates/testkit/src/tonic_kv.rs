//! The key-value example's messages and client as tonic and prost make them.

#[expect(missing_docs, reason = "generated")]
mod generated {
    tonic::include_proto!("kv.v1");
}

pub use generated::*;

/// What speaks to the plugin over the channel of a host.
pub type KvClient = kv_service_client::KvServiceClient<jackfield_grpc::Channel>;

jackfield_grpc::tonic_client!(KvClient, gzip);
