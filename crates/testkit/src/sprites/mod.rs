//! A stand-in of the Sprites service: its public contract over HTTP and WebSocket, with real
//! processes in a folder of its own, and faults on order.
//!
//! [`Service`] is started in the test's own process, or by the program `sprites_standin` for
//! clients in other languages. What it does follows the service's public API description
//! (OpenAPI and AsyncAPI of `v0.0.1-rc48`) and what the official client in Go sends and expects;
//! that client's ordinary operations run against it in the tests. Where both are silent, the docs
//! here say "assumed".
//!
//! There is no terminal mode, no proxy, no checkpoints, no services, and no file operations on the
//! control channel.

mod fault;
mod record;

mod service;
mod state;

mod query;
mod route;

mod files;
mod places;

mod kill;
mod process;
mod session;

mod control;
mod exec;
mod line;

pub use fault::{Break, Fault, Op};
pub use record::Request;
pub use service::{Service, Settings};
