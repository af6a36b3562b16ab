//! A folder to an archive: the same bytes for the same files, wherever and whenever.

mod packing;

mod gather;
mod source;

pub use packing::{PackError, PackOptions, Packed, pack};
