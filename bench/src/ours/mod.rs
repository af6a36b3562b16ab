//! Jackfield, as an application embeds it: everything on, nothing turned off for the sake of a figure.

mod host;

mod crowd;
mod grpc;
mod package;
mod session;
mod stops;

pub use crowd::OurCrowd;
pub use grpc::{Channelled, Spawned};
pub use package::Unpacking;
pub use session::{Restarted, Sessions, Way};
pub use stops::Stops;

use host::{Bench, activate, package, stop};
