//! What can be typed.

use clap::builder::StyledStr;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::remote::RemoteCommand;
#[cfg(feature = "server")]
use crate::commands::serve;
use crate::commands::{check, completions, demo, external, new, pack, run};
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  jackfield demo                                     see it all happen, in a few seconds
  jackfield new hello --lang python                  write a plugin
  jackfield run hello --call greet '{\"name\":\"you\"}'  run it and call it
  jackfield serve                                    a server; then, elsewhere:
  jackfield login http://127.0.0.1:7411
  jackfield install hello --activate
  jackfield why hello                                how it is, and why";

/// The commands as `--help` lists them. A test sees to it that none is left out.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Write plugins, and run them here",
        &["new", "check", "pack", "run", "external", "demo"],
    ),
    ("The server", &["serve", "login", "logout", "whoami"]),
    (
        "Plugins on a server",
        &[
            "list",
            "show",
            "why",
            "install",
            "upgrade",
            "rollback",
            "versions",
            "download",
            "activate",
            "deactivate",
            "restart",
            "remove",
            "logs",
            "config",
            "call",
            "dev",
        ],
    ),
    (
        "Events and the application",
        &["publish", "events", "methods"],
    ),
    (
        "Who may do what, and who did",
        &["tokens", "token", "access", "jobs", "audit"],
    ),
    ("This command", &["completions", "help"]),
];

/// Write plugins, check, pack and run them; run the server, and the plugins on it
#[derive(Debug, Parser)]
#[command(
    name = "jackfield",
    version,
    after_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
    arg_required_else_help = true,
    propagate_version = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Write JSON for programs to standard output: one object per line, nothing else
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Say more about what the host does, on standard error; up to -vvv. RUST_LOG counts more
    #[arg(short, long, global = true, display_order = 901, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a plugin from its package or folder, follow what it does, call it
    Run(run::Args),
    /// Let a program that you start yourself dial in, follow it, call it
    External(external::Args),
    /// Make a package of a folder
    Pack(pack::Args),
    /// Say everything that is wrong with a package or folder
    Check(check::Args),
    /// Write a plugin that works: a method, an event, a setting
    New(new::Args),
    /// Show it all: a plugin written, packed, run, called, killed, back by itself, stopped
    Demo(demo::Args),
    /// The demo's plugin in Rust, which the demo starts
    #[command(hide = true)]
    DemoPlugin,
    /// Run the server: plugins behind an HTTP API, kept over restarts
    #[cfg(feature = "server")]
    Serve(Box<serve::Args>),
    /// Write what a shell needs to complete these commands
    Completions(completions::Args),
    #[command(flatten)]
    Remote(RemoteCommand),
}

impl Command {
    /// Whether it sets up the log of the process itself.
    pub(crate) fn logs_by_itself(&self) -> bool {
        match self {
            #[cfg(feature = "server")]
            Self::Serve(_) => true,
            _ => false,
        }
    }
}

/// What can be typed, with the commands in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let template = StyledStr::from(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{}\n{{options}}{{after-help}}",
        groups(&command),
        heading("Options"),
    ));
    command.help_template(template)
}

/// Reads what was typed; what is wrong with it is told, and ends the process.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn groups(command: &clap::Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        text += &format!("{}\n", heading(group));
        for name in *names {
            // What is not built in is not listed.
            let about = match *name {
                "help" => "Say more about a command".to_owned(),
                name => match command.find_subcommand(name) {
                    Some(command) => command
                        .get_about()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    None => continue,
                },
            };
            text += &format!("  \x1b[1m{name:<12}\x1b[0m {about}\n");
        }
        text.push('\n');
    }
    text
}

/// As the parser writes its own; without colour where none is wanted.
fn heading(text: &str) -> String {
    format!("\x1b[1m\x1b[4m{text}:\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_listed_once() {
        let command = command();
        let shown = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut shown: Vec<&str> = shown.map(clap::Command::get_name).collect();
        let grouped = GROUPS.iter().flat_map(|(_, names)| names.iter().copied());
        let built = grouped.filter(|name| cfg!(feature = "server") || *name != "serve");
        let mut listed: Vec<&str> = built.filter(|name| *name != "help").collect();
        shown.sort_unstable();
        listed.sort_unstable();
        assert_eq!(shown, listed);
    }

    #[test]
    fn help_is_for_terminals_and_files() {
        let help = command().render_help();
        let plain = help.to_string();
        assert!(
            plain.contains("Plugins on a server:\n") && !plain.contains('\u{1b}'),
            "{plain}"
        );
        assert!(plain.contains("\n  why          Say in words"), "{plain}");
    }
}
