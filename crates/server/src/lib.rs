//! The plugin host `jackfield` behind an HTTP API.
//!
//! [`Server::start`] binds, opens the registry and the host, listens, and activates what is wanted;
//! [`Server::run`] serves until it is told to stop, drains, and says what did not stop.
//!
//! ```no_run
//! use jackfield_server::{Config, Server};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::new("jackfield-data");
//! config.listen = "127.0.0.1:0".parse()?;
//! let server = Server::start(config).await?;
//! println!("http://{}/docs/", server.address());
//! if let Some(token) = server.administrator_token() {
//!     println!("administrator token, told this once: {token}");
//! }
//! let ended = server.run(std::future::pending()).await;
//! println!("{} plugins had to be killed", ended.killed.len());
//! # Ok(())
//! # }
//! ```
//!
//! It reads no environment and installs no logging by itself: [`Logging`] does, for programs that
//! have none. `docs/server.md` is for those who run it, `ARCHITECTURE.md` for those who change it.
//!
//! Reading order: [`config`] says what an operator can choose; `store` is everything that outlives
//! the process, `packages` the archives, `secret` the key; `registry` does what the API asks for;
//! `events` and `calls` are the two ways between plugins and the application; `observe` is what is
//! measured; `routes` translates HTTP into all of these, and `listen` has the connections.

mod clock;
pub mod config;

mod secret;
mod store;

mod packages;

mod registry;

mod calls;
mod events;

mod observe;

mod unread;

mod listen;
mod routes;
mod server;

pub use config::Config;
pub use observe::{LogFormat, Logging, LoggingError, Telemetry};
pub use server::{Ended, Server, StartError};
