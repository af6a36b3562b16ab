//! Sprites that are not needed any more, until they are deleted.

mod handle;

mod store;
mod task;

pub use handle::PendingDeletion;
pub(crate) use handle::Reaper;
