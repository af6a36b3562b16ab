//! Installations come and go: load, unload, uninstall.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_grpc::{KeepAlive, Settings};
use jackfield_wire::manifest::Transport;
use jackfield_wire::{CloseCause, InstallationId, Mode};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::actor::Actor;
use crate::ask::Ask;
use crate::failure::Failure;
use crate::held::Held;
use crate::host::Host;
use crate::launch::Launcher;
use crate::lifecycle::Lifecycle;
use crate::log::LogStore;
use crate::outbox::Outbox;
use crate::policy::Policy;
use crate::runtime::installation_folder;
use crate::session::{Session, Shared};
use crate::spec::{Origin, Spec};
use crate::status::StatusBoard;

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The host was built without a place for supervised plugins.
    #[error(
        "this host does not run plugins: its runtime provider is `none`; programs that dial in work"
    )]
    PluginsDisabled,
    /// An external plugin whose manifest says `transport: grpc`: it would have to be dialed, and nobody says where.
    #[error(
        "a plugin with `transport: grpc` is a package that the host runs; an external one dials in, with `transport: websocket`"
    )]
    NothingToSpawn,
    /// The folder for what the plugin writes cannot be made.
    #[error("cannot open the log folder {}", path.display())]
    Log {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The same installation is being unloaded right now.
    #[error("installation {0} is being unloaded; wait for that to end")]
    Unloading(InstallationId),
    /// Another installation has the same token.
    #[error("installation {0} has the same token; each needs its own")]
    TokenInUse(InstallationId),
    /// The host has shut down.
    #[error("the host has shut down")]
    ShutDown,
}

/// Asks that may wait for a session's task.
const MAILBOX: usize = 64;

impl Host {
    /// Makes the session of an installation; it is inactive. An id that is loaded already gives
    /// the session that is there, also when two load it at once; one that is just being unloaded is
    /// refused until that has ended. Counterpart: `Load`.
    ///
    /// # Errors
    /// When the host has no place for supervised plugins, or no folder for their logs.
    pub fn load(&self, spec: Spec) -> Result<Session, LoadError> {
        // Loads wait for each other, dials and calls do not wait for them.
        let _one_at_a_time = self
            .inner
            .loads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.inner.gone.is_cancelled() {
            return Err(LoadError::ShutDown);
        }
        match self.session(spec.id) {
            Some(session) if !session.shared.gone.is_cancelled() => return Ok(session),
            Some(session) if !session.shared.mail.is_closed() => {
                return Err(LoadError::Unloading(spec.id));
            }
            _ => {}
        }
        let session = self.open_session(spec)?;
        self.sessions_mut().insert(session.id(), session.clone());
        Ok(session)
    }

