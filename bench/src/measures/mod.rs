//! What is measured, one thing a file.

mod calls;
mod crashes;
mod crowds;
mod messages;
mod packages;
mod server;
mod spawns;
mod stops;

mod all;

pub use all::{Measure, all};
