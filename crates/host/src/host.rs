//! The map of sessions.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_process::Prepared;
use jackfield_rpc::{Heart, Methods};
use jackfield_wire::manifest::Transport;
use jackfield_wire::{CloseCause, InstallationId, Mode, RuntimeProvider};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::later;
use crate::admit::Doors;
use crate::builder::HostBuilder;
use crate::events::{self, PublishError, Published};
use crate::log::LogLimits;
use crate::patience::Patience;
use crate::policy::Policy;
use crate::runtime::Runtime;
use crate::session::Session;

/// A plugin host: the map of sessions, and the door at which plugins dial in.
///
/// A cheap clone; all clones are the same host. When the last is dropped all plugins are killed;
/// [`Host::shutdown`] is the friendly way. Counterpart in Storyden's plugin runner: `Host`.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) data: PathBuf,
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) log_limits: LogLimits,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) rpc_url: String,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) methods: Arc<Methods<Session>>,
    pub(crate) doors: Arc<Doors>,
    pub(crate) sessions: Mutex<BTreeMap<InstallationId, Session>>,
    /// Held while a session is made.
    pub(crate) loads: Mutex<()>,
    pub(crate) tracker: TaskTracker,
    /// Beats for all lines.
    pub(crate) heart: Heart,
    /// Until when acknowledgements of events are waited for.
    pub(crate) patience: Patience,
    /// Cancelled when the host is: the door closes, tasks end, children die.
    pub(crate) gone: CancellationToken,
    /// What makes launches quick; given back by a shutdown.
    pub(crate) prepared: Mutex<Option<Prepared>>,
    /// Held, not used: two hosts over one folder would sweep each other's plugins.
    pub(crate) _lock: fs::File,
}

/// What a shutdown left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Plugins that did not stop within the grace, and were killed.
    pub killed: Vec<InstallationId>,
}

/// Longest wait for what was killed.
const KILL: Duration = Duration::from_secs(15);

impl Host {
    /// Begins to make a host.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    /// The session of an id, where it is loaded. Counterpart: `GetSession`.
    #[must_use]
    pub fn session(&self, id: InstallationId) -> Option<Session> {
        self.sessions_mut().get(&id).cloned()
    }

    /// All sessions, oldest id first. Counterpart: `GetSessions`.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.sessions_mut().values().cloned().collect()
    }

    /// Hands an event to every session whose manifest consumes it: each gets its events in order,
    /// none waits for another. What is handed to a plugin that is wanted and not connected waits
    /// for its line; one that is not wanted gets nothing.
    ///
    /// # Errors
    /// When the payload is not a JSON object.
    pub fn publish(
        &self,
        event: &str,
        payload: impl serde::Serialize,
    ) -> Result<Published, PublishError> {
        let prepared = Arc::new(events::encode(event, payload)?);
        let mut published = Published::default();
        for session in self.sessions() {
            let consumes = session
                .manifest()
                .events_consumed
                .iter()
                .any(|e| e == event);
            // A gRPC plugin has no method for events.
            let takes = session.manifest().transport == Transport::WebSocket;
            if !consumes || !takes || !events::wanted(session.shared.board.state()) {
                continue;
            }
            if session.shared.outbox.offer(&prepared) {
                published.queued.push(session.id());
            } else {
                tracing::warn!(id = %session.id(), event, "an event is dropped: too many wait");
                published.dropped.push(session.id());
            }
        }
        Ok(published)
    }

    /// Stops all plugins beside each other, closes the door and waits for everything to end.
    /// Programs that dialed in are told to come back later (1013). What has not stopped after
    /// `grace` is killed, and named in the answer.
    pub async fn shutdown(&self, grace: Duration) -> Shutdown {
        let sessions = self.sessions();
        self.inner.tracker.close();
        let deadline = later(grace);
        let mut stopping = Vec::new();
        for session in &sessions {
            let cause = match session.mode() {
                Mode::External => CloseCause::unavailable("the host is shutting down"),
                Mode::Supervised => CloseCause::closed(),
            };
            let session = session.clone();
            stopping.push((
                session.id(),
                self.inner
                    .tracker
                    .spawn(async move { session.stop_with(cause).await }),
            ));
        }
        let mut shutdown = Shutdown::default();
        for (id, stop) in stopping {
            let abort = stop.abort_handle();
            if tokio::time::timeout_at(deadline, stop).await.is_err() {
                abort.abort();
                shutdown.killed.push(id);
            }
        }
        self.inner.gone.cancel();
        self.sessions_mut().clear();
        // Bounded: a method of the application's that blocks its thread cannot be ended.
        let rest = tokio::time::timeout(KILL, self.inner.tracker.wait()).await;
        if rest.is_err() {
            tracing::error!(
                tasks = self.inner.tracker.len(),
                "tasks of the host do not end"
            );
        }
        let inner = Arc::clone(&self.inner);
        // It waits for processes to end.
        let given_back = tokio::task::spawn_blocking(move || {
            let prepared = inner.prepared.lock();
            drop(prepared.unwrap_or_else(PoisonError::into_inner).take());
        });
        // Nothing in it panics.
        let _ = given_back.await;
        shutdown
    }

    /// Where the plugins' door listens; `None` when the application mounts it in a server of its
    /// own.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.bound
    }

    /// Where plugins dial, without a token: `ws://127.0.0.1:4711/rpc`.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.inner.rpc_url
    }

    /// Where supervised plugins live.
    #[must_use]
    pub fn runtime_provider(&self) -> RuntimeProvider {
        self.inner
            .runtime
            .as_ref()
            .map_or(RuntimeProvider::None, |runtime| runtime.provider())
    }

    pub(crate) fn sessions_mut(&self) -> MutexGuard<'_, BTreeMap<InstallationId, Session>> {
        self.inner
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}
