//! A plugin host. It takes packages, unpacks them, runs them as supervised child processes and
//! watches over them; it lets programs in that somebody else runs and that dial in; and it gives
//! the application one [`Session`] for each, whichever it is.
//!
//! # A whole host
//!
//! ```no_run
//! use jackfield::package::{Limits, Package};
//! use jackfield::wire::methods::{Config, GetConfig, Ping};
//! use jackfield::{ActiveState, Host, InstallationId, Spec};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let host = Host::builder()
//!         .data_folder("/var/lib/my-app/plugins")
//!         .method::<GetConfig>(async |_call, _keys| Ok(Config::default()))
//!         .build()
//!         .await?;
//!     let package = Package::open("hello.zip".as_ref(), &Limits::default())?;
//!     let session = host.load(Spec::supervised(InstallationId::new(), package))?;
//!     session.set_active_state(ActiveState::Active).await?;
//!     session.ready().await?;
//!     println!("{:?}", session.call::<Ping>(&None).await?);
//!     host.publish("GreetingWanted", serde_json::json!({"name": "you"}))?;
//!     host.shutdown(std::time::Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//!
//! - **A plugin can be stopped in every state**, also while it waits for a restart or has no
//!   process yet. A stop is answered, once, when nothing of the plugin is left.
//! - **Nothing outlives the host.** Whatever a plugin started, and however it hides from its
//!   process group, is gone within a second of the host's death, a kill -9 included.
//! - **No state is guessed.** [`Status`] says what is, in one value; `active` means that the line
//!   is open now. Why something failed is told with its exit code or signal, its last lines, and
//!   what to do where that is known ([`Failure`]).
//! - **Nothing it wrote is lost**: every line is in the [log](Session::logs) before the end of its
//!   process is reported.
//! - **A slow call delays no other**, in either direction, and every call ends: with its answer,
//!   at its deadline, or with the line.
//! - **Secrets stay where they are**: a plugin gets an allow-list of the environment, a token that
//!   is good for one life of its process, and nothing else.
//!
//! # The three ways in
//!
//! 1. [`Spec::supervised`]: a checked [`Package`](package::Package) and an id. The host unpacks,
//!    starts, watches, restarts ([`Policy`]).
//! 2. [`Spec::external`]: a manifest and the hash of a [`Token`]. Somebody else runs the program;
//!    it dials [`Host::rpc_url`] with its token.
//! 3. For applications that mount the plugins' door in a web server of their own:
//!    [`Host::answer`] for one on hyper, and for all others [`Host::admit`], which says before the
//!    upgrade whether a dial may come in, and [`Host::attach`], which takes any
//!    [`Duplex`](rpc::Duplex).
//!
//! # Words
//!
//! What an application's own methods are made of is in [`wire`]: a [`Method`] is a name and two
//! types. The application calls them with [`Session::call`], and answers them with
//! [`HostBuilder::method`].

mod lifecycle;
mod policy;

mod failure;
mod status;

mod admit;
mod spec;
mod token;

mod actor;
mod ask;
mod held;
mod launch;
mod report;
pub mod runtime;
mod serve;
mod shortcut;

mod channel;
mod events;
mod log;
mod outbox;
mod patience;
mod session;

mod answer;
mod attach;
mod builder;
mod host;
mod listen;
mod load;

pub use admit::{Admission, Credential, Refused};
pub use attach::Line;
pub use builder::{BuildError, Handler, HostBuilder};
pub use channel::SessionChannel;
pub use events::{PublishError, Published};
pub use failure::{Details, Failure, Stage};
pub use host::{Host, Shutdown};
pub use listen::Listener;
pub use load::LoadError;
pub use log::{LogLimits, LogQuery, LogStream, LogsError};
pub use policy::Policy;
pub use runtime::Usage;
pub use session::{CallError, Ended, NotReady, Session, Supervised};
pub use spec::Spec;
pub use status::{Status, Transition};
pub use token::{Token, TokenHash};

pub use jackfield_grpc as grpc;
pub use jackfield_package as package;
pub use jackfield_rpc as rpc;
pub use jackfield_rpc::{Call, CallOptions, RawJson};
pub use jackfield_wire as wire;
pub use jackfield_wire::{
    ActiveState, Fault, InstallationId, LogRecord, Manifest, Method, Mode, ReportedState,
    RuntimeProvider,
};
