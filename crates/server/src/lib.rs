//! The plugin host `jackfield` behind an HTTP API.
//!
//! [`Server::start`] binds, opens the registry and the host, listens, and activates what is wanted;
//! [`Server::run`] serves until it is told to stop, drains, and says what did not stop.
//!
//! Reading order: [`config`] says what an operator can choose; `store` is everything that outlives
//! the process; `registry` does what the API asks for; `events` and `calls` are the two ways
//! between plugins and the application; `routes` translates HTTP into all of these.

mod clock;
pub mod config;

mod secret;
mod store;

mod packages;

mod registry;

mod calls;
mod events;

mod observe;

mod listen;
mod routes;
mod server;

pub use config::Config;
pub use server::{Ended, Server, StartError};
