//! A process in a sprite, from its start to the last line that it wrote.

mod frame;
mod replay;

mod life;
mod open;
mod output;
mod search;
mod sweep;

mod leftovers;
mod live;
mod once;
mod task;

mod process;

pub(crate) use once::once;
pub(crate) use open::{Command, Doubt, Way};
pub(crate) use task::Task;
