//! Which servers somebody logged in to, kept in a file that its owner alone can read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::secret_file;

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Logins {
    /// The one that is meant where none is named.
    current: Option<String>,
    servers: BTreeMap<String, Login>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
struct Login {
    token: String,
}

/// Why they cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("there is no folder for settings: neither XDG_CONFIG_HOME nor HOME is set")]
    NoFolder,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not what this command writes there", path.display())]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Logins {
    /// What is kept; nothing where there is no file.
    pub(crate) fn read() -> Result<Self, LoginError> {
        let Ok(path) = file() else {
            return Ok(Self::default());
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| LoginError::Damaged { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LoginError::Read { path, source }),
        }
    }

    /// Keeps them.
    pub(crate) fn write(&self) -> Result<PathBuf, LoginError> {
        let path = file()?;
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| serde_json::to_string_pretty(self).map_err(io::Error::from))
            .and_then(|text| secret_file::write(&path, &(text + "\n")));
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(LoginError::Write { path, source }),
        }
    }

    /// The server that is meant where none is named.
    pub(crate) fn current(&self) -> Option<Url> {
        self.current.as_deref()?.parse().ok()
    }

    /// The token for a server.
    pub(crate) fn token(&self, server: &Url) -> Option<&str> {
        self.servers
            .get(server.as_str())
            .map(|login| login.token.as_str())
    }

    /// From now on this server is meant, with this token.
    pub(crate) fn add(&mut self, server: Url, token: String) {
        self.current = Some(server.to_string());
        self.servers.insert(server.into(), Login { token });
    }

    /// Forgets a server. Whether it was known.
    pub(crate) fn remove(&mut self, server: &Url) -> bool {
        if self.current.as_deref() == Some(server.as_str()) {
            self.current = None;
        }
        self.servers.remove(server.as_str()).is_some()
    }
}

fn file() -> Result<PathBuf, LoginError> {
    let var = |key| std::env::var_os(key).filter(|value| !value.is_empty());
    let folder = var("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| var("HOME").map(|home| PathBuf::from(home).join(".config")));
    let folder = folder.ok_or(LoginError::NoFolder)?;
    Ok(folder.join("jackfield/login.json"))
}

impl fmt::Debug for Login {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_meant_until_it_is_forgotten() {
        let [one, two] = ["http://one", "http://two"].map(|url| url.parse::<Url>().unwrap());
        let mut logins = Logins::default();
        logins.add(one.clone(), "a".into());
        logins.add(two.clone(), "b".into());
        let text = serde_json::to_string(&logins).unwrap();
        let mut logins: Logins = serde_json::from_str(&text).unwrap();
        assert_eq!(logins.current(), Some(two.clone()));
        assert_eq!(logins.token(&one), Some("a"));
        assert!(logins.remove(&two) && !logins.remove(&two));
        assert_eq!((logins.current(), logins.token(&two)), (None, None));
        assert!(!format!("{logins:?}").contains("\"a\""));
    }
}
