//! The map of sessions.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_rpc::{Duplex, Heartbeat, Limits, Methods, Options, Peer};
use jackfield_wire::{CloseCause, InstallationId, Mode, RuntimeProvider};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::{Actor, Ask, Held, Opener};
use crate::admit::{Admission, Credential, Doors, Refused};
use crate::builder::HostBuilder;
use crate::events::{self, PublishError, Published};
use crate::launch::Launcher;
use crate::lifecycle::Lifecycle;
use crate::log::{LogLimits, LogStore};
use crate::policy::Policy;
use crate::runtime::{Runtime, installation_folder};
use crate::session::{Ended, Session, Shared};
use crate::spec::{Origin, Spec};
use crate::status::StatusBoard;

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
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the host is: the door closes, tasks end, children die.
    pub(crate) gone: CancellationToken,
    /// Held, not used: two hosts over one folder would sweep each other's plugins.
    pub(crate) _lock: fs::File,
}

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The host was built without a place for supervised plugins.
    #[error(
        "this host does not run plugins: its runtime provider is `none`; programs that dial in work"
    )]
    PluginsDisabled,
    /// The folder for what the plugin writes cannot be made.
    #[error("cannot open the log folder {}", path.display())]
    Log {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The host has shut down.
    #[error("the host has shut down")]
    ShutDown,
}

/// An open line of a plugin.
#[derive(Debug, Clone)]
pub struct Line {
    id: InstallationId,
    peer: Peer,
}

/// What a shutdown left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Plugins that did not stop within the grace, and were killed.
    pub killed: Vec<InstallationId>,
}

/// Asks that may wait for a session's task.
const MAILBOX: usize = 64;

impl Host {
    /// Begins to make a host.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    /// Makes the session of an installation; it is inactive. An id that is loaded already gives
    /// the session that is there, also when two load it at once. Counterpart: `Load`.
    ///
    /// # Errors
    /// When the host has no place for supervised plugins, or no folder for their logs.
    pub fn load(&self, spec: Spec) -> Result<Session, LoadError> {
        let mut sessions = self.sessions_mut();
        if self.inner.gone.is_cancelled() {
            return Err(LoadError::ShutDown);
        }
        if let Some(session) = sessions.get(&spec.id) {
            return Ok(session.clone());
        }
        let session = self.open_session(spec)?;
        sessions.insert(session.id(), session.clone());
        Ok(session)
    }

    fn open_session(&self, spec: Spec) -> Result<Session, LoadError> {
        let inner = &self.inner;
        let id = spec.id;
        let mut log = None;
        let mut launcher = None;
        match &spec.origin {
            Origin::External { token, .. } => inner.doors.open_external(*token, id),
            Origin::Supervised { package, env } => {
                let runtime = inner.runtime.clone().ok_or(LoadError::PluginsDisabled)?;
                let path = installation_folder(&inner.data, id).join("logs");
                let store = LogStore::open(&path, inner.log_limits)
                    .map(Arc::new)
                    .map_err(|source| LoadError::Log { path, source })?;
                let mut all_env = inner.env.clone();
                all_env.extend(env.clone());
                launcher = Some(Launcher {
                    id,
                    runtime,
                    package: Arc::clone(package),
                    env: all_env,
                    grace: inner.policy.stop_grace,
                    rpc_url: inner.rpc_url.clone(),
                    doors: Arc::clone(&inner.doors),
                    log: Arc::clone(&store),
                    tracker: inner.tracker.clone(),
                    token: Mutex::default(),
                });
                log = Some(store);
            }
        }
        let board = Arc::new(StatusBoard::new());
        let (mail, inbox) = mpsc::channel(MAILBOX);
        let (line_out, line) = watch::channel(None);
        let (events, queue) = mpsc::channel(inner.policy.event_queue.max(1));
        let gone = inner.gone.child_token();
        let deliver = events::deliver(id, queue, line.clone(), board.subscribe());
        let actor = Actor {
            id,
            lifecycle: Lifecycle::new(spec.mode()),
            policy: Arc::clone(&inner.policy),
            launcher,
            board: Arc::clone(&board),
            line_out,
            mail: inbox,
            to_self: mail.downgrade(),
            tracker: inner.tracker.clone(),
            gone: gone.clone(),
            state: Held::default(),
        };
        inner.tracker.spawn(actor.run());
        inner
            .tracker
            // Handles of the session may outlive it, and with them the queue.
            .spawn(gone.run_until_cancelled_owned(deliver));
        Ok(Session {
            shared: Arc::new(Shared {
                spec,
                mail,
                board,
                line,
                log,
                events,
            }),
        })
    }

