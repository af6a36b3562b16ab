//! Plugin packages: a zip archive that was checked, the folder that it becomes, and the way back.
//!
//! A [`Package`] comes out of a check and from nowhere else, so whoever holds one need not ask
//! again: its manifest is valid, its names stay inside, its sizes are what they say. Nothing is
//! written before all of it was checked, and a [rejection](Rejected) lists every [`Reason`] at once.
//!
//! ```no_run
//! use std::path::Path;
//! use jackfield_package::{Limits, Package, UnpackOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let package = Package::open(Path::new("hello.zip"), &Limits::default())?;
//! let unpacked = package.unpack(Path::new("data/hello"), &UnpackOptions::default())?;
//! println!("{} is in {}", package.manifest().name, unpacked.folder.display());
//! # Ok(())
//! # }
//! ```
//!
//! Everything here blocks: files are read and written, and up to 200 MiB are inflated. In an
//! asynchronous program it belongs on a thread for blocking work.
//!
//! Memory does not grow with an archive in a file, nor with the files in it. Both are read and written
//! in pieces of 64 KiB; held besides are the archive's directory and the manifest. A package that was
//! made from bytes holds those bytes, for as long as it lives.
//!
//! Reading order: [`Limits`] say how much is taken, [`Package::check`] reads an archive,
//! [`Package::unpack`] puts it into a folder named by its [`Digest`], [`prune`] removes old ones,
//! and [`pack`] makes an archive of a folder.

mod digest;
mod limits;
mod reason;

mod archive;
mod check;
mod name;
mod package;

mod beneath;
mod lock;
mod prune;
mod unpack;
mod write;

mod pack;

pub use digest::{Digest, ParseDigestError};
pub use limits::Limits;
pub use pack::{PackError, PackOptions, Packed, pack};
pub use package::{OpenError, Package, PackedFile};
pub use prune::{PruneError, Pruned, prune};
pub use reason::{BadName, Damage, Reason, Rejected, Warning};
pub use unpack::{UnpackError, UnpackOptions, Unpacked};
