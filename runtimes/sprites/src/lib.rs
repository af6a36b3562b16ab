//! Supervised plugins in the remote sandboxes of the [Sprites](https://sprites.dev) service: an implementation of the
//! host's [`Runtime`](jackfield::runtime::Runtime).
//!
//! A plugin gets a sprite of its own. Its package is uploaded into a folder that is named by the package's digest,
//! behind which a marker is written last; its state lives beside that and stays. Its process runs on the service's
//! control channel (or on a socket of its own, where there is no such channel), dials the host back over its public
//! address, and is found again when the connection breaks. What costs money is given back: a sprite that could not be
//! deleted is [kept in mind](SpritesRuntime::pending) until it is.
//!
//! ```no_run
//! use jackfield_sprites::SpritesRuntime;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), jackfield_sprites::BuildError> {
//! let runtime = SpritesRuntime::builder("the key")
//!     .pending_folder("data/sprites")
//!     .build()?;
//! # drop(runtime);
//! # Ok(())
//! # }
//! ```
//!
//! The key and the tokens of plugins are in no log and no error of this crate. The WebSocket library writes whole
//! messages to the `log` crate at its level `trace`: a program that collects that level collects them.
//!
//! Reading order: [`SpritesBuilder`] says what can be set, `runtime` is the trait's methods, `deploy` brings files
//! over, `exec` runs a process (`exec/life.rs` is its state machine), `reaper` deletes sprites, `client` speaks with
//! the service.

mod environment;
mod secret;
mod settings;

mod client;
mod error;

mod deploy;
mod exec;
mod reaper;
mod runtime;

pub use reaper::PendingDeletion;
pub use runtime::SpritesRuntime;
pub use settings::{
    BuildError, Channel, MissingSettings, Required, SpritesBuilder, Timing, required,
};
