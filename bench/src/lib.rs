//! How fast Jackfield is, what it costs, and how that grows, beside the bare floor and beside the systems that a user
//! would take instead, all in one run and in turn.
//!
//! Whoever takes part is a *driver*: a process that makes its plugin do something and says how long that took. The
//! orders are in [`protocol`]; the drivers in Rust are here, [`bare`] ones with nothing but the library, and [`ours`];
//! those of others are in `peers/`. A [measure](measures) has its drivers do the same thing in turn, round for round,
//! and compares what they did in the same round. [`results`] is what a run finds; [`report`] is that for people.

pub mod protocol;

pub mod bare;
pub mod crowd;
pub mod ours;
pub mod payload;
pub mod place;
pub mod usage;

pub mod driver;
pub mod lab;
pub mod measures;

pub mod machine;
pub mod plot;
pub mod report;
pub mod results;
pub mod stats;
