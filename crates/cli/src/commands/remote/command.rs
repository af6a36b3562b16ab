//! What can be typed about a server.

use clap::Subcommand;

use super::{
    access, audit, call, config, dev, download, events, install, jobs, list, login, logs, methods,
    remove, state, tokens, upgrade, why,
};
use crate::command_error::CommandError;
use crate::out::Out;

#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// Remember a server and a token for it
    Login(login::Args),
    /// Forget a server and its token
    Logout(login::LogoutArgs),
    /// Say which server is meant, and what the token may do there
    Whoami(login::WhoamiArgs),
    /// List the plugins on the server
    List(list::Args),
    /// Show everything that is known of a plugin
    Show(list::ShowArgs),
    /// Say in words how a plugin is, and why
    Why(why::Args),
    /// Install a plugin from a package, a folder or an address
    Install(install::Args),
    /// Put another version in a plugin's place; if it does not start, the old one is back
    Upgrade(upgrade::Args),
    /// Go back to an earlier version
    Rollback(upgrade::RollbackArgs),
    /// List the versions of a plugin that are kept
    Versions(upgrade::VersionsArgs),
    /// Save a plugin's package in a file
    Download(download::Args),
    /// Start a plugin, now and whenever the server starts
    Activate(state::Args),
    /// Stop a plugin, until it is activated again
    Deactivate(state::DeactivateArgs),
    /// Stop a plugin and start it again
    Restart(state::RestartArgs),
    /// Remove a plugin, with its state and its log
    Remove(remove::Args),
    /// Show what a plugin wrote
    Logs(logs::Args),
    /// Show and change a plugin's configuration
    Config(config::Args),
    /// Call a method of a plugin
    Call(call::Args),
    /// Work on a plugin in its folder, connected to the server: restarted at every change, every call shown
    Dev(dev::Args),
    /// Publish an event to the plugins that consume it
    Publish(call::PublishArgs),
    /// Show, repeat and drop the events that a plugin refused
    Events(events::Args),
    /// Give an external plugin another token
    Token(tokens::PluginArgs),
    /// Make, list and revoke the tokens of this API
    Tokens(tokens::Args),
    /// Show and grant what a plugin may do in the application's API
    Access(access::Args),
    /// Map methods that plugins call to endpoints of the application
    Methods(methods::Args),
    /// List operations, or wait for one
    Jobs(jobs::Args),
    /// Show who did what
    Audit(audit::Args),
}

/// Does what was typed.
pub(crate) async fn dispatch(
    command: RemoteCommand,
    verbose: u8,
    out: &Out,
) -> Result<(), CommandError> {
    use RemoteCommand as Command;
    match command {
        Command::Login(args) => login::login(args, out).await,
        Command::Logout(args) => login::logout(&args, out),
        Command::Whoami(args) => Ok(login::whoami(&args, out).await?),
        Command::List(args) => Ok(list::list(&args, out).await?),
        Command::Show(args) => Ok(list::show(&args, out).await?),
        Command::Why(args) => Ok(why::run(&args, out).await?),
        Command::Install(args) => install::run(args, out).await,
        Command::Upgrade(args) => Ok(upgrade::upgrade(args, out).await?),
        Command::Rollback(args) => Ok(upgrade::rollback(&args, out).await?),
        Command::Versions(args) => Ok(upgrade::versions(&args, out).await?),
        Command::Download(args) => download::run(&args, out).await,
        Command::Activate(args) => Ok(state::activate(&args, out).await?),
        Command::Deactivate(args) => Ok(state::deactivate(&args, out).await?),
        Command::Restart(args) => Ok(state::restart(&args, out).await?),
        Command::Remove(args) => Ok(remove::run(&args, out).await?),
        Command::Logs(args) => Ok(logs::run(&args, out).await?),
        Command::Config(args) => config::run(args, out).await,
        Command::Call(args) => call::call(&args, out).await,
        Command::Dev(args) => dev::run(args, verbose > 0, out).await,
        Command::Publish(args) => call::publish(&args, out).await,
        Command::Events(args) => Ok(events::run(args, out).await?),
        Command::Token(args) => Ok(tokens::plugin(args, out).await?),
        Command::Tokens(args) => Ok(tokens::run(args, out).await?),
        Command::Access(args) => Ok(access::run(args, out).await?),
        Command::Methods(args) => methods::run(args, out).await,
        Command::Jobs(args) => Ok(jobs::run(&args, out).await?),
        Command::Audit(args) => Ok(audit::run(&args, out).await?),
    }
}
