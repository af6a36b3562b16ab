//! The host's own log, on standard error. A server sets up its own, which can do more.

use tracing_subscriber::EnvFilter;

use crate::out;

const LEVELS: [&str; 4] = ["warn", "info", "debug", "trace"];

/// For those who ask for it: `RUST_LOG` counts more than `-v`.
pub(crate) fn start(verbose: u8) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level(verbose)));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(out::colour(&std::io::stderr()))
        .init();
}

/// What is logged with so many `-v`.
pub(crate) fn level(verbose: u8) -> &'static str {
    LEVELS[usize::from(verbose).min(LEVELS.len() - 1)]
}
