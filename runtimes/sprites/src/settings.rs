//! What can be set, and what must be.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::client::{BadAddress, Client};
use crate::environment;
use crate::reaper::Reaper;
use crate::runtime::SpritesRuntime;
use crate::secret::Secrets;

/// The variable of the environment with the key, as Storyden's plugin runner reads it.
const KEY: &str = "SPRITES_API_KEY";
/// The variable of the environment with the address under which the internet reaches the host.
const ADDRESS: &str = "PUBLIC_API_ADDRESS";

/// What a [`SpritesRuntime`] is made from. Counterpart: [`SpritesRuntime::builder`].
pub struct SpritesBuilder {
    key: String,
    base_url: String,
    name_prefix: String,
    root: String,
    pending_folder: Option<PathBuf>,
    scratch: Option<PathBuf>,
    uploads: usize,
    channel: Channel,
    env: BTreeMap<String, String>,
    timing: Timing,
}

/// On which socket a process is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channel {
    /// The control channel; where the service has none, or it does not answer twice in a row, the direct form.
    /// Default.
    #[default]
    Auto,
    /// Only the control channel: no token in a URL, not even in that of an encrypted connection.
    Control,
    /// Only a socket of its own, with everything in the query of its URL.
    Direct,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Between two pings on a process's connection. Default: 10 s.
    pub ping: Duration,
    /// A connection that says nothing for that long counts as broken. Default: 25 s.
    pub silence: Duration,
    /// Between two questions whether the process is still there, while its connection lives: the message of its end
    /// may have been lost. Default: 60 s.
    pub check: Duration,
    /// How long a process is looked for after its connection broke. Default: 60 s.
    pub search: Duration,
    /// How long the service lets a process run without a connection. Must be longer than `search`; it is also how long
    /// a process may outlive a host that crashed and does not come back. Default: 120 s.
    pub orphaned: Duration,
    /// A request without a long body. Default: 30 s.
    pub request: Duration,
    /// The creation of a sprite. Default: 120 s.
    pub create: Duration,
    /// From the first request of a kill until it is given up. Default: 20 s.
    pub kill: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(25),
            check: Duration::from_secs(60),
            search: Duration::from_secs(60),
            orphaned: Duration::from_secs(120),
            request: Duration::from_secs(30),
            create: Duration::from_secs(120),
            kill: Duration::from_secs(20),
        }
    }
}

/// Why no runtime could be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The key is empty or has characters that no header may have.
    #[error("the key of the Sprites service is empty or malformed")]
    Key,
    /// The service's address.
    #[error("the address of the Sprites service is not usable: {0}")]
    BaseUrl(&'static str),
    /// The prefix of names.
    #[error(
        "a prefix of sprite names has at most 32 of a-z, 0-9 and -, and begins with a letter: {0:?}"
    )]
    NamePrefix(String),
    /// The folder in the sprite.
    #[error("the folder in the sprite must be absolute, without . and .. parts: {0:?}")]
    Root(String),
    /// The folder of what is still to be deleted.
    #[error("cannot use the folder {}", .path.display())]
    PendingFolder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl SpritesBuilder {
    pub(crate) fn new(key: String) -> Self {
        Self {
            key,
            base_url: "https://api.sprites.dev".to_owned(),
            name_prefix: "jackfield-plugin-".to_owned(),
            root: "/home/sprite/jackfield".to_owned(),
            pending_folder: None,
            scratch: None,
            uploads: 8,
            channel: Channel::default(),
            env: environment::base(),
            timing: Timing::default(),
        }
    }

    /// The service's address, `http` or `https`. Default: `https://api.sprites.dev`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// What the names of sprites begin with; the installation's id follows. Two hosts that share an account need
    /// different ones if they may have the same installations. Default: `jackfield-plugin-`.
    #[must_use]
    pub fn name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.name_prefix = prefix.into();
        self
    }

    /// The folder in the sprite below which everything is put. Default: `/home/sprite/jackfield`.
    #[must_use]
    pub fn root(mut self, folder: impl Into<String>) -> Self {
        self.root = folder.into();
        self
    }

    /// A folder on this machine, made if need be, that keeps in mind which sprites could not be deleted yet. Without
    /// one they are forgotten when the host ends. One host at a time. Default: none.
    #[must_use]
    pub fn pending_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.pending_folder = Some(folder.into());
        self
    }

    /// A folder on this machine in which packages are unpacked while they are uploaded. Default: the system's folder
    /// for temporary files.
    #[must_use]
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = Some(folder.into());
        self
    }

    /// How many files of a package are uploaded at once; each takes 64 KiB of memory. Default: 8.
    #[must_use]
    pub fn uploads(mut self, count: usize) -> Self {
        self.uploads = count.clamp(1, 64);
        self
    }

    /// On which socket processes are run. Default: [`Channel::Auto`].
    #[must_use]
    pub fn channel(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// A variable of every process's environment, below the operator's. The service replaces its own environment by
    /// what it is given, so that `PATH`, `HOME`, `LANG`, `USER` and `TMPDIR` have defaults here: those of a sprite.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// How long things may take.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Makes the runtime, and begins to delete what an earlier one could not.
    ///
    /// # Errors
    /// A setting is malformed, or the folder of pending deletions cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(self) -> Result<SpritesRuntime, BuildError> {
        if !is_prefix(&self.name_prefix) {
            return Err(BuildError::NamePrefix(self.name_prefix));
        }
        if !is_root(&self.root) {
            return Err(BuildError::Root(self.root));
        }
        let key = self.key.trim();
        let mut secrets = Secrets::default();
        secrets.add(key);
        let client = Client::new(&self.base_url, key, secrets.clone(), self.timing.clone());
        let client = Arc::new(client.map_err(|bad| match bad {
            BadAddress::Key => BuildError::Key,
            BadAddress::Address(why) => BuildError::BaseUrl(why),
        })?);
        let reaper = Reaper::start(Arc::clone(&client), self.pending_folder)?;
        Ok(SpritesRuntime::new(
            client,
            reaper,
            crate::runtime::Ways {
                name_prefix: self.name_prefix,
                root: self.root,
                scratch: self.scratch,
                uploads: self.uploads,
                channel: self.channel,
                env: self.env,
                timing: self.timing,
                secrets,
            },
        ))
    }
}

