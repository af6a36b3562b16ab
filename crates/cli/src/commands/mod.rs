//! The commands, a file each.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod demo_plugin;
pub(crate) mod external;
pub(crate) mod new;
pub(crate) mod pack;
pub(crate) mod run;

use crate::args::Command;
use crate::command_error::CommandError;
use crate::out::Out;
use crate::setup::Temporary;

/// Does what was typed.
pub(crate) async fn run(
    command: Command,
    temporary: &Temporary,
    out: &Out,
) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => run::run(args, temporary, out).await,
        Command::External(args) => external::run(args, temporary, out).await,
        Command::Pack(args) => Ok(pack::run(args, out).await?),
        Command::Check(args) => check::run(args, out).await,
        Command::New(args) => Ok(new::run(&args, out)?),
        Command::Demo(args) => Ok(demo::run(args, temporary, out).await?),
        Command::DemoPlugin => Ok(demo_plugin::run()?),
    }
}
