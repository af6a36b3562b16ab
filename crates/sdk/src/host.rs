//! The host, as a plugin sees it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jackfield_rpc::{CallError, CallOptions, Peer};
use jackfield_wire::Method;
use jackfield_wire::methods::{Access, AccessGet, Config, GetConfig, GetConfigParams};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long a call may take that brings no time of its own.
const DEADLINE: Duration = Duration::from_secs(30);

/// The host at the other end. A cheap clone.
///
/// The one that a handler gets belongs to the line on which it was called. The one of
/// [`Plugin::host`](crate::Plugin::host) belongs to whatever line is open, and its calls wait for
/// one, within their deadline.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    line: Option<Peer>,
}

/// What all handles of one plugin share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The line that is open now.
    line: watch::Sender<Option<Peer>>,
    connected: OnceLock<Instant>,
    state_dir: Option<PathBuf>,
}

impl Shared {
    pub(crate) fn new(state_dir: Option<PathBuf>) -> Self {
        Self {
            line: watch::Sender::new(None),
            connected: OnceLock::new(),
            state_dir,
        }
    }

    pub(crate) fn up(&self, peer: Peer) {
        self.connected.get_or_init(Instant::now);
        self.line.send_replace(Some(peer));
    }

    pub(crate) fn down(&self) {
        self.line.send_replace(None);
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.connected
            .get()
            .map_or(Duration::ZERO, Instant::elapsed)
    }
}

impl Host {
    pub(crate) fn on_line(shared: Arc<Shared>, line: Peer) -> Self {
        Self {
            shared,
            line: Some(line),
        }
    }

    pub(crate) fn on_any_line(shared: Arc<Shared>) -> Self {
        Self { shared, line: None }
    }

    /// Calls the host. The call ends after 30 s, when the line ends, or when it is dropped.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Output, CallError> {
        self.call_within::<M>(params, DEADLINE).await
    }

    /// Calls the host with a deadline of its own, for what takes long, such as a robot's run.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_within<M: Method>(
        &self,
        params: &M::Params,
        within: Duration,
    ) -> Result<M::Output, CallError> {
        let begun = Instant::now();
        let line = self.line(M::NAME, within).await?;
        let options = CallOptions {
            deadline: Some(within.saturating_sub(begun.elapsed())),
            ..CallOptions::default()
        };
        line.call_with::<M>(params, options).await
    }

    /// The plugin's configuration: these keys of it, or all of it for none. Keys that are not set
    /// are missing.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::BadAnswer`] when the configuration does not fit `T`.
    pub async fn get_config<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<T, CallError> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let params = GetConfigParams { keys };
        let Config { config } = self.call::<GetConfig>(&params).await?;
        serde_json::from_value(Value::Object(config)).map_err(|source| CallError::BadAnswer {
            method: GetConfig::NAME.to_owned(),
            source,
        })
    }

    /// A key to the application's own API, as the manifest asks for it. The first call on each
    /// line may make earlier keys invalid.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get_access(&self) -> Result<Access, CallError> {
        self.call::<AccessGet>(&None).await
    }

    /// The time since the first connection; zero before.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.shared.uptime()
    }

    /// The plugin's own folder, which upgrades keep. `None` where the host gives none.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.shared.state_dir.clone()
    }

    async fn line(&self, method: &str, within: Duration) -> Result<Peer, CallError> {
        if let Some(line) = &self.line {
            return Ok(line.clone());
        }
        let mut lines = self.shared.line.subscribe();
        let late = || CallError::Deadline {
            method: method.to_owned(),
            after: within,
        };
        let deadline = Instant::now().checked_add(within);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + DEADLINE);
        let open = timeout_at(deadline, lines.wait_for(Option::is_some)).await;
        let line = open.map_err(|_| late())?.ok().and_then(|line| line.clone());
        line.ok_or_else(late)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("uptime", &self.uptime())
            .finish_non_exhaustive()
    }
}
