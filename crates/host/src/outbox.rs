//! The events of one session, handed on one after the other.
//!
//! As a rule no task waits for an acknowledgement: an event is posted, and whoever reads the answer
//! posts the next. A task is started for what has to be waited for: a line, a place in its queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jackfield_rpc::{CallError, CallOptions, Peer, Prepared, Receipt};
use jackfield_wire::InstallationId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::wanted;
use crate::patience::{Patience, Waits};
use crate::status::{Status, StatusBoard};

/// Hands events on, each once the one before it is acknowledged. One that the line broke under is
/// handed on once more over the next line, unless the process ended with it: an event that kills a
/// plugin would kill it again until it is given up. One that was refused, or not acknowledged in
/// time, is not repeated.
pub(crate) struct Outbox {
    pub(crate) id: InstallationId,
    /// Events that may wait behind the one that is being handed on.
    pub(crate) most: usize,
    pub(crate) line: watch::Receiver<Option<Peer>>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) patience: Patience,
    pub(crate) tracker: TaskTracker,
    pub(crate) runtime: Handle,
    /// Cancelled when the session has ended; handles of it may outlive that.
    pub(crate) gone: CancellationToken,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    now: Now,
    /// Empty where it is idle.
    waiting: VecDeque<Arc<Prepared>>,
    /// It will be looked at in time.
    watched: bool,
}

#[derive(Default)]
enum Now {
    /// No event is under way.
    #[default]
    Idle,
    /// One was sent, and is not acknowledged yet.
    Posted(Posted),
    /// A task is at it.
    Walked,
    /// The session has ended.
    Over,
}

struct Posted {
    event: Arc<Prepared>,
    /// Not one that would keep the line open.
    peer: Peer,
    pid: Option<u32>,
    until: Instant,
}

/// What a task is to hand on.
struct Walk {
    event: Arc<Prepared>,
    /// The process that an earlier line broke under, where there was one.
    broken: Option<Option<u32>>,
}

/// An empty queue keeps room for this many.
const KEPT: usize = 16;

impl Outbox {
    /// Takes an event; `false`: too many wait.
    pub(crate) fn offer(self: &Arc<Self>, event: &Arc<Prepared>) -> bool {
        let mut state = self.lock();
        match state.now {
            Now::Idle => {}
            Now::Over => return false,
            Now::Posted(_) | Now::Walked => {
                let room = state.waiting.len() < self.most;
                if room {
                    state.waiting.push_back(Arc::clone(event));
                }
                return room;
            }
        }
        if !self.post(&mut state, event) {
            let event = Arc::clone(event);
            let broken = None;
            self.walk(&mut state, Walk { event, broken });
        }
        true
    }

    /// Sends it, if that can be done without waiting. Under the lock: who is told of the answer
    /// waits for that.
    fn post(self: &Arc<Self>, state: &mut State, event: &Arc<Prepared>) -> bool {
        let Some(peer) = self.line.borrow().as_ref().map(Peer::uncounted) else {
            return false;
        };
        let pid = self.board.pid();
        if !peer.post(event, Arc::clone(self) as Arc<dyn Receipt>) {
            return false;
        }
        let until = self.patience.until();
        if !state.watched {
            state.watched = true;
            let weak: Weak<Self> = Arc::downgrade(self);
            self.patience.watch(until, weak, &self.runtime);
        }
        state.now = Now::Posted(Posted {
            event: Arc::clone(event),
            peer,
            pid,
            until,
        });
        true
    }

    /// The next event is posted, or returned for a task to hand on. `None`: there is nothing to do.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Walk> {
        let Some(event) = state.waiting.pop_front() else {
            if state.waiting.capacity() > KEPT {
                state.waiting = VecDeque::new();
            }
            state.now = Now::Idle;
            return None;
        };
        if self.post(state, &event) {
            return None;
        }
        let broken = None;
        Some(Walk { event, broken })
    }

    /// Starts a task.
    fn walk(self: &Arc<Self>, state: &mut State, first: Walk) {
        state.now = Now::Walked;
        let outbox = Arc::clone(self);
        let walk = async move {
            let mut next = Some(first);
            let walking = async {
                while let Some(Walk { event, broken }) = next.take() {
                    outbox.hand_on(&event, broken).await;
                    let mut state = outbox.lock();
                    next = outbox.next(&mut state);
                }
            };
            if outbox.gone.run_until_cancelled(walking).await.is_none() {
                let mut state = outbox.lock();
                state.now = Now::Over;
                let waiting = std::mem::take(&mut state.waiting);
                drop(state);
                drop(waiting);
            }
        };
        self.tracker.spawn_on(walk, &self.runtime);
    }

    /// Hands one event on, however long that takes.
    async fn hand_on(&self, event: &Prepared, mut broken: Option<Option<u32>>) {
        let id = self.id;
        let (mut line, mut status) = (self.line.clone(), self.board.subscribe());
        loop {
            let Some(peer) = open_line(&mut line, &mut status).await else {
                tracing::debug!(%id, "an event is dropped: the plugin is not wanted any more");
                return;
            };
            let pid = status.borrow().pid;
            if broken.is_some_and(|broken| broken != pid) {
                tracing::warn!(%id, "an event is dropped: the plugin's process ended at it");
                return;
            }
            match peer.call_prepared(event, CallOptions::default()).await {
                Ok(_) => return,
                Err(CallError::Closed(_)) if broken.is_none() => broken = Some(pid),
                Err(error) => return self.not_taken(&error),
            }
        }
    }

    fn not_taken(&self, error: &CallError) {
        tracing::warn!(id = %self.id, %error, "a plugin did not take an event");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt for Outbox {
    fn came(self: Arc<Self>, outcome: Result<(), CallError>) {
        let mut state = self.lock();
        let Now::Posted(Posted { event, pid, .. }) = &state.now else {
            return;
        };
        let walk = match outcome {
            Err(CallError::Closed(_)) => Some(Walk {
                event: Arc::clone(event),
                broken: Some(*pid),
            }),
            outcome => {
                if let Err(error) = outcome {
                    self.not_taken(&error);
                }
                self.next(&mut state)
            }
        };
        if let Some(walk) = walk {
            self.walk(&mut state, walk);
        }
    }
}

impl Waits for Outbox {
    fn look(self: Arc<Self>, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        if let Now::Posted(posted) = &state.now
            && posted.until <= now
            // If not, somebody is being told.
            && posted.peer.take_back(&posted.event)
        {
            self.not_taken(&CallError::Deadline {
                method: "event".to_owned(),
                after: self.patience.after(),
            });
            if let Some(walk) = self.next(&mut state) {
                self.walk(&mut state, walk);
            }
        }
        let until = match &state.now {
            Now::Posted(posted) => Some(posted.until).filter(|until| *until > now),
            Now::Idle | Now::Walked | Now::Over => None,
        };
        state.watched = until.is_some();
        until
    }
}

/// The line once it is open; `None` when the plugin is not wanted any more.
async fn open_line(
    line: &mut watch::Receiver<Option<Peer>>,
    status: &mut watch::Receiver<Status>,
) -> Option<Peer> {
    loop {
        // One that has just broken may still be there; an event that it never carried is not lost
        // on it.
        let open = line.borrow_and_update().clone().filter(Peer::is_open);
        if open.is_some() {
            return open;
        }
        if !wanted(status.borrow_and_update().state) {
            return None;
        }
        tokio::select! {
            changed = line.changed() => changed.ok()?,
            changed = status.changed() => changed.ok()?,
        }
    }
}

#[cfg(test)]
mod tests;
