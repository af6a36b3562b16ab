//! Archive bytes to a package: everything is looked at, nothing is written.

mod look;

mod contents;
mod layout;
mod manifest;
mod names;

pub(crate) use look::{Found, check};
