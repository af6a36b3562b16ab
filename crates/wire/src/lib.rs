//! The words that a Jackfield host and its plugins share.
//!
//! No I/O and no runtime: everything here is plain data with its checks. Both ends of a line use
//! it, `jackfield` on the host's side and `jackfield-plugin` on the plugin's.
//!
//! Reading order: an installation has an id ([`ids`]), a plugin says what it is in a [`Manifest`],
//! both ends exchange frames ([`frame`]) that carry methods ([`method`]), a refusal is a [`Fault`], the
//! end of a line has a [`CloseCause`], and what the host makes of all this is a state ([`state`]). What a
//! request was caused by is a [`Traceparent`].

pub mod ids;

pub mod manifest;

pub mod close;
pub mod env;
pub mod fault;
pub mod frame;
pub mod grpc;
pub mod log_record;
pub mod method;
pub mod methods;
pub mod state;
pub mod traceparent;

pub use close::{CloseCause, CloseKind};
pub use fault::Fault;
pub use frame::Frame;
pub use ids::{InstallationId, ParseIdError, Xid};
pub use log_record::{Level, LogRecord, Stream};
pub use manifest::{Manifest, ManifestCheck, ManifestProblem};
pub use method::{Asked, Client, Method};
pub use state::{ActiveState, Mode, ReportedState, RuntimeProvider, UnknownRuntimeProvider};
pub use traceparent::{NotATraceparent, Traceparent};
