//! The floors: two processes, the same payload, the same kind of socket, and nothing but the library.

pub mod bind;
pub mod crowd;
pub mod frames;
pub mod grpc;
pub mod spawn;
pub mod tasks;
pub mod ws;

mod window;

pub(crate) use window::{Pipe, windowed};
