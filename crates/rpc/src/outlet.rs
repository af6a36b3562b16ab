//! What waits to be written, and for whom its writer waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use jackfield_wire::Xid;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::duplex::Pieces;

/// Answers that the reader makes by itself, before the writer has taken them. The reader never
/// waits in the queue of calls and answers: whoever fills that would stop it.
pub(crate) const REPLIES: usize = 8192;
/// Messages that are taken together, at most.
const TOGETHER: usize = 64;
/// An empty queue keeps room for this many.
const KEPT: usize = 64;

/// Two queues of one line. They take no memory until they are used: most lines are silent.
#[derive(Debug)]
pub(crate) struct Outlet {
    inner: Mutex<Inner>,
    /// Places in the queue of calls and answers, and in that of the reader's own answers.
    queue: Semaphore,
    replies: Semaphore,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Outgoing>,
    replies: VecDeque<Outgoing>,
    /// The other side is to be asked for a sign of life.
    ping: bool,
    /// The line has ended.
    over: bool,
    /// Nothing is written any more.
    closed: bool,
    writer: Option<Waker>,
    /// The writer is woken when so many messages wait; by anything else at once.
    enough: usize,
}

/// A message to be written.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Written only if its caller still waits.
    Call(Xid, Utf8Bytes),
    /// Written even when the line is being closed.
    Answer(Utf8Bytes),
    /// The same, of a large result.
    Large(Box<Pieces>),
    /// Written if there is still use for it.
    Note(Utf8Bytes),
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) enum Next {
    Over,
    Write(Outgoing),
    Ping,
}

#[derive(Debug, Clone, Copy)]
enum Lane {
    Queue,
    Replies,
}

/// A place in one of the queues, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    outlet: &'a Outlet,
    lane: Lane,
    permit: SemaphorePermit<'a>,
}

/// The writer's end. When it is dropped nothing is taken any more.
#[derive(Debug)]
pub(crate) struct Taker<'a> {
    outlet: &'a Outlet,
    /// Taken together, to be written one after the other.
    taken: VecDeque<Outgoing>,
    /// The places in the queue and among the replies that these had. Free again when the last
    /// of them is about to be written.
    places: [usize; 2],
}

impl Outlet {
    pub(crate) fn new(queue: usize) -> Self {
        Self {
            inner: Mutex::default(),
            queue: Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS)),
            replies: Semaphore::new(REPLIES),
        }
    }

    /// A place in the queue of calls and answers; `None` when nothing is written any more. First
    /// come, first served. Cancel safe.
    pub(crate) async fn place(&self) -> Option<Place<'_>> {
        let permit = self.queue.acquire().await.ok()?;
        Some(self.taken(Lane::Queue, permit))
    }

    /// The same, if there is one now.
    pub(crate) fn try_place(&self) -> Option<Place<'_>> {
        let permit = self.queue.try_acquire().ok()?;
        Some(self.taken(Lane::Queue, permit))
    }

    /// A place among the reader's own answers; as [`place`](Self::place).
    pub(crate) async fn reply_place(&self) -> Option<Place<'_>> {
        let permit = self.replies.acquire().await.ok()?;
        Some(self.taken(Lane::Replies, permit))
    }

    /// The same, if there is one now.
    pub(crate) fn try_reply_place(&self) -> Option<Place<'_>> {
        let permit = self.replies.try_acquire().ok()?;
        Some(self.taken(Lane::Replies, permit))
    }

    fn taken<'a>(&'a self, lane: Lane, permit: SemaphorePermit<'a>) -> Place<'a> {
        let outlet = self;
        Place {
            outlet,
            lane,
            permit,
        }
    }

    /// Has the writer ask for a sign of life; asked for twice before it did, it is done once.
    pub(crate) fn ping(&self) {
        self.change(|inner| {
            inner.ping = true;
            true
        });
    }

    /// Tells the writer that the line has ended.
    pub(crate) fn end(&self) {
        self.change(|inner| {
            inner.over = true;
            true
        });
    }

    /// The writer's end; there is one writer.
    pub(crate) fn taker(&self) -> Taker<'_> {
        Taker {
            outlet: self,
            taken: VecDeque::new(),
            places: [0; 2],
        }
    }

    /// The change says whether it concerns the writer at once.
    fn change(&self, change: impl FnOnce(&mut Inner) -> bool) {
        let mut inner = self.lock();
        let writer = match change(&mut inner) || inner.waiting() >= inner.enough {
            true => inner.writer.take(),
            false => None,
        };
        drop(inner);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Puts a message there. Thrown away where nothing is written any more.
    pub(crate) fn send(self, message: Outgoing) {
        // Given back once the message is taken.
        self.permit.forget();
        let lane = self.lane;
        self.outlet.change(|inner| {
            if !inner.closed {
                match lane {
                    Lane::Queue => inner.queue.push_back(message),
                    Lane::Replies => inner.replies.push_back(message),
                }
            }
            false
        });
    }
}

