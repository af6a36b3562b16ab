//! Spawn an executable that serves gRPC, and get a typed client.
//!
//! ```no_run
//! # #[derive(Clone)] struct KvClient;
//! # impl jackfield_grpc::PluginClient for KvClient {
//! #     fn over(_: &jackfield_grpc::Endpoint) -> Self { Self }
//! #     async fn ping(&self) -> Result<Option<String>, jackfield_grpc::PingError> { Ok(None) }
//! # }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use jackfield_grpc::Spawn;
//!
//! // With a client that Connect's tools generated:
//! //     type KvClient = KvServiceClient<connectrpc::client::ServiceTransport<jackfield_grpc::Channel>>;
//! //     jackfield_grpc::connect_client!(KvClient);
//! let plugin = Spawn::new("kv", "./kv-plugin")
//!     .folder("/srv/plugins/kv")
//!     .env("KV_SIZE", "100")
//!     .on_record(|record| println!("{}: {}", record.level, record.message))
//!     .spawn::<KvClient>()
//!     .await?;
//! let client = plugin.client.clone();
//! // ... calls ...
//! println!("{}", plugin.stop().await.status);
//! # Ok(())
//! # }
//! ```
//!
//! The contract is that of FTL's `plugin` package: the program is told where to listen in `FTL_BIND`, and is ready when
//! the unary `Ping` of its service answers with an empty `not_ready`. What is done beyond it needs nothing of the
//! program, unless it wants to:
//!
//! - **The port is held** from its choice until the plugin is ready: bound, not listening, with `SO_REUSEADDR`. The
//!   kernel gives a held port to nobody who asks for any, while a program that asks for this very one may listen on it.
//! - **A connection is used only when it is proven to be the child's**: whoever listens on the port is found among the
//!   descriptors of the child's own processes, before and after connecting. A ping that somebody else answers counts
//!   for nothing.
//! - **A Unix socket that listens already is handed over**, as descriptor 3 (`JACKFIELD_LISTEN_FD`). It has no
//!   name, so nobody but this process can connect to it. A program that takes it needs no port.
//! - **Every call carries a token** made for this spawn (`JACKFIELD_TOKEN`, header `jackfield-token`), which a program
//!   that knows it asks for.
//!
//! Both ways are tried at once, and the first that is ready becomes the [`Endpoint`].
//!
//! # Layers
//!
//! [`Spawn`] does it all. Below it, for who runs the process otherwise: [`Offer`] makes what a process is offered and
//! waits until it is [ready](Offer::settle), [`Probe`] asks without generated code. [`Channel`] is a plain tower
//! service: whatever speaks gRPC, gRPC-Web or Connect over HTTP/2 works over it. This crate knows neither `tonic` nor
//! `connectrpc`; [`connect_client!`] and [`tonic_client!`] are one line each in the crate that does.

mod spawn;
mod start;

mod plugin;

mod error;
mod folder;
mod task;

mod client;
mod endpoint;
mod offer;
mod probe;
mod ready;

mod channel;
mod owner;

mod lines;
mod record;

pub use channel::{Channel, ChannelError, Code, ResponseBody, announce, deadline};
pub use client::{PingError, PluginClient};
pub use endpoint::{Endpoint, KeepAlive, Settings};
pub use error::{NotReady, ProcessState, SpawnError};
pub use jackfield_process::{Exit, ExitStatus, Signal};
pub use jackfield_wire::{Level, Stream};
pub use offer::Offer;
pub use plugin::{Child, Plugin};
pub use probe::Probe;
pub use record::Record;
pub use spawn::Spawn;

#[doc(hidden)]
pub use client::__private;
