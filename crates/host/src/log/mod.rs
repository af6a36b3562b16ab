//! What plugins write: kept, and to follow.
//!
//! Each installation has a folder of segments, files of JSON lines named by the number of their
//! first record (`0000000000000001.log`). The host appends; a full segment is closed and the next
//! one begun; when all together outgrow their quota, the oldest goes. Records are numbered without
//! gaps, over restarts of plugin and host, so a reader knows what it has seen and whether anything
//! went missing. Readers read the files and are woken by a watch: however slow one is, it loses
//! nothing that the quota has not removed, and it holds up nobody.

mod segment;
mod store;
mod stream;

pub use store::LogLimits;
pub(crate) use store::LogStore;
pub use stream::{LogQuery, LogStream, LogsError};
