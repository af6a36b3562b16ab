//! Why an operation failed, one enum for each. What an API says of them is in `routes/problem`.

use std::io;
use std::time::Duration;

use jackfield::package::OpenError;
use jackfield::wire::manifest::InvalidManifest;
use jackfield::{Failure, InstallationId, LoadError};

use super::fetch::FetchError;
use super::load::Unloadable;
use crate::packages::PackagesError;
use crate::store::StoreError;

/// There is no such installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no installation {0}")]
pub(crate) struct NotFound(pub(crate) InstallationId);

/// Why a plugin was not installed. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("this server runs no plugins: its runtime provider is `none`")]
    Disabled,
    #[error("the package is refused")]
    Package(#[from] OpenError),
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    #[error("an external plugin dials in: `transport: grpc` is for packages")]
    ExternalGrpc,
    #[error("the package has more than {0} bytes")]
    TooLarge(u64),
    #[error("the package has the digest {found}, and {pinned} was asked for")]
    Checksum { pinned: String, found: String },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("what is received cannot be written or read here")]
    Upload(#[source] io::Error),
    #[error("the host does not take it")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Packages(#[from] PackagesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a plugin is not in the state that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("plugins do not run on this server: its runtime provider is `none`")]
    Disabled,
    #[error("an external plugin is started and stopped by whoever runs it")]
    External,
    /// It failed: it is `errored`.
    #[error("the plugin failed: {0}")]
    Failed(Box<Failure>),
    /// It is still trying.
    #[error("the plugin is not active after {0:?}; it goes on trying")]
    Timeout(Duration),
    /// It connected, and did not answer a ping. Only on trial.
    #[error("the plugin connected and did not answer a ping: {0}")]
    NoPing(#[source] jackfield::CallError),
    /// Somebody else stopped, upgraded or removed it meanwhile.
    #[error("somebody else changed the plugin's state meanwhile")]
    Overtaken,
    /// It stays wanted: the next server starts it.
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the host does not take it")]
    Load(#[from] LoadError),
    #[error("its package cannot be opened")]
    Package(#[from] OpenError),
    #[error(transparent)]
    Packages(#[from] PackagesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why another version does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("an external plugin has no package: change its manifest instead")]
    External,
    #[error("the package is of another plugin: its id is `{found}`, this one is `{wanted}`")]
    OtherPlugin { wanted: String, found: String },
    #[error("there is no version {0}; `versions` lists those that are kept")]
    NoVersion(i64),
    #[error("there is no earlier version to go back to")]
    NothingEarlier,
    /// The new version did not become active and answer; the old one is wanted and started again.
    #[error("version {number} did not become active, and the one before is back: {why}")]
    BroughtBack { number: i64, why: Box<StateError> },
    /// Everything that can go wrong with a package, as at an installation.
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a configuration was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigureError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// One line for each field: `Field "x" must be a boolean value.`
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The plugin said no, and why if it said so.
    #[error("the plugin refuses the configuration: {0}")]
    Refused(String),
    /// It did not answer in time, or its line broke.
    #[error("the plugin did not answer: {0}")]
    NoAnswer(String),
    /// It has to be connected, and is not (asked for with `?connected=required`).
    #[error("the plugin is not connected")]
    NotConnected,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a plugin was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// Its folder, or what a remote place keeps for it, could not be taken away. It is gone from the
    /// registry nevertheless.
    #[error("the plugin is removed, and something of it is left: {0}")]
    Left(Box<Failure>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token was not rotated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("a supervised plugin gets a token of its own at each start")]
    Supervised,
    #[error("the host does not take it")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a manifest was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("a supervised plugin's manifest is in its package: upload a new one")]
    Supervised,
    #[error(transparent)]
    Invalid(#[from] InvalidManifest),
    #[error("an external plugin dials in: `transport: grpc` is for packages")]
    ExternalGrpc,
    #[error("the host does not take it")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a package cannot be handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("an external plugin has no package")]
    External,
    #[error("there is no version {0}")]
    NoVersion(i64),
    #[error(transparent)]
    Packages(#[from] PackagesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a plugin's method has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error(transparent)]
    Call(#[from] jackfield::CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CallError {
    /// Whether the plugin was not there, or went away.
    pub(crate) fn is_gone(&self) -> bool {
        use jackfield::{CallError as HostError, rpc};
        matches!(
            self,
            Self::Call(HostError::NotActive(_) | HostError::Call(rpc::CallError::Closed(_)),)
        )
    }
}

impl From<Unloadable> for StateError {
    fn from(error: Unloadable) -> Self {
        match error {
            Unloadable::Load(error) => error.into(),
            Unloadable::Package(error) => error.into(),
            Unloadable::Packages(error) => error.into(),
            Unloadable::Store(error) => error.into(),
        }
    }
}

impl From<Unloadable> for InstallError {
    fn from(error: Unloadable) -> Self {
        match error {
            Unloadable::Load(error) => error.into(),
            Unloadable::Package(error) => error.into(),
            Unloadable::Packages(error) => error.into(),
            Unloadable::Store(error) => error.into(),
        }
    }
}
