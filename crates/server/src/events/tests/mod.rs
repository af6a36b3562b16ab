//! A real host, a real database, plugins over real WebSockets.

pub(crate) mod rig;

mod delivery;
mod recovery;
mod retention;