impl fmt::Debug for SpritesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpritesBuilder")
            .field("base_url", &self.base_url)
            .field("name_prefix", &self.name_prefix)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= 32
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_root(root: &str) -> bool {
    root.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control))
    })
}

/// What the environment must say for this runtime. Made by [`required`].
#[derive(Clone, PartialEq, Eq)]
pub struct Required {
    /// The service's key. Secret.
    pub api_key: String,
    /// Where the internet reaches the host, without a slash at the end: `https://plugins.example.org`.
    pub public_address: String,
}

impl Required {
    /// What plugins dial: `wss://plugins.example.org/rpc`.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        let address = match self.public_address.split_once("://") {
            Some(("https", rest)) => format!("wss://{rest}"),
            Some(("http", rest)) => format!("ws://{rest}"),
            _ => self.public_address.clone(),
        };
        format!("{address}/rpc")
    }
}

impl fmt::Debug for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Required")
            .field("public_address", &self.public_address)
            .finish_non_exhaustive()
    }
}

/// What the environment does not say.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the runtime `sprites` needs {}", names(.0))]
pub struct MissingSettings(pub Vec<&'static str>);

fn names(missing: &[&str]) -> String {
    missing.join(" and ")
}

/// Checks what was read of the environment: `SPRITES_API_KEY`, and `PUBLIC_API_ADDRESS`, which must have a host.
///
/// # Errors
/// The names of all that are missing, or empty, or, for the address, not usable.
pub fn required(
    api_key: Option<&str>,
    public_address: Option<&str>,
) -> Result<Required, MissingSettings> {
    let key = api_key.map(str::trim).filter(|key| !key.is_empty());
    let address = public_address
        .map(|address| address.trim().trim_end_matches('/'))
        .filter(|address| has_host(address));
    match (key, address) {
        (Some(key), Some(address)) => Ok(Required {
            api_key: key.to_owned(),
            public_address: address.to_owned(),
        }),
        (key, address) => {
            let missing = [(KEY, key.is_none()), (ADDRESS, address.is_none())];
            let missing = missing.into_iter().filter(|(_, missing)| *missing);
            Err(MissingSettings(missing.map(|(name, _)| name).collect()))
        }
    }
}

fn has_host(address: &str) -> bool {
    address.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_one_is_named() {
        let missing = |key, address| required(key, address).unwrap_err().to_string();
        assert_eq!(
            missing(None, Some(" ")),
            "the runtime `sprites` needs SPRITES_API_KEY and PUBLIC_API_ADDRESS"
        );
        assert_eq!(
            missing(Some("k"), Some("plugins.example.org")),
            "the runtime `sprites` needs PUBLIC_API_ADDRESS"
        );
        let found = required(Some(" key "), Some("https://plugins.example.org/")).unwrap();
        assert_eq!(found.rpc_url(), "wss://plugins.example.org/rpc");
        assert_eq!(found.api_key, "key");
        assert!(!format!("{found:?}").contains("key\""));
    }

    #[test]
    fn odd_names_and_folders_are_refused() {
        assert!(
            is_prefix("jackfield-plugin-")
                && !is_prefix("a/b")
                && !is_prefix("")
                && !is_prefix("-a")
        );
        assert!(is_root("/home/x") && !is_root("/") && !is_root("home") && !is_root("/a/../b"));
    }

    #[tokio::test]
    async fn the_key_is_shown_nowhere() {
        let builder = SpritesBuilder::new("very-secret-key".to_owned());
        assert!(!format!("{builder:?}").contains("very-secret"));
        let runtime = builder.build().unwrap();
        assert!(!format!("{runtime:?}").contains("very-secret"));
        let bad = SpritesBuilder::new("very-secret\nkey".to_owned()).build();
        assert!(matches!(bad, Err(BuildError::Key)));
    }
}
