//! One installed plugin as the application sees it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jackfield_grpc::Channel;
use jackfield_rpc::{CallError as RpcError, CallOptions, Peer, RawJson};
use jackfield_wire::manifest::Transport;
use jackfield_wire::{
    ActiveState, CloseCause, InstallationId, Manifest, Method, Mode, ReportedState,
};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::ask::Ask;
use crate::channel::SessionChannel;
use crate::failure::Failure;
use crate::log::{LogQuery, LogStore, LogStream, LogsError};
use crate::outbox::Outbox;
use crate::runtime::{Running, Usage};
use crate::spec::Spec;
use crate::status::{Status, StatusBoard, Transition};

/// One installed plugin: its status, whether it is wanted, and calls to it.
///
/// A cheap clone; all clones are the same session. It outlives nothing: after
/// [`Host::unload`](crate::Host::unload) every call says so. Counterpart in Storyden's plugin
/// runner: `Session`.
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) spec: Spec,
    pub(crate) mail: mpsc::Sender<Box<Ask>>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) line: watch::Receiver<Option<Peer>>,
    /// Only of a plugin that serves gRPC.
    pub(crate) channel: Option<watch::Receiver<Option<Channel>>>,
    /// The latest process; gone, or ended, when it is not there any more.
    pub(crate) running: Arc<Mutex<Option<Weak<dyn Running>>>>,
    /// Of calls over the channel that have none.
    pub(crate) call_deadline: Duration,
    pub(crate) log: Option<Arc<LogStore>>,
    pub(crate) outbox: Arc<Outbox>,
    /// Cancelled when the session has ended.
    pub(crate) gone: CancellationToken,
}

/// A session whose process the host owns. Counterpart: `Supervised`.
#[derive(Debug, Clone)]
pub struct Supervised {
    session: Session,
}

/// The session was unloaded, or its host is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended: its plugin was unloaded or its host has shut down")]
pub struct Ended;

/// Why a plugin did not become active.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It was given up.
    #[error("the plugin failed: {0}")]
    Errored(Box<Failure>),
    /// Somebody stopped it.
    #[error("the plugin was stopped before it became active")]
    Stopped,
    /// The session was unloaded, or its host is gone.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The line is not open.
    #[error("the plugin is not running (state: {0})")]
    NotActive(ReportedState),
    /// The plugin serves gRPC.
    #[error(
        "the plugin serves gRPC and knows no JSON-RPC: it is called over Session::grpc_channel"
    )]
    Grpc,
    /// Everything that can happen to a call on an open line.
    #[error(transparent)]
    Call(#[from] RpcError),
}

impl Session {
    /// The installation. Counterpart: `ID`.
    #[must_use]
    pub fn id(&self) -> InstallationId {
        self.shared.spec.id
    }

