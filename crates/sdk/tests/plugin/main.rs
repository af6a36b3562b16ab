//! Plugins against a small host over real TCP.
#![expect(clippy::unwrap_used, reason = "tests may")]

mod small_host;

mod handlers;
mod lines;
mod process;
