//! A key-value plugin. Where to listen, how to log and when to end is `start`'s business.

mod service;
mod store;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin::grpc::{Services, Start, clap};

use crate::service::Kv;

/// Keeps values under keys, for as long as it runs.
#[derive(Debug, clap::Args)]
#[command(version)]
struct Config {
    /// For how many milliseconds it says that it is not ready, as a plugin does that has something to load
    #[arg(long, env = "KV_NOT_READY_MS", default_value_t = 0)]
    not_ready_ms: u64,
}

fn main() -> ExitCode {
    Start::new("kv").descriptors(kv::DESCRIPTORS).run(
        async |config: Config| {
            Ok::<_, Infallible>(Kv::new(Duration::from_millis(config.not_ready_ms)))
        },
        |kv: Arc<Kv>, services: Services| services.add(kv),
    )
}
