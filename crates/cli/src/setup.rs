//! The host that `run`, `external` and `demo` work with.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jackfield::wire::methods::{Config, GetConfig};
use jackfield::{BuildError, Host, InstallationId, LoadError, Policy, RuntimeProvider};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::place::Place;

/// What the host is made with.
#[derive(Debug)]
pub(crate) struct Setup {
    /// A folder to keep; none for one that goes away at the end.
    pub(crate) data: Option<PathBuf>,
    /// Where plugins dial in; none for a free port of 127.0.0.1.
    pub(crate) listen: Option<SocketAddr>,
    /// Where supervised plugins run.
    pub(crate) place: Place,
    pub(crate) policy: Policy,
    /// What `get_config` answers.
    pub(crate) config: Map<String, Value>,
}

/// A host, and its folder.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) place: Place,
    data: PathBuf,
}

/// Folders that go away when nothing writes into them any more: when it is dropped, after the
/// runtime with all its threads.
#[derive(Debug, Default)]
pub(crate) struct Temporary(Mutex<Vec<TempDir>>);

/// Why there is no host, or not this plugin in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("cannot make a temporary folder")]
    Temporary(#[source] io::Error),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("this command cannot run a plugin in the place `{0}`")]
    NoPlace(RuntimeProvider),
    #[cfg(feature = "sprites")]
    #[error(transparent)]
    Missing(#[from] jackfield_sprites::MissingSettings),
    #[cfg(feature = "sprites")]
    #[error(transparent)]
    Sprites(#[from] jackfield_sprites::BuildError),
    #[cfg(feature = "sprites")]
    #[error("the sprite {what} is still there and may cost money: {failure}")]
    Left {
        what: String,
        failure: Box<jackfield::Failure>,
    },
    #[error("cannot read or write {}", path.display())]
    Names { path: PathBuf, source: io::Error },
    #[error("{} is not what this command writes there", path.display())]
    BadNames {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

impl Temporary {
    /// Makes a folder.
    pub(crate) fn folder(&self) -> Result<PathBuf, SetupError> {
        let folder = tempfile::Builder::new().prefix("jackfield-").tempdir();
        let folder = folder.map_err(SetupError::Temporary)?;
        let path = folder.path().to_owned();
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        folders.push(folder);
        Ok(path)
    }
}

impl Setup {
    /// Makes the host.
    pub(crate) async fn build(self, temporary: &Temporary) -> Result<Bench, SetupError> {
        let data = match self.data {
            Some(data) => data,
            None => temporary.folder()?,
        };
        let config = self.config;
        let mut host = Host::builder()
            .data_folder(&data)
            .policy(self.policy)
            .method::<GetConfig>(
                move |_, wanted: jackfield::wire::methods::GetConfigParams| {
                    let mut config = config.clone();
                    if !wanted.keys.is_empty() {
                        config.retain(|key, _| wanted.keys.contains(key));
                    }
                    async move { Ok(Config { config }) }
                },
            );
        if let Some(address) = self.listen {
            host = host.listen(address);
        }
        match &self.place {
            Place::Here => {}
            #[cfg(feature = "sprites")]
            Place::Sprites(sprites) => {
                host = sprites.set_up(host);
                if self.listen.is_none() {
                    // The address leads somewhere; without this the host would not listen at all.
                    host = host.listen((std::net::Ipv4Addr::LOCALHOST, 0).into());
                }
            }
        }
        Ok(Bench {
            host: host.build().await?,
            place: self.place,
            data,
        })
    }
}

impl Bench {
    /// The installation of a plugin in this folder: the same whenever it runs here, so that it finds
    /// its state again.
    pub(crate) fn installation(&self, manifest_id: &str) -> Result<InstallationId, SetupError> {
        let path = self.data.join("installations.json");
        installation(&path, manifest_id)
    }
}

fn installation(path: &Path, manifest_id: &str) -> Result<InstallationId, SetupError> {
    let failed = |source| SetupError::Names {
        path: path.to_owned(),
        source,
    };
    let mut known: std::collections::BTreeMap<String, InstallationId> = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| SetupError::BadNames {
            path: path.to_owned(),
            source,
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
        Err(error) => return Err(failed(error)),
    };
    if let Some(id) = known.get(manifest_id) {
        return Ok(*id);
    }
    let id = InstallationId::default();
    known.insert(manifest_id.to_owned(), id);
    let text = serde_json::to_string_pretty(&known)
        .map_err(io::Error::from)
        .map_err(failed)?;
    fs::write(path, text + "\n").map_err(failed)?;
    Ok(id)
}

/// Waits as `--timeout`, `--grace` and `--restarts` say.
pub(crate) fn policy(timeout: Option<Duration>, grace: Duration, restarts: u32) -> Policy {
    let mut policy = Policy {
        stop_grace: grace,
        restarts,
        ..Policy::default()
    };
    if let Some(timeout) = timeout {
        policy.dial_deadline = timeout;
        policy.call_deadline = timeout;
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_finds_its_installation_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("installations.json");
        let first = installation(&path, "hello").unwrap();
        let other = installation(&path, "other").unwrap();
        assert_ne!(first, other);
        assert_eq!(installation(&path, "hello").unwrap(), first);
        fs::write(&path, "[").unwrap();
        assert!(matches!(
            installation(&path, "hello"),
            Err(SetupError::BadNames { .. })
        ));
    }
}
