//! `jackfield dev`: a plugin at work in its folder, connected to a server.
//!
//! Reading order: [`mod@run`] is the loop over everything that happens; [`installation`] is what the server has of the plugin;
//! [`relay`] stands between program and server and shows what goes by, in the words of [`wire`]; [`program`] is the
//! process tree; [`watch`] says when a file was changed.

mod installation;
mod program;
mod relay;
mod run;
mod watch;
mod wire;

pub(crate) use run::{Args, run};
