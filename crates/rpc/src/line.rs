//! What the handles and the tasks of one line share.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_wire::{CloseCause, Xid};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::heart::Signs;
use crate::inbound::Inbound;
use crate::options::Options;
use crate::pending::{Forgotten, Pending};
use crate::v1;

/// Answers that the reader makes by itself, before the writer has taken them. The reader never
/// waits in the queue of calls and answers: whoever fills that would stop it.
const REPLIES: usize = 8192;
/// How long the other side may leave all of [`REPLIES`] unread.
const REPLY_PATIENCE: Duration = Duration::from_secs(2);

/// One line, seen by its handles and its tasks.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) options: Options,
    pub(crate) inbound: Inbound,
    /// Cancelled at the end; the tokens of inbound calls are its children.
    pub(crate) over: CancellationToken,
    /// The tasks of this line.
    pub(crate) tasks: TaskTracker,
    /// The largest message that the other side takes.
    pub(crate) max_out: AtomicUsize,
    /// Rung for every sign of life.
    pub(crate) heard: Notify,
    /// What its heart knows of it.
    pub(crate) signs: Arc<Signs>,
    pending: Mutex<Pending>,
    ended: watch::Sender<Option<CloseCause>>,
    /// The other side is known not to be there: no use to wait for its farewell.
    dead: AtomicBool,
    close_code: AtomicU16,
    queue: mpsc::Sender<Outgoing>,
    replies: mpsc::Sender<Outgoing>,
}

/// Ends the line when one of its tasks is gone before the line is: when it panicked, or when its
/// runtime is being shut down. Without it, calls would wait for what no longer exists.
#[derive(Debug)]
pub(crate) struct Watched(pub(crate) Arc<Line>);

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.0.over.is_cancelled() {
            self.0
                .end_dead(&CloseCause::failed("a task of this line was dropped"));
        }
    }
}

/// Where the writer takes messages from.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    pub(crate) replies: mpsc::Receiver<Outgoing>,
}

/// A message to be written.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Written only if its caller still waits.
    Call(Xid, Utf8Bytes),
    /// Written even when the line is being closed.
    Answer(Utf8Bytes),
    /// Written if there is still use for it.
    Note(Utf8Bytes),
}

impl Line {
    pub(crate) fn new(options: Options) -> (Self, Queues) {
        let (queue, from_queue) = mpsc::channel(options.limits.queue.max(1));
        let (replies, from_replies) = mpsc::channel(REPLIES);
        let line = Self {
            inbound: Inbound::new(options.limits.inbound_calls),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
            max_out: AtomicUsize::new(options.limits.max_out),
            heard: Notify::new(),
            signs: Arc::new(Signs::new()),
            pending: Mutex::new(Pending::new()),
            ended: watch::Sender::new(None),
            dead: AtomicBool::new(false),
            close_code: AtomicU16::new(0),
            queue,
            replies,
            options,
        };
        let queues = Queues {
            queue: from_queue,
            replies: from_replies,
        };
        (line, queues)
    }

    pub(crate) fn speaks_v1(&self) -> bool {
        self.options.client.speaks_v1
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the line; only the first cause counts.
    pub(crate) fn end(&self, cause: &CloseCause) {
        let first = self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(cause.clone());
            }
            first
        });
        if first {
            tracing::debug!(%cause, "line ended");
            self.pending().close(cause);
            self.over.cancel();
            self.tasks.close();
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
        self.ended.borrow().clone()
    }

    pub(crate) fn watch_end(&self) -> watch::Receiver<Option<CloseCause>> {
        self.ended.subscribe()
    }

    pub(crate) fn set_close_code(&self, code: u16) {
        self.close_code.store(code, Ordering::SeqCst);
    }

    pub(crate) fn close_code(&self) -> Option<u16> {
        Some(self.close_code.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }

    /// A place in the queue of calls and answers; `None` when nothing is written any more.
    pub(crate) async fn place(&self) -> Option<mpsc::Permit<'_, Outgoing>> {
        self.queue.reserve().await.ok()
    }

    /// Puts a message into the queue of calls and answers if there is room.
    pub(crate) fn try_queue(&self, message: Outgoing) {
        let _ = self.queue.try_send(message);
    }

    /// Has the reader's own answer written. Waits only for a peer that reads nothing at all, and
    /// then not for long.
    ///
    /// # Errors
    /// The cause with which such a line is to be ended.
    pub(crate) async fn reply(&self, text: String) -> Result<(), CloseCause> {
        match self.replies.try_send(Outgoing::Answer(text.into())) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(message)) => tokio::select! {
                sent = timeout(REPLY_PATIENCE, self.replies.send(message)) => match sent {
                    Ok(_) => Ok(()),
                    Err(_) => Err(CloseCause::failed("does not read its answers")),
                },
                () = self.over.cancelled() => Ok(()),
            },
        }
    }

    /// Says something that peers of the original contract must never see.
    pub(crate) fn note_v1(&self, method: &str, params: &impl serde::Serialize) {
        if self.speaks_v1() && !self.over.is_cancelled() {
            let _ = self
                .replies
                .try_send(Outgoing::Note(v1::note(method, params).into()));
        }
    }

    /// A caller has gone, with or without its answer.
    pub(crate) fn forget(&self, id: Xid) {
        let forgotten = self.pending().forget(id);
        if forgotten == Forgotten::Sent {
            self.note_v1(v1::CANCEL, &serde_json::json!({ "id": id }));
        }
    }
}
