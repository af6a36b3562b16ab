//! `jackfield completions`

use std::io::{self, Write as _};

use clap_complete::Shell;

const HELP: &str = "\
Examples:
  jackfield completions bash > ~/.local/share/bash-completion/completions/jackfield
  jackfield completions zsh > ~/.zfunc/_jackfield
  jackfield completions fish > ~/.config/fish/completions/jackfield.fish";

/// Write what a shell needs to complete these commands
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let mut script = Vec::new();
    let mut command = crate::args::command();
    clap_complete::generate(args.shell, &mut command, "jackfield", &mut script);
    match io::stdout().write_all(&script) {
        // `jackfield completions zsh | head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
