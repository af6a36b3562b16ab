//! The socket that a plugin on this machine is handed: who takes it, who does not, and what becomes of
//! it in every case.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "local_socket/bench.rs"]
mod bench;
#[path = "local_socket/by_hand.rs"]
mod by_hand;
#[path = "local_socket/many.rs"]
mod many;
#[path = "local_socket/others.rs"]
mod others;
#[path = "local_socket/sdk.rs"]
mod sdk;
