//! The map of sessions, programs that dial in, events and calls.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "sessions/calls.rs"]
mod calls;
#[path = "sessions/events.rs"]
mod events;
#[path = "sessions/external.rs"]
mod external;
#[path = "sessions/map.rs"]
mod map;
#[path = "sessions/usage.rs"]
mod usage;

const RIG: &str = env!("CARGO_BIN_EXE_rig");
