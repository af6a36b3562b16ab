//! The whole of the crate from outside: in-memory lines, real sockets, foreign peers.
#![expect(clippy::unwrap_used, reason = "tests may")]

mod common;

mod calls;
mod frames;
mod hearts;
mod lines;
mod local;
mod local_ends;
mod prepared;
mod tcp;
mod traces;
mod v1;
