//! The rig: plugins that misbehave on order, and what lets a test of whole flows read as its story.
//!
//! The program `rig` is a plugin whose manifest's arguments say what it does wrong; [`Rig`] packs
//! it. [`peers`] finds the plugins in Python, Node and Go that `./test` prepares. [`bench_host`] is
//! a host with short delays, and [`eventually`] and the `until_*` functions wait on what can be
//! seen from outside, never on time alone.

pub mod peers;

mod host;
mod procs;
mod rig;

pub use host::{TestHost, bench_host, quick, until, until_state};
pub use procs::{alive, alive_with, end, eventually, open_files, tree_of};
pub use rig::{Rig, package};
