//! The API over real HTTP, against a server in this process.

#![expect(clippy::unwrap_used, reason = "tests may")]

mod rig;

mod auth;
mod drain;
mod limits;
mod logs;
mod plugins;
mod problems;
