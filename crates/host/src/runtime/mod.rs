//! Where supervised plugins live.
//!
//! A [`Runtime`] knows how to put a package in a place, run a command there, signal it, wait for it
//! and read what it writes. When to do which is not its business: the state machine is written
//! once, for all of them. A remote runtime is a crate of its own that implements this trait.

mod contract;
mod local;

pub use crate::shortcut::Shortcut;
pub use contract::{BoxFuture, Deployment, Launch, Running, Runtime, Way};
pub use jackfield_process::{Exit, ExitStatus, Line, Stream, Usage};
pub(crate) use local::{LocalRuntime, installation_folder};
