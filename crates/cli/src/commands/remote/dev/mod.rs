//! `jackfield dev`: a plugin at work in its folder, connected to a server.
//!
//! Reading order: [`mod@run`] finds or makes the external installation and is the loop over everything that happens;
//! [`relay`] stands between program and server and shows what goes by, in the words of [`wire`]; [`program`] is the
//! process tree; [`watch`] says when a file was changed.

mod program;
mod relay;
mod run;
mod watch;
mod wire;

pub(crate) use run::{Args, run};
