//! What the handles and the tasks of one line share.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jackfield_wire::{CloseCause, Xid};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bell::{Bell, For};
use crate::call::CallError;
use crate::heart::Signs;
use crate::inbound::Inbound;
use crate::options::Options;
use crate::outlet::{Outgoing, Outlet};
use crate::pending::{Forgotten, Pending};
use crate::pulse::later;
use crate::raw_json::RawJson;
use crate::v1;

/// How long the other side may leave all of [`REPLIES`](crate::outlet::REPLIES) unread.
const REPLY_PATIENCE: Duration = Duration::from_secs(2);

/// One line, seen by its handles and its tasks.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) options: Options,
    pub(crate) inbound: Inbound,
    /// Cancelled at the end.
    pub(crate) over: CancellationToken,
    /// The tasks of this line.
    pub(crate) tasks: TaskTracker,
    /// The largest message that the other side takes.
    pub(crate) max_out: AtomicUsize,
    /// Rung for every sign of life.
    pub(crate) heard: Notify,
    /// When it was last heard, for its heart.
    pub(crate) signs: Signs,
    /// What its reader is told.
    pub(crate) bell: Bell,
    pending: Mutex<Pending>,
    /// Why, and when. Set before `over` is cancelled.
    ended: OnceLock<(CloseCause, Instant)>,
    /// The other side is known not to be there: no use to wait for its farewell.
    dead: AtomicBool,
    close_code: AtomicU16,
    /// What waits to be written.
    pub(crate) outlet: Outlet,
}

/// Ends the line when one of its tasks is gone before the line is: when it panicked, or when its
/// runtime is being shut down. Without it, calls would wait for what no longer exists.
#[derive(Debug)]
pub(crate) struct Watched(pub(crate) Arc<Line>);

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0
                .end_dead(&CloseCause::failed("a task of this line was dropped"));
        }
    }
}

impl Line {
    pub(crate) fn new(options: Options) -> Self {
        let outlet = Outlet::new(options.limits.queue);
        Self {
            inbound: Inbound::new(options.limits.inbound_calls),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
            max_out: AtomicUsize::new(options.limits.max_out),
            heard: Notify::new(),
            signs: Signs::new(),
            bell: Bell::default(),
            pending: Mutex::new(Pending::new()),
            ended: OnceLock::new(),
            dead: AtomicBool::new(false),
            close_code: AtomicU16::new(0),
            outlet,
            options,
        }
    }

    pub(crate) fn speaks_v1(&self) -> bool {
        self.options.client.speaks_v1
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended. Costs less than to ask the token.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Whether several calls are under way, in either direction.
    pub(crate) fn is_busy(&self) -> bool {
        self.inbound.running() > 0 || self.pending().len() > 1
    }

    /// Ends the line; only the first cause counts.
    pub(crate) fn end(&self, cause: &CloseCause) {
        if self.ended.set((cause.clone(), Instant::now())).is_ok() {
            tracing::debug!(%cause, "line ended");
            let waiting = self.pending().close(cause);
            self.over.cancel();
            self.inbound.end();
            self.bell.ring(For::Over);
            self.outlet.end();
            self.tasks.close();
            // Whoever is told finds the line closed.
            for reply in waiting {
                reply.send(Err::<RawJson, _>(CallError::Closed(cause.clone())));
            }
        }
    }

    /// Ends the line whose other side is known not to be there any more.
    pub(crate) fn end_dead(&self, cause: &CloseCause) {
        self.dead.store(true, Ordering::SeqCst);
        self.end(cause);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub(crate) fn cause(&self) -> Option<CloseCause> {
        self.ended.get().map(|(cause, _)| cause.clone())
    }

    /// Until when the end of this line may take; now, while it is open.
    pub(crate) fn grace_ends(&self) -> Instant {
        let ended = self.ended.get().map(|(_, at)| *at);
        later(ended.unwrap_or_else(Instant::now), self.options.close_grace)
    }

    pub(crate) fn set_close_code(&self, code: u16) {
        self.close_code.store(code, Ordering::SeqCst);
    }

    pub(crate) fn close_code(&self) -> Option<u16> {
        Some(self.close_code.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }

    /// Puts a message into the queue of calls and answers if there is room.
    pub(crate) fn try_queue(&self, message: Outgoing) {
        if let Some(place) = self.outlet.try_place() {
            place.send(message);
        }
    }

    /// Has the reader's own answer written. Waits only for a peer that reads nothing at all, and
    /// then not for long.
    ///
    /// # Errors
    /// The cause with which such a line is to be ended.
    pub(crate) async fn reply(&self, text: String) -> Result<(), CloseCause> {
        let place = match self.outlet.try_reply_place() {
            Some(place) => Some(place),
            None => tokio::select! {
                place = timeout(REPLY_PATIENCE, self.outlet.reply_place()) => match place {
                    Ok(place) => place,
                    Err(_) => return Err(CloseCause::failed("does not read its answers")),
                },
                () = self.over.cancelled() => None,
            },
        };
        if let Some(place) = place {
            place.send(Outgoing::Answer(text.into()));
        }
        Ok(())
    }

    /// Says something that peers of the original contract must never see.
    pub(crate) fn note_v1(&self, method: &str, params: &impl serde::Serialize) {
        if self.speaks_v1()
            && !self.is_over()
            && let Some(place) = self.outlet.try_reply_place()
        {
            place.send(Outgoing::Note(v1::note(method, params).into()));
        }
    }

    /// The answer to a call is here. `false`: nobody waits for it.
    pub(crate) fn settle(&self, id: Xid, outcome: Result<impl Into<RawJson>, CallError>) -> bool {
        let reply = self.pending().settle(id);
        reply.is_some_and(|reply| reply.send(outcome))
    }

    /// A caller has gone, with or without its answer. `true`: without.
    pub(crate) fn forget(&self, id: Xid) -> bool {
        let forgotten = self.pending().forget(id);
        if forgotten == Forgotten::Sent {
            self.note_v1(v1::CANCEL, &serde_json::json!({ "id": id }));
        }
        forgotten != Forgotten::WasGone
    }
}
