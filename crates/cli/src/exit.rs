//! How the command tells other programs what became of it: every exit code there is.

use std::process::ExitCode;

/// How it ended. `--help` shows the same list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything held.
    Ok = 0,
    /// What was given is wrong: no such file or plugin, a package that is refused, a folder in use.
    Refused = 1,
    /// What was typed is wrong. The code that the parser of the command line uses, too.
    Usage = 2,
    /// The plugin failed, or did not become active in time.
    Plugin = 3,
    /// A call, an event or the configuration was not taken.
    Call = 4,
    /// The server cannot be reached, is busy, or does not permit it.
    Server = 5,
    /// It was interrupted before it was done, or twice.
    Interrupted = 130,
}

/// For `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    everything held
  1    what was given is wrong: no such file or plugin, a package that is refused, a folder in use
  2    what was typed is wrong
  3    the plugin failed, or did not become active in time
  4    a call, an event or the configuration was not taken
  5    the server cannot be reached, or does not permit it
  130  interrupted before it was done";

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
