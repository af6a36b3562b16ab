//! From what was typed to the command that does it.

#[cfg(feature = "server")]
use super::serve;
use super::{
    check, completions, demo, demo_plugin, external, new, pack, remote, run as run_plugin,
};
use crate::args::Command;
use crate::command_error::CommandError;
use crate::out::Out;
use crate::setup::Temporary;

/// Does what was typed.
pub(crate) async fn dispatch(
    command: Command,
    verbose: u8,
    temporary: &Temporary,
    out: &Out,
) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => run_plugin::run(args, temporary, out).await,
        Command::External(args) => external::run(args, temporary, out).await,
        Command::Pack(args) => Ok(pack::run(args, out).await?),
        Command::Check(args) => check::run(args, out).await,
        Command::New(args) => Ok(new::run(&args, out)?),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(*args, verbose, out).await,
        Command::Demo(args) => Ok(demo::run(args, temporary, out).await?),
        Command::Completions(args) => Ok(completions::run(&args)?),
        Command::Remote(command) => remote::dispatch(command, verbose, out).await,
        Command::DemoPlugin => Ok(demo_plugin::run()?),
    }
}
