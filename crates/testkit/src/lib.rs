//! The rig: plugins that misbehave on order, and what lets a test of whole flows read as its story.
//!
//! The program `rig` is a plugin whose manifest's arguments say what it does wrong; [`Rig`] packs
//! it. [`peers`] finds the plugins in Python, Node and Go that `./test` prepares. [`bench_host`] is
//! a host with short delays, [`Dial`] and [`Program`] are plugins in the test's own hand, [`Again`]
//! is a host in a process that may be killed; [`eventually`] and the `until_*` functions wait on
//! what can be seen from outside, never on time alone.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

pub mod grpc;
pub mod peers;
pub mod postgres;
pub mod s3;
pub mod sprites;
pub mod tonic_kv;

mod again;
mod dial;
mod host;
mod procs;
mod program;
mod random;
mod rig;

pub use again::{Again, as_program, tell};
pub use dial::{Dial, RawLine, Reply};
pub use host::{
    TestHost, bench_host, host_in, quick, states, states_of_crashes, until, until_state, within,
};
pub use procs::{
    alive, alive_with, children, end, environment, eventually, open_files, parent_of, tree_of,
    until_file,
};
pub use program::Program;
pub use random::Random;
pub use rig::{Rig, manifest, package, packed, shell};
