//! `grpc::start`, as a process that is driven over its sockets. The plugin is the example `grpc_lab`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may")]

mod lab;
mod wire;

mod ending;
mod failing;
mod flags;
mod logs;
#[cfg(feature = "profiling")]
mod profiles;
mod protocols;
mod starting;
mod token;
mod upgrade;
