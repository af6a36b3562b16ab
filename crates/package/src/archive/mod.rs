//! Reading zip archives, strictly.
//!
//! Our own reader, because a check has to see what reading libraries smooth over: names that come
//! twice, headers that contradict the directory, entries that share bytes. Format: PKWARE's
//! APPNOTE.TXT 6.3, sections 4.3 to 4.5; stored and deflated entries, with and without zip64.

mod cursor;
mod directory;
mod end;
mod entry;
mod inflate;
mod local;
mod raw;

pub(crate) use directory::{Directory, directory};
pub(crate) use entry::{Entry, Kind};
pub(crate) use inflate::{InflateError, Inflater};
pub(crate) use local::locate;
pub(crate) use raw::{Raw, Stream};
