//! The contract on the wire, spoken by hand: what the door answers, what the host asks and
//! answers, and what it makes of those who do not keep to it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "rpc_contract/answers.rs"]
mod answers;
#[path = "rpc_contract/door.rs"]
mod door;
#[path = "rpc_contract/requests.rs"]
mod requests;
#[path = "rpc_contract/traffic.rs"]
mod traffic;

const RIG: &str = env!("CARGO_BIN_EXE_rig");
