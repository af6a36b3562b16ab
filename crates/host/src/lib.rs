//! A plugin host: packages that it unpacks, runs as supervised child processes and watches over,
//! and programs elsewhere that dial in. One [`Session`] per plugin, whichever it is.

mod lifecycle;
mod policy;

mod failure;
mod status;

mod admit;
mod spec;
mod token;

mod actor;
mod launch;
mod report;
pub mod runtime;

mod events;
mod log;
mod session;

mod builder;
mod host;
mod listen;

pub use admit::{Admission, Credential, Refused};
pub use builder::{BuildError, Handler, HostBuilder};
pub use events::{PublishError, Published};
pub use failure::{Details, Failure, Stage};
pub use host::{Host, Line, LoadError, Shutdown};
pub use listen::Listener;
pub use log::{LogLimits, LogQuery, LogStream, LogsError};
pub use policy::Policy;
pub use session::{CallError, Ended, NotReady, Session, Supervised};
pub use spec::Spec;
pub use status::{Status, Transition};
pub use token::{Token, TokenHash};

pub use jackfield_package as package;
pub use jackfield_rpc as rpc;
pub use jackfield_rpc::{Call, CallOptions};
pub use jackfield_wire as wire;
pub use jackfield_wire::{
    ActiveState, Fault, InstallationId, LogRecord, Manifest, Method, Mode, ReportedState,
    RuntimeProvider,
};
