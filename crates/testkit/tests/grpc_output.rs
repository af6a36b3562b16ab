//! What a plugin that serves gRPC says on its outputs: JSON lines and others, long and odd ones, floods and the last.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "grpc_output/bursts.rs"]
mod bursts;
#[path = "grpc_output/lines.rs"]
mod lines;
#[path = "grpc_output/records.rs"]
mod records;

const RIG: &str = env!("CARGO_BIN_EXE_grpc_rig");