    /// Whether the host owns its process.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.shared.spec.mode()
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.shared.spec.manifest()
    }

    /// Its process, where the host owns one. Counterpart: `Supervised`.
    #[must_use]
    pub fn supervised(&self) -> Option<Supervised> {
        (self.mode() == Mode::Supervised).then(|| Supervised {
            session: self.clone(),
        })
    }

    /// Its status, now and as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.board.subscribe()
    }

    /// The last 64 changes of state, oldest first, none left out.
    #[must_use]
    pub fn history(&self) -> Vec<Transition> {
        self.shared.board.history()
    }

    /// Says what is wanted.
    ///
    /// `Active` starts a supervised plugin, or lets an external one in when it dials; it returns
    /// once that is accepted ([`Session::ready`] waits for the line). `Inactive` ends the process
    /// or closes the line; it returns once nothing is left, after the policy's grace at the
    /// latest; where somebody started it again meanwhile, the status may say so already. Both may be called in every state, any number of times. Cancel safe: what was
    /// asked for happens all the same. Counterpart: `SetActiveState`.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn set_active_state(&self, wanted: ActiveState) -> Result<(), Ended> {
        match wanted {
            ActiveState::Active => self.start().await,
            ActiveState::Inactive => self.stop_with(CloseCause::closed()).await,
        }
    }

    /// Waits until the plugin is active. No deadline of its own: wrap it in a
    /// [`timeout`](tokio::time::timeout). Cancel safe.
    ///
    /// # Errors
    /// When it is given up, when somebody stops it, when the session ends.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let mut status = self.status();
        loop {
            if self.shared.gone.is_cancelled() {
                return Err(Ended.into());
            }
            {
                let now = status.borrow_and_update();
                match now.state {
                    ReportedState::Active => return Ok(()),
                    ReportedState::Errored => {
                        if let Some(failure) = now.error.clone() {
                            return Err(NotReady::Errored(Box::new(failure)));
                        }
                    }
                    ReportedState::Inactive => return Err(NotReady::Stopped),
                    // Stopping may lead to a new start, or to errored.
                    ReportedState::Stopping
                    | ReportedState::Starting
                    | ReportedState::Connecting
                    | ReportedState::Restarting => {}
                }
            }
            tokio::select! {
                changed = status.changed() => changed.map_err(|_| Ended)?,
                () = self.shared.gone.cancelled() => {}
            }
        }
    }

    /// Calls a method of the plugin and waits for its answer, for the policy's
    /// [`call_deadline`](crate::Policy::call_deadline) at most. Dropping the future takes the call
    /// back. Counterpart: `Send`.
    ///
    /// # Errors
    /// When the line is not open, closes, or stays silent; when the plugin answers with an error
    /// or with what is not an answer of this method.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Output, CallError> {
        Ok(self.peer()?.call::<M>(params).await?)
    }

    /// The same with a deadline of its own, and progress where the plugin sends any.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn call_with<M: Method>(
        &self,
        params: &M::Params,
        options: CallOptions,
    ) -> Result<M::Output, CallError> {
        Ok(self.peer()?.call_with::<M>(params, options).await?)
    }

    /// The same in raw JSON, for methods that are known only while the program runs. The answer of
    /// a strict plugin has the method's name under `method` beside what it answers.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn call_raw(
        &self,
        method: &str,
        params: Option<&RawValue>,
        options: CallOptions,
    ) -> Result<RawJson, CallError> {
        Ok(self.peer()?.call_raw(method, params, options).await?)
    }

    /// The way to a plugin that serves gRPC (`transport: grpc` in its manifest), valid as long as the session, over
    /// restarts too: make generated clients over it once and keep them. `None` for other plugins.
    #[must_use]
    pub fn grpc_channel(&self) -> Option<SessionChannel> {
        (self.manifest().transport == Transport::Grpc)
            .then(|| SessionChannel::new(self.clone(), self.shared.call_deadline))
    }

    /// What the plugin wrote.
    ///
    /// # Errors
    /// An external plugin's output stays where it runs.
    pub fn logs(&self, query: LogQuery) -> Result<LogStream, LogsError> {
        let store = self.shared.log.as_ref().ok_or(LogsError::External)?;
        Ok(LogStream::new(Arc::clone(store), query))
    }

    /// Calls to the plugin that wait for their answer, and calls from it that are being answered.
    #[must_use]
    pub fn open_calls(&self) -> (usize, usize) {
        let line = self.shared.line.borrow();
        line.as_ref()
            .map_or((0, 0), |peer| (peer.open_calls(), peer.inbound_calls()))
    }

    /// What the processes of the plugin take of the machine now: its own, and all that it started.
    /// `None` while none runs, and where that is not known: for plugins that somebody else runs, or
    /// that run elsewhere. Reads `/proc`, a small file for each process: tens of microseconds as a
    /// rule, and so done where it is called.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let running = {
            let latest = self.shared.running.lock();
            let latest = latest.unwrap_or_else(PoisonError::into_inner);
            latest.as_ref()?.upgrade()?
        };
        running.usage()
    }

    async fn start(&self) -> Result<(), Ended> {
        let (accepted, answer) = oneshot::channel();
        self.ask(Ask::Start(accepted)).await?;
        answer.await.map_err(|_| Ended)
    }

    pub(crate) async fn stop_with(&self, cause: CloseCause) -> Result<(), Ended> {
        let (done, answer) = oneshot::channel();
        self.ask(Ask::Stop { cause, done }).await?;
        answer.await.map_err(|_| Ended)
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<(), Ended> {
        self.shared
            .mail
            .send(Box::new(ask))
            .await
            .map_err(|_| Ended)
    }

    fn peer(&self) -> Result<Peer, CallError> {
        if self.manifest().transport == Transport::Grpc {
            return Err(CallError::Grpc);
        }
        let line = self.shared.line.borrow();
        line.clone()
            .filter(Peer::is_open)
            .ok_or_else(|| CallError::NotActive(self.status().borrow().state))
    }
}

impl Supervised {
    /// Starts the process. Running already, or on its way: nothing happens. Returns once it is
    /// accepted; what comes of it is in the status.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn start(&self) -> Result<(), Ended> {
        self.session.start().await
    }

    /// Stops the process and all that it started: interrupt, then after the policy's grace kill.
    /// Works in every state; not running is fine. Returns once nothing is left.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn stop(&self) -> Result<(), Ended> {
        self.session.stop_with(CloseCause::closed()).await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("mode", &self.mode())
            .field("state", &self.status().borrow().state)
            .finish()
    }
}
