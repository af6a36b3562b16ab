//! What is wanted, what is, whose process it is and where that lives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is wanted of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActiveState {
    /// It should run, or be let in when it dials.
    Active,
    /// It should not.
    Inactive,
}

/// What an installation is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportedState {
    /// Not wanted, and nothing of it is there. The first state.
    Inactive,
    /// Wanted; its files are being unpacked and its process started.
    Starting,
    /// Wanted, and nobody is on the line: its process has not dialed yet, or the line was lost, or
    /// it is a program elsewhere that has not dialed in.
    Connecting,
    /// The line is open now.
    Active,
    /// Told to go; its process or its line is not gone yet.
    Stopping,
    /// It ended unasked and is started again after a delay.
    Restarting,
    /// Given up. Only a start or a stop leaves this state.
    Errored,
}

/// Whether the host owns the plugin's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Started, watched and restarted by the host.
    Supervised,
    /// Runs elsewhere and dials in; the host owns nothing but the line.
    External,
}

/// The setting that says where supervised plugins live. Default: `local`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeProvider {
    /// Nowhere: supervised plugins are refused, programs that dial in work.
    None,
    /// As child processes of the host.
    #[default]
    Local,
    /// In remote sandboxes of the Sprites service.
    Sprites,
}

/// A runtime provider that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown plugin runtime provider: {0:?} (use one of none, local, sprites)")]
pub struct UnknownRuntimeProvider(pub String);

impl FromStr for RuntimeProvider {
    type Err = UnknownRuntimeProvider;

    /// Case and surrounding white space do not matter; empty means [`RuntimeProvider::Local`].
    /// Counterpart: `ParseRuntimeProvider`.
    fn from_str(text: &str) -> Result<Self, UnknownRuntimeProvider> {
        match text.trim().to_lowercase().as_str() {
            "" | "local" => Ok(Self::Local),
            "none" => Ok(Self::None),
            "sprites" => Ok(Self::Sprites),
            _ => Err(UnknownRuntimeProvider(text.to_owned())),
        }
    }
}

impl fmt::Display for RuntimeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Local => "local",
            Self::Sprites => "sprites",
        })
    }
}

impl fmt::Display for ReportedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inactive => "inactive",
            Self::Starting => "starting",
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Errored => "errored",
        })
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supervised => "supervised",
            Self::External => "external",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_parses_as_operators_write_it() {
        for (text, provider) in [
            ("", RuntimeProvider::Local),
            ("  ", RuntimeProvider::Local),
            (" Local ", RuntimeProvider::Local),
            ("NONE", RuntimeProvider::None),
            ("sprites\n", RuntimeProvider::Sprites),
        ] {
            assert_eq!(text.parse(), Ok(provider), "{text:?}");
        }
        let error = " Docker ".parse::<RuntimeProvider>().unwrap_err();
        assert!(error.to_string().contains("\" Docker \""), "{error}");
    }
}