impl Taker<'_> {
    /// What to do next: the end of the line before all else, the reader's answers before a sign of
    /// life, that before calls. What was taken together stays together: an answer waits for the
    /// calls that were taken before it came. Cancel safe.
    pub(crate) async fn next(&mut self) -> Next {
        poll_fn(|cx| {
            let mut inner = self.outlet.lock();
            if inner.over {
                return Poll::Ready(Next::Over);
            }
            let replies = self.places[Lane::Replies as usize] > 0 || !inner.replies.is_empty();
            if !replies && std::mem::take(&mut inner.ping) {
                return Poll::Ready(Next::Ping);
            }
            self.take(&mut inner);
            if self.taken.is_empty() {
                inner.wake(cx.waker(), 1);
            }
            drop(inner);
            match self.pop() {
                Some(message) => Poll::Ready(Next::Write(message)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Lets those speak who are about to, until so many messages wait. Cancel safe.
    pub(crate) async fn gather(&mut self, enough: usize) {
        let mut others = pin!(yield_now());
        poll_fn(|cx| {
            let mut inner = self.outlet.lock();
            if inner.over || inner.ping || self.taken.len() + inner.waiting() >= enough {
                return Poll::Ready(());
            }
            inner.wake(cx.waker(), enough.saturating_sub(self.taken.len()));
            drop(inner);
            others.as_mut().poll(cx)
        })
        .await;
    }

    /// The next message, if there is one now.
    pub(crate) fn try_next(&mut self) -> Option<Outgoing> {
        if self.taken.is_empty() {
            let outlet = self.outlet;
            self.take(&mut outlet.lock());
        }
        self.pop()
    }

    /// Takes what waits, all of it under one lock.
    fn take(&mut self, inner: &mut Inner) {
        if !self.taken.is_empty() {
            return;
        }
        let lane = match inner.replies.is_empty() {
            true => Lane::Queue,
            false => Lane::Replies,
        };
        while self.taken.len() < TOGETHER
            && let Some(message) = inner.pop(lane)
        {
            self.taken.push_back(message);
            self.places[lane as usize] += 1;
        }
    }

    fn pop(&mut self) -> Option<Outgoing> {
        let message = self.taken.pop_front();
        if self.taken.is_empty() {
            let [queue, replies] = std::mem::take(&mut self.places);
            self.outlet.queue.add_permits(queue);
            self.outlet.replies.add_permits(replies);
        }
        message
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let mut inner = self.outlet.lock();
        inner.closed = true;
        let left = (
            std::mem::take(&mut inner.queue),
            std::mem::take(&mut inner.replies),
            inner.writer.take(),
        );
        drop(inner);
        drop(left);
        self.outlet.queue.close();
        self.outlet.replies.close();
    }
}

impl Inner {
    fn waiting(&self) -> usize {
        self.queue.len() + self.replies.len()
    }

    /// Has the writer woken once so many messages wait.
    fn wake(&mut self, writer: &Waker, enough: usize) {
        self.enough = enough;
        match &mut self.writer {
            Some(known) => known.clone_from(writer),
            none => *none = Some(writer.clone()),
        }
    }

    fn pop(&mut self, lane: Lane) -> Option<Outgoing> {
        let queue = match lane {
            Lane::Queue => &mut self.queue,
            Lane::Replies => &mut self.replies,
        };
        let message = queue.pop_front()?;
        if queue.is_empty() && queue.capacity() > KEPT {
            *queue = VecDeque::new();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests;
