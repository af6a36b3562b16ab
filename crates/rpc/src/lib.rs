//! JSON-RPC 2.0 over a [`Duplex`], the same at both ends: many calls beside each other, in both
//! directions, each with a deadline.
//!
//! A [`Duplex`] carries messages: a [`WebSocket`] (one that was accepted, or one that [`dial`]
//! made), a [`LocalSocket`] that one process handed the other, or an end of an
//! [in-memory pair](memory::pair). [`open`] turns it into a [`Peer`], which makes calls; what the
//! other side may call is a table of [`Methods`].
//!
//! ```
//! use std::sync::Arc;
//! use jackfield_rpc::{Methods, Options, memory, open};
//! use jackfield_wire::{CloseCause, methods::{Ping, Pong}};
//! use tokio_util::task::TaskTracker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), jackfield_rpc::CallError> {
//! let tasks = TaskTracker::new();
//! let (here, there, _cut) = memory::pair();
//! let well = Methods::new().method::<Ping, _, _>(async |_call, _params| {
//!     Ok(Pong { pong: true, status: None, uptime_seconds: None })
//! });
//! let plugin = open(there, Arc::new(well), (), Options::default(), &tasks);
//! let host = open(here, Arc::new(Methods::new()), (), Options::default(), &tasks);
//!
//! assert!(host.call::<Ping>(&None).await?.pong);
//!
//! host.close(CloseCause::closed());
//! plugin.closed().await;
//! tasks.close();
//! tasks.wait().await;
//! # Ok(())
//! # }
//! ```
//!
//! What holds, whatever the other side does: a slow call delays no other; a method that panics
//! answers with an error; every queue has a bound and every wait a deadline; nothing is left after
//! the end of the line, no task, no socket and no call that waits.
//!
//! Peers that took the subprotocol `jackfield.v1` may [cancel](Call::cancelled) calls, report
//! [progress](Call::progress), say how large a message may be and which [trace] a call belongs to;
//! all others never see a sign of that.

mod duplex;
pub mod memory;

mod below;
mod dial;
mod pieces;
mod websocket;
mod websocket_error;

mod frames;
mod local;
mod local_out;

mod call;
mod options;

mod methods;
mod raw_json;
pub mod trace;

mod peer;
mod prepared;

mod bell;
mod heart;
mod inbound;
mod line;
mod outlet;
mod pending;
mod pulse;
mod reader;
mod rounds;
mod served;
mod v1;
mod writer;

pub use call::{CallError, CallOptions};
pub use dial::{DialError, DialOptions, Negotiated, dial};
pub use duplex::{Duplex, DuplexReceiver, DuplexSender, Pieces, Received};
pub use heart::Heart;
pub use local::LocalSocket;
pub use methods::{Call, Methods};
pub use options::{Heartbeat, Limits, Options};
pub use peer::{Peer, open};
pub use prepared::{Prepared, Receipt};
pub use raw_json::RawJson;
pub use websocket::{WebSocket, websocket_config};
