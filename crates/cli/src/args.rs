//! What can be typed.

use clap::{Parser, Subcommand};

use crate::commands::{check, demo, external, new, pack, run};
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  jackfield demo                                     see it all happen, in a few seconds
  jackfield new hello --lang python                  write a plugin
  jackfield run hello --call greet '{\"name\":\"you\"}'  run it and call it
  jackfield check hello                              everything that is wrong with it, at once
  jackfield pack hello                               hello.zip, to install elsewhere";

/// Write plugins, check and pack them, run them.
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
}
