//! How setting up and running a plugin can fail.

use std::fmt;

use jackfield_rpc::DialError;
use jackfield_wire::{CloseCause, env};

/// What a handler of events or of the configuration may fail with: any error, or a text.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Why a plugin cannot be set up.
///
/// `Debug` shows the same sentence as `Display`: it is what `main` prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Nobody said where to dial.
    #[error(
        "neither {} nor {} is set, so there is no host to dial. A host sets it when it starts a \
         plugin: try `jackfield run .` in the plugin's folder. For a program that you start \
         yourself, `jackfield external manifest.json` prints the URL to set",
        env::RPC_URL,
        env::STORYDEN_RPC_URL
    )]
    NoUrl,
}

/// Why a plugin stopped running, other than by being asked to.
///
/// `Debug` shows the same sentence as `Display`: it is what `main` prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The host cannot be reached, or does not let the plugin in.
    #[error("{source}{hint}")]
    Dial {
        /// What went wrong.
        source: DialError,
        /// What to check; empty or a sentence.
        hint: &'static str,
    },
    /// The host hung up and does not want the plugin back.
    #[error(
        "the host does not want this plugin ({0}). Check that it is installed and active there, \
         and that no other program uses its token"
    )]
    Rejected(CloseCause),
    /// The line broke in a way that trying again would not mend.
    #[error("the line to the host broke ({0})")]
    Lost(CloseCause),
    /// The system does not tell about interrupts.
    #[error("interrupts cannot be listened for: {0}")]
    Signals(std::io::Error),
}

impl fmt::Debug for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What to check when a dial failed for good.
pub(crate) fn hint(error: &DialError) -> &'static str {
    match error {
        DialError::Http {
            status: 400 | 401 | 403,
            ..
        } => {
            ". Check the token in the URL: that of a supervised plugin is good for one life of its \
             process, that of an external one until it is replaced"
        }
        DialError::Http { status: 404, .. } => {
            ". Check the URL: plugins dial the path /rpc of their host"
        }
        DialError::Http { status: 429, .. } => {
            ". The host has had too many connections from this address; wait before trying again"
        }
        DialError::Unreachable { .. } | DialError::Timeout { .. } => {
            ". Check that the host runs and listens at that address"
        }
        DialError::BadUrl { .. } => ". Check the URL in the plugin's environment",
        DialError::Http { .. } | DialError::Handshake { .. } => {
            ". Check that the URL is that of a plugin host"
        }
    }
}