    fn open_session(&self, spec: Spec) -> Result<Session, LoadError> {
        let inner = &self.inner;
        let id = spec.id;
        let mut log = None;
        let mut launcher = None;
        match &spec.origin {
            Origin::External { manifest, .. } if manifest.transport == Transport::Grpc => {
                return Err(LoadError::NothingToSpawn);
            }
            Origin::External { token, .. } => {
                let opened = inner.doors.open_external(*token, id);
                opened.map_err(LoadError::TokenInUse)?;
            }
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
                    host: Arc::downgrade(inner),
                    runtime,
                    package: Arc::clone(package),
                    env: all_env,
                    grace: inner.policy.stop_grace,
                    dial_deadline: inner.policy.dial_deadline,
                    settings: settings(&inner.policy),
                    rpc_url: inner.rpc_url.clone(),
                    doors: Arc::clone(&inner.doors),
                    log: Arc::clone(&store),
                    tracker: inner.tracker.clone(),
                    token: Mutex::default(),
                    waiting: Mutex::default(),
                });
                log = Some(store);
            }
        }
        let board = Arc::new(StatusBoard::new());
        let (mail, inbox) = mpsc::channel(MAILBOX);
        let (line_out, line) = watch::channel(None);
        let serves = spec.manifest().transport == Transport::Grpc;
        let (channel_out, channel) = serves.then(|| watch::channel(None)).unzip();
        let running = Arc::new(Mutex::new(None));
        let gone = inner.gone.child_token();
        let outbox = Arc::new(Outbox {
            id,
            most: inner.policy.event_queue.max(1),
            line: line.clone(),
            board: Arc::clone(&board),
            patience: inner.patience.clone(),
            tracker: inner.tracker.clone(),
            runtime: Handle::current(),
            gone: gone.clone(),
            state: Mutex::default(),
        });
        let actor = Actor {
            id,
            lifecycle: Lifecycle::new(spec.mode()),
            policy: Arc::clone(&inner.policy),
            launcher,
            doors: Arc::clone(&inner.doors),
            board: Arc::clone(&board),
            line_out,
            channel_out,
            running_out: Arc::clone(&running),
            mail: inbox,
            to_self: mail.downgrade(),
            tracker: inner.tracker.clone(),
            gone: gone.clone(),
            state: Held::default(),
        };
        inner.tracker.spawn(Box::new(actor).run());
        Ok(Session {
            shared: Arc::new(Shared {
                spec,
                mail,
                board,
                line,
                channel,
                running,
                call_deadline: inner.policy.call_deadline,
                log,
                outbox,
                gone,
            }),
        })
    }

    /// Stops the plugin, closes its line and forgets the session. Its files, state and logs stay.
    /// Unknown ids are fine. Counterpart: `Unload`. Cancel safe: the stop goes on, the session stays.
    pub async fn unload(&self, id: InstallationId) {
        let Some(session) = self.session(id) else {
            return;
        };
        let stopped = session.stop_with(CloseCause::closed()).await;
        // Before the session ends: whoever loads it anew then must not have it taken away.
        if let (Ok(()), Some(runtime), Mode::Supervised) =
            (stopped, &self.inner.runtime, session.mode())
            && let Err(failure) = runtime.unloaded(id).await
        {
            tracing::error!(%id, error = failure.message, "what an unloaded plugin used could not be given back");
        }
        self.end(&session).await;
    }

    /// Loads this in place of what is loaded under its id: another version of the package, another environment. Stops
    /// the plugin and ends its session first; the new one is inactive, and what the plugin stored is there, wherever
    /// it lives. Where nothing is loaded under the id, the same as [`Host::load`]. Cancel safe: the old session may be
    /// gone then, and the new one not there.
    ///
    /// # Errors
    /// As [`Host::load`]; the old session is gone then.
    pub async fn upgrade(&self, spec: Spec) -> Result<Session, LoadError> {
        if let Some(session) = self.session(spec.id) {
            let _ = session.stop_with(CloseCause::closed()).await;
            self.end(&session).await;
        }
        self.load(spec)
    }

    /// Ends a session that was stopped, and forgets it.
    async fn end(&self, session: &Session) {
        let id = session.id();
        // Fails when it has ended already.
        let _ = session.ask(Ask::End).await;
        // A start may have slipped in between; whatever it made is gone then, too.
        session.shared.mail.closed().await;
        let mut sessions = self.sessions_mut();
        // Somebody may have loaded it anew meanwhile.
        if sessions
            .get(&id)
            .is_some_and(|now| Arc::ptr_eq(&now.shared, &session.shared))
        {
            sessions.remove(&id);
            self.inner.doors.close_external(id);
        }
    }

    /// Removes everything of an installation: the session as [`Host::unload`] does, then its
    /// files, state and logs. Where supervised plugins have no place (`none`) there are none.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub async fn uninstall(&self, id: InstallationId) -> Result<(), Failure> {
        self.unload(id).await;
        match &self.inner.runtime {
            Some(runtime) => runtime.remove(id).await,
            None => Ok(()),
        }
    }
}

/// How connections to plugins that serve behave: as the lines of those that dial in.
fn settings(policy: &Policy) -> Settings {
    let mut settings = Settings::default();
    settings.max_message_size = policy.max_message;
    settings.keep_alive = KeepAlive {
        interval: Some(policy.heartbeat),
        timeout: policy.dead_after.saturating_sub(policy.heartbeat),
        while_idle: true,
    };
    settings
}