    /// Stops the plugin, closes its line and forgets the session. Its files, state and logs stay.
    /// Unknown ids are fine. Counterpart: `Unload`. Cancel safe: the stop goes on, the session stays.
    pub async fn unload(&self, id: InstallationId) {
        let Some(session) = self.session(id) else {
            return;
        };
        if session.stop_with(CloseCause::closed()).await.is_ok() {
            let _ = session.ask(Ask::End).await;
        }
        let mut sessions = self.sessions_mut();
        // Somebody may have loaded it anew meanwhile.
        if sessions
            .get(&id)
            .is_some_and(|now| Arc::ptr_eq(&now.shared, &session.shared))
        {
            sessions.remove(&id);
            self.inner.doors.close_external(id);
        }
        drop(sessions);
        if let Some(log) = &session.shared.log {
            log.close();
        }
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

    /// First step of a dial, before the upgrade: may this program become a line? Nothing is
    /// reserved and no token is burnt. Where the line is open already, it is probed first, for the
    /// policy's [`probe`](crate::Policy::probe) at most, and a dead one gives way.
    ///
    /// # Errors
    /// Why not; [`Refused::status`] is the HTTP status that says so.
    pub async fn admit(&self, credential: Credential) -> Result<Admission, Refused> {
        let admission = self.inner.doors.check(credential)?;
        let session = self.session(admission.id).ok_or(Refused::Gone)?;
        let (reply, answer) = oneshot::channel();
        let knock = session.ask(Ask::Knock(reply)).await;
        knock.map_err(|Ended| Refused::Gone)?;
        answer.await.map_err(|_| Refused::Gone)??;
        Ok(admission)
    }

    /// Second step, after the upgrade: makes the duplex the line of the session. A duplex that
    /// comes too late is closed as unavailable (1013): its program may dial again. Counterpart of
    /// both steps: `Connect`.
    ///
    /// # Errors
    /// When the session is not wanted any more, or another dial was quicker.
    pub async fn attach(&self, admission: Admission, duplex: impl Duplex) -> Result<Line, Refused> {
        let Admission { id, client } = admission;
        let session = self.session(id).ok_or(Refused::Gone)?;
        let policy = &self.inner.policy;
        let options = Options {
            limits: Limits {
                inbound_calls: policy.inbound_calls,
                max_in: policy.max_message,
                ..Limits::default()
            },
            heartbeat: Some(Heartbeat {
                every: policy.heartbeat,
                dead_after: policy.dead_after,
            }),
            default_deadline: policy.call_deadline,
            client,
            ..Options::default()
        };
        let (methods, context) = (Arc::clone(&self.inner.methods), session.clone());
        let tracker = self.inner.tracker.clone();
        let open: Opener = Box::new(move |taken| {
            let peer = jackfield_rpc::open(duplex, methods, context, options, &tracker);
            match taken {
                Ok(()) => Some(peer),
                Err(cause) => {
                    peer.close(cause);
                    None
                }
            }
        });
        let (reply, answer) = oneshot::channel();
        let attach = session.ask(Ask::Attach { open, reply }).await;
        attach.map_err(|Ended| Refused::Gone)?;
        let peer = answer.await.map_err(|_| Refused::Gone)??;
        Ok(Line { id, peer })
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
        let params = events::encode(event, payload)?;
        let mut published = Published::default();
        for session in self.sessions() {
            let consumes = session
                .manifest()
                .events_consumed
                .iter()
                .any(|e| e == event);
            let state = session.status().borrow().state;
            if !consumes || !events::wanted(state) {
                continue;
            }
            match session.shared.events.try_send(Arc::clone(&params)) {
                Ok(()) => published.queued.push(session.id()),
                Err(_) => {
                    tracing::warn!(id = %session.id(), event, "an event is dropped: too many wait");
                    published.dropped.push(session.id());
                }
            }
        }
        Ok(published)
    }

    /// Removes everything of an installation: the session as [`Host::unload`] does, then its
    /// files, state and logs.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub async fn uninstall(&self, id: InstallationId) -> Result<(), crate::Failure> {
        self.unload(id).await;
        match &self.inner.runtime {
            Some(runtime) => runtime.remove(id).await,
            None => Ok(()),
        }
    }

    /// Stops all plugins beside each other, closes the door and waits for everything to end.
    /// Programs that dialed in are told to come back later (1013). What has not stopped after
    /// `grace` is killed, and named in the answer.
    pub async fn shutdown(&self, grace: Duration) -> Shutdown {
        let sessions = self.sessions();
        self.inner.tracker.close();
        let deadline = tokio::time::Instant::now() + grace;
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
        self.inner.tracker.wait().await;
        for session in sessions {
            if let Some(log) = &session.shared.log {
                log.close();
            }
        }
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

    fn sessions_mut(&self) -> MutexGuard<'_, BTreeMap<InstallationId, Session>> {
        self.inner
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The installation.
    #[must_use]
    pub fn id(&self) -> InstallationId {
        self.id
    }

    /// Waits for the end of the line, and says why it ended.
    pub async fn closed(&self) -> CloseCause {
        self.peer.closed().await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}
