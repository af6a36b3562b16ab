//! The parts that speak to the kernel.
//!
//! What runs in the forker, in the init and in the program before its `execve` is in `forking`, `message`, `job`, `init`,
//! `program`, `children`, `memory`, `text` and `sys`. It was forked off one thread of a process with many, so it must not
//! allocate, lock, panic or unwind: no indexing, no arithmetic that is checked in debug builds, nothing of `std` that could
//! do any of these.

mod forker;
mod forking;
mod handle;
mod plan;
mod spawner;

mod children;
mod init;
mod job;
mod memory;
mod message;
mod program;
mod sys;
mod text;

pub(crate) use forker::{Forker, Kept};
pub(crate) use handle::Init;
pub(crate) use init::{Message, Report};
pub(crate) use program::{Failure, Stage};
pub(crate) use spawner::{Born, spawn};
