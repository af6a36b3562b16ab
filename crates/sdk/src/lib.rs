//! Write a Jackfield plugin in Rust.
//!
//! A plugin is a program that dials its host, is told what happens there, answers what it is
//! asked, and may ask in its turn. This is a whole one:
//!
//! ```no_run
//! use jackfield_plugin::{Call, Host, Method, Plugin, RunError};
//! use serde::{Deserialize, Serialize};
//! use serde_json::{Map, Value};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greeting { name: String }
//!
//! struct Greet;
//! impl Method for Greet {
//!     const NAME: &'static str = "greet";
//!     type Params = Greeting;
//!     type Output = String;
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), RunError> {
//!     Plugin::from_env()?
//!         .on_event("EventThreadPublished", async |host: Host, payload: Value| {
//!             let config: Value = host.get_config(&["greeting"]).await?;
//!             println!("{} {}", config["greeting"], payload["id"]);
//!             Ok(())
//!         })
//!         .on_configure(async |_host: Host, config: Map<String, Value>| {
//!             println!("configured with {} keys", config.len());
//!             Ok(())
//!         })
//!         .method::<Greet, _>(async |_call: Call, who| Ok(format!("Hello, {}!", who.name)))
//!         .run()
//!         .await
//! }
//! ```
//!
//! Where to dial comes from the environment, which the host sets when it starts the plugin; a host
//! on the same machine hands the plugin a connected socket besides, which is used in place of the
//! first dial. To try
//! one by hand, `jackfield run .` in its folder is a whole host; `jackfield external
//! manifest.json` prints the URL for a program that is started by somebody else.
//!
//! The methods that hosts and plugins of the original contract have in common are in [`methods`]:
//! provide a tool with `.method::<methods::RobotToolCall, _>(…)`, ask with
//! `host.call::<methods::RobotRun>(…)`. `ping` is answered by itself.
//!
//! One thread will do for a plugin that waits more than it computes, as above: it starts sooner,
//! takes less memory and answers more calls than with a thread for each processor. What computes for
//! long belongs into `tokio::task::spawn_blocking` then, or into a runtime with several threads:
//! while a handler keeps the only thread, nobody is answered, not even the host that asks for a
//! sign of life.
//!
//! Events are handled one at a time in the order in which they came; calls run beside them and
//! beside each other. What a handler prints is in the host's log. Where the host says which trace a
//! call or an event belongs to, the handler's calls carry it on ([`trace`]).

#[cfg(all(feature = "grpc", target_os = "linux"))]
pub mod grpc;

mod plugin;

mod call;
mod events;
mod host;

mod backoff;
mod error;
#[cfg(target_os = "linux")]
mod inherited;
mod run;
mod shortcut;
mod stop;

pub use call::Call;
pub use error::{HandlerError, RunError, SetupError};
pub use host::Host;
pub use jackfield_rpc::{CallError, RawJson, trace};
pub use jackfield_wire::{Fault, Method, Traceparent, methods};
pub use plugin::Plugin;
