//! The server: started, run, drained.

use std::net::SocketAddr;

use jackfield::InstallationId;

use crate::config::Config;

/// A server that listens.
#[derive(Debug)]
pub struct Server {}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Plugins that did not stop within the grace and were killed.
    pub killed: Vec<InstallationId>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Server {
    /// Binds, opens the registry and the host, listens, and begins to activate what is wanted.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(_config: Config) -> Result<Self, StartError> {
        todo!()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// An administrator token that was made at this start, to be told once: at the first start, and
    /// when [`Config::new_administrator`] asks for one.
    #[must_use]
    pub fn administrator_token(&self) -> Option<&str> {
        todo!()
    }

    /// Serves until `stop` is ready, then drains: no new requests, plugins stopped, events' cursors
    /// written, all within [`Config::grace`].
    pub async fn run(self, _stop: impl Future<Output = ()>) -> Ended {
        todo!()
    }
}
