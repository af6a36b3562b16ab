//! The plugin's side: a program made with `start`, run by hand, by a host of another make, and by ours.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "grpc_start/bench.rs"]
mod bench;

#[path = "grpc_start/death.rs"]
mod death;
#[path = "grpc_start/drain.rs"]
mod drain;
#[path = "grpc_start/early.rs"]
mod early;
#[path = "grpc_start/exits.rs"]
mod exits;
#[path = "grpc_start/given.rs"]
mod given;
#[path = "grpc_start/hosted.rs"]
mod hosted;
#[path = "grpc_start/protocols.rs"]
mod protocols;
#[path = "grpc_start/token.rs"]
mod token;
#[path = "grpc_start/wire.rs"]
mod wire;

const RIG: &str = env!("CARGO_BIN_EXE_grpc_start_rig");
