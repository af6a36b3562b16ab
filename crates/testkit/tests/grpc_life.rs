//! The life of a plugin that serves gRPC, once it is ready: its calls, its connection, its end, the end of its host.

#[path = "grpc_life/calls.rs"]
mod calls;
#[path = "grpc_life/death.rs"]
mod death;
#[path = "grpc_life/stops.rs"]
mod stops;

const RIG: &str = env!("CARGO_BIN_EXE_grpc_rig");
