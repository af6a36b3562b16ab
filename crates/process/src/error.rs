//! Why a child could not be spawned.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Why a child could not be spawned. Nothing runs when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The command is the empty string.
    #[error("the command is empty")]
    Empty,
    /// There is no such program.
    #[error("no program {program:?} in {searched}{}", in_brackets(.hint.as_ref()))]
    NotFound {
        /// The program as it was asked for.
        program: OsString,
        /// Where it was looked for: the search path of the child, or the folder.
        searched: String,
        /// What may help.
        hint: Option<String>,
    },
    /// The program is there but may not be executed.
    #[error("{} is not executable{}", path.display(), in_brackets(.hint.as_ref()))]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// What may help.
        hint: Option<String>,
    },
    /// The program is there, but what its first line (or, for a binary, its header) wants it run by is not.
    #[error("{} wants to be run by {interpreter:?}, which is not there", path.display())]
    BadInterpreter {
        /// The file.
        path: PathBuf,
        /// The interpreter or loader as the file names it.
        interpreter: String,
    },
    /// The file is neither a program for this machine nor a script with an interpreter line.
    #[error("{} has a format that cannot be run here{}", path.display(), in_brackets(.hint.as_ref()))]
    WrongFormat {
        /// The file.
        path: PathBuf,
        /// What may help.
        hint: Option<String>,
    },
    /// The folder to run in cannot be entered.
    #[error("cannot run in the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that cannot be handed to a program: a NUL in an argument, an environment variable without a name,
    /// more bytes of arguments than the system takes.
    #[error("{what} cannot be handed to a program: {why}")]
    Invalid {
        /// What: "argument 2", "the environment variable FOO".
        what: String,
        /// Why.
        why: &'static str,
    },
    /// The program is being written to by somebody, and stayed so for a while.
    #[error("{} is open for writing", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The system is short of processes, descriptors or memory.
    #[error("the system is short of something: {0}")]
    Resources(#[source] io::Error),
    /// The lease could not be written, or what it was to say is not usable.
    #[error("cannot write the lease: {0}")]
    Lease(#[source] io::Error),
    /// The program could not be executed for a reason not named above.
    #[error("cannot execute {}: {source}", path.display())]
    Exec {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The init between host and program could not be made, or was killed before the program ran.
    #[error("cannot set up the init: {0}")]
    Init(#[source] io::Error),
}

impl SpawnError {
    /// Whether the same command can never work without a change: to itself, or to the files it names.
    /// A retry is worth its while only when this is `false`.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Empty
            | Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::BadInterpreter { .. }
            | Self::WrongFormat { .. }
            | Self::Folder { .. }
            | Self::Invalid { .. } => true,
            Self::Busy { .. }
            | Self::Resources(_)
            | Self::Lease(_)
            | Self::Exec { .. }
            | Self::Init(_) => false,
        }
    }

    /// What may help, for the failures that have a known cause.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. }
            | Self::NotExecutable { hint, .. }
            | Self::WrongFormat { hint, .. } => hint.as_deref(),
            Self::Empty
            | Self::BadInterpreter { .. }
            | Self::Folder { .. }
            | Self::Invalid { .. }
            | Self::Busy { .. }
            | Self::Resources(_)
            | Self::Lease(_)
            | Self::Exec { .. }
            | Self::Init(_) => None,
        }
    }
}

fn in_brackets(hint: Option<&String>) -> String {
    hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}
