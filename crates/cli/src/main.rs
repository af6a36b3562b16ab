//! The command `jackfield`: write plugins, check and pack them, run them, here and on a server.
//!
//! Reading order: [`args`] says what can be typed, each file in [`commands`] does one command,
//! [`live`] follows a plugin that runs here, [`client`] asks a server, [`command_error`] and [`exit`] say how it all can end.

mod args;
mod exit;

mod command_error;
mod logging;
mod out;
mod progress;
mod secret_file;
mod signals;

mod actions;
mod config;
mod place;
mod setup;
mod source;
mod templates;

mod client;
mod live;

mod commands;

use std::process::ExitCode;
use std::time::Duration;

use crate::args::Command;
use crate::command_error::CommandError;
use crate::out::Out;
use crate::setup::Temporary;

fn main() -> ExitCode {
    let cli = args::parse();
    let out = Out::new(cli.global.json);
    if let Command::DemoPlugin = cli.command {
        // What it is, is a program of its own: with its own runtime, without the host's log.
        return end(commands::demo_plugin::run().map_err(Into::into), &out);
    }
    if !cli.command.logs_by_itself() {
        logging::start(cli.global.verbose);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(&cli.command))
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let temporary = Temporary::default();
            let ended = runtime.block_on(commands::dispatch(
                cli.command,
                cli.global.verbose,
                &temporary,
                &out,
            ));
            // What still runs is work on files, such as unpacking a package: nobody waits long.
            runtime.shutdown_timeout(Duration::from_secs(2));
            drop(temporary);
            ended
        }
        Err(error) => Err(error.into()),
    };
    end(ended, &out)
}

/// A server takes what the machine has; everything else waits most of the time.
fn workers(command: &Command) -> usize {
    match command {
        #[cfg(feature = "server")]
        Command::Serve(_) => std::thread::available_parallelism().map_or(2, |n| n.get().max(2)),
        _ => 2,
    }
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
