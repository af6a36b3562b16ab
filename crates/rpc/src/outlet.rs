//! What waits to be written, and for whom its writer waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use jackfield_wire::Xid;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Answers that the reader makes by itself, before the writer has taken them. The reader never
/// waits in the queue of calls and answers: whoever fills that would stop it.
pub(crate) const REPLIES: usize = 8192;
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
pub(crate) struct Taker<'a>(&'a Outlet);

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
        self.change(|inner| inner.ping = true);
    }

    /// Tells the writer that the line has ended.
    pub(crate) fn end(&self) {
        self.change(|inner| inner.over = true);
    }

    /// The writer's end; there is one writer.
    pub(crate) fn taker(&self) -> Taker<'_> {
        Taker(self)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        let writer = inner.writer.take();
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
            if inner.closed {
                return;
            }
            match lane {
                Lane::Queue => inner.queue.push_back(message),
                Lane::Replies => inner.replies.push_back(message),
            }
        });
    }
}

impl Taker<'_> {
    /// What to do next: the end of the line before all else, the reader's answers before a sign of
    /// life, that before calls. Cancel safe.
    pub(crate) async fn next(&mut self) -> Next {
        poll_fn(|cx| {
            let mut inner = self.0.lock();
            if inner.over {
                return Poll::Ready(Next::Over);
            }
            if let Some(message) = inner.pop(Lane::Replies) {
                drop(inner);
                self.0.replies.add_permits(1);
                return Poll::Ready(Next::Write(message));
            }
            if std::mem::take(&mut inner.ping) {
                return Poll::Ready(Next::Ping);
            }
            if let Some(message) = inner.pop(Lane::Queue) {
                drop(inner);
                self.0.queue.add_permits(1);
                return Poll::Ready(Next::Write(message));
            }
            match &mut inner.writer {
                Some(writer) => writer.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// The next message, if there is one now.
    pub(crate) fn try_next(&mut self) -> Option<Outgoing> {
        let mut inner = self.0.lock();
        for (lane, places) in [
            (Lane::Replies, &self.0.replies),
            (Lane::Queue, &self.0.queue),
        ] {
            if let Some(message) = inner.pop(lane) {
                drop(inner);
                places.add_permits(1);
                return Some(message);
            }
        }
        None
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        let left = (
            std::mem::take(&mut inner.queue),
            std::mem::take(&mut inner.replies),
            inner.writer.take(),
        );
        drop(inner);
        drop(left);
        self.0.queue.close();
        self.0.replies.close();
    }
}

impl Inner {
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
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn note(text: &str) -> Outgoing {
        Outgoing::Note(text.into())
    }

    fn text(message: &Outgoing) -> &str {
        match message {
            Outgoing::Call(_, text) | Outgoing::Answer(text) | Outgoing::Note(text) => text,
        }
    }

    fn taken(taker: &mut Taker<'_>) -> Option<String> {
        Some(match taker.next().now_or_never()? {
            Next::Over => "over".to_owned(),
            Next::Ping => "ping".to_owned(),
            Next::Write(message) => text(&message).to_owned(),
        })
    }

    #[test]
    fn the_readers_answers_come_first_and_the_end_before_all() {
        let outlet = Outlet::new(8);
        let mut taker = outlet.taker();
        for n in 0..2 {
            outlet.try_place().unwrap().send(note(&format!("call {n}")));
            outlet.ping();
            let place = outlet.try_reply_place().unwrap();
            place.send(note(&format!("reply {n}")));
        }
        let expected = ["reply 0", "reply 1", "ping", "call 0"];
        for expected in expected {
            assert_eq!(taken(&mut taker).as_deref(), Some(expected));
        }
        outlet.end();
        assert_eq!(taken(&mut taker).as_deref(), Some("over"));
        // What is left can still be had.
        assert_eq!(text(&taker.try_next().unwrap()), "call 1");
        assert!(taker.try_next().is_none());
    }

    #[tokio::test]
    async fn a_full_queue_has_others_wait_in_their_order() {
        let outlet = Outlet::new(1);
        let mut taker = outlet.taker();
        outlet.place().await.unwrap().send(note("0"));
        assert!(outlet.try_place().is_none());
        let send = async |name: &str| outlet.place().await.unwrap().send(note(name));
        let take = async {
            for n in 0..3 {
                let Next::Write(message) = taker.next().await else {
                    panic!("a message");
                };
                assert_eq!(text(&message), n.to_string());
            }
        };
        tokio::join!(send("1"), send("2"), take);
        // A place that is not used is free again.
        drop(outlet.try_place().unwrap());
        assert!(outlet.try_place().is_some());
    }

    #[tokio::test]
    async fn the_writer_is_woken_by_all_that_concerns_it() {
        let outlet = Outlet::new(1);
        let mut taker = outlet.taker();
        for what in ["call", "reply", "ping", "over"] {
            let tell = async {
                tokio::task::yield_now().await;
                match what {
                    "call" => outlet.try_place().unwrap().send(note(what)),
                    "reply" => outlet.try_reply_place().unwrap().send(note(what)),
                    "ping" => outlet.ping(),
                    _ => outlet.end(),
                }
            };
            let (next, ()) = tokio::join!(taker.next(), tell);
            assert_eq!(
                matches!(next, Next::Write(_)),
                matches!(what, "call" | "reply")
            );
        }
    }

    #[tokio::test]
    async fn without_a_writer_nothing_is_kept_and_nobody_waits() {
        let outlet = Outlet::new(2);
        let place = outlet.place().await.unwrap();
        outlet.try_place().unwrap().send(note("1"));
        let leave = async {
            tokio::task::yield_now().await;
            drop(outlet.taker());
        };
        let (waited, ()) = tokio::join!(outlet.place(), leave);
        assert!(waited.is_none());
        place.send(note("2"));
        assert!(outlet.place().await.is_none() && outlet.reply_place().await.is_none());
        assert!(outlet.taker().try_next().is_none());
    }

    #[test]
    fn a_burst_leaves_no_room_behind() {
        let outlet = Outlet::new(1000);
        let mut taker = outlet.taker();
        for _ in 0..1000 {
            outlet.try_place().unwrap().send(note("x"));
        }
        while taker.try_next().is_some() {}
        assert!(outlet.lock().queue.capacity() <= KEPT);
        assert_eq!(outlet.queue.available_permits(), 1000);
    }
}
