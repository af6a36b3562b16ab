//! The command `jackfield`: write plugins, check and pack them, run them.
//!
//! Reading order: [`args`] says what can be typed, each file in [`commands`] does one command,
//! [`live`] follows a plugin that runs, [`command_error`] and [`exit`] say how it all can end.

mod args;
mod exit;

mod command_error;
mod out;
mod progress;
mod signals;

mod actions;
mod config;
mod place;
mod setup;
mod source;
mod templates;

mod live;

mod commands;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::command_error::CommandError;
use crate::out::Out;
use crate::setup::Temporary;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(cli.global.json);
    if let Command::DemoPlugin = cli.command {
        // What it is, is a program of its own: with its own runtime, without the host's log.
        return end(commands::demo_plugin::run().map_err(Into::into), &out);
    }
    log_to_stderr(cli.global.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let temporary = Temporary::default();
            let ended = runtime.block_on(commands::dispatch(cli.command, &temporary, &out));
            // What still runs is work on files, such as unpacking a package: nobody waits long.
            runtime.shutdown_timeout(Duration::from_secs(2));
            drop(temporary);
            ended
        }
        Err(error) => Err(error.into()),
    };
    end(ended, &out)
}

fn end(ended: Result<(), CommandError>, out: &Out) -> ExitCode {
    match ended {
        Ok(()) => exit::Exit::Ok.into(),
        Err(error) => {
            error.tell(out);
            error.exit().into()
        }
    }
}

/// The host's own log, for those who ask for it: `RUST_LOG` counts more than `-v`.
fn log_to_stderr(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(out::colour(&std::io::stderr()))
        .init();
}
