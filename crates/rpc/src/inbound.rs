//! The calls of the other side that run here: how many, and how one is taken back.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use jackfield_wire::{Fault, frame};
use serde_json::value::RawValue;
use slab::Slab;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tokio::time::timeout;

use crate::duplex::{LARGE, Pieces};
use crate::line::Line;
use crate::methods::{Answer, Call, Handler};
use crate::outlet::Outgoing;
use crate::raw_json::RawJson;
use crate::served::Served;
use crate::trace;

/// An empty table keeps room for this many.
const KEPT: usize = 64;

/// Inbound calls in flight.
#[derive(Debug)]
pub(crate) struct Inbound {
    most: usize,
    table: Mutex<Table>,
    /// Rung when none runs any more.
    idle: Notify,
}

#[derive(Debug, Default)]
struct Table {
    calls: Slab<Arc<Served>>,
    /// No more are taken, for this reason.
    closed: Option<Closed>,
}

#[derive(Debug, Clone, Copy)]
enum Closed {
    Draining,
    Over,
}

impl Inbound {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            table: Mutex::default(),
            idle: Notify::new(),
        }
    }

    /// How many run now.
    pub(crate) fn running(&self) -> usize {
        self.table().calls.len()
    }

    fn enter(&self, id: Option<&RawValue>) -> Result<(usize, Arc<Served>), Fault> {
        let mut table = self.table();
        let refusal = match table.closed {
            Some(Closed::Draining) => {
                "this side is about to hang up and takes no more calls".into()
            }
            Some(Closed::Over) => "the line has ended".into(),
            None if table.calls.len() >= self.most => {
                let most = self.most;
                format!("busy: {most} calls of yours are in flight, and no more may be")
            }
            None => {
                let served = Arc::new(Served::new(id));
                return Ok((table.calls.insert(Arc::clone(&served)), served));
            }
        };
        Err(Fault::new(Fault::BUSY, refusal))
    }

    fn leave(&self, key: usize) {
        let mut table = self.table();
        table.calls.try_remove(key);
        let last = table.calls.is_empty();
        if last && table.calls.capacity() > KEPT {
            table.calls = Slab::new();
        }
        drop(table);
        if last {
            self.idle.notify_waiters();
        }
    }

    /// Takes no more calls and waits for those that run.
    pub(crate) async fn drain(&self, within: Duration) -> bool {
        self.table().closed.get_or_insert(Closed::Draining);
        timeout(within, self.idle()).await.is_ok()
    }

    /// Waits until none runs. Cancel safe.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// The other side takes a call back.
    pub(crate) fn cancel(&self, id: &RawValue) {
        let same = |of: &RawValue| of.get() == id.get();
        let found: Vec<Arc<Served>> = {
            let table = self.table();
            let calls = table.calls.iter().map(|(_, served)| served);
            calls
                .filter(|served| served.id.as_deref().is_some_and(same))
                .cloned()
                .collect()
        };
        found.iter().for_each(|served| served.cancel());
    }

    /// The line has ended, and all that runs with it.
    pub(crate) fn end(&self) {
        let running: Vec<Arc<Served>> = {
            let mut table = self.table();
            table.closed = Some(Closed::Over);
            table
                .calls
                .iter()
                .map(|(_, served)| Arc::clone(served))
                .collect()
        };
        running.iter().for_each(|served| served.cancel());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places for inbound calls, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    key: usize,
    pub(crate) served: Arc<Served>,
}

impl Place {
    /// A place to run one call, or why there is none. To be taken by the reader: what it reads next
    /// may take the call back.
    pub(crate) fn take(line: &Arc<Line>, id: Option<&RawValue>) -> Result<Self, Fault> {
        let (key, served) = line.inbound.enter(id)?;
        let line = Arc::clone(line);
        Ok(Self { line, key, served })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.inbound.leave(self.key);
    }
}

/// A call's place in the order of the calls of its method.
pub(crate) enum Turn {
    Now(OwnedSemaphorePermit),
    Waits(Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>),
}

impl Turn {
    /// Takes a place at the end.
    pub(crate) fn take(turns: &Arc<Semaphore>) -> Self {
        let mut turn = Box::pin(Arc::clone(turns).acquire_owned());
        // A semaphore is fair to those that have asked, which is done by the first poll; with a
        // budget the poll might not ask.
        match unconstrained(turn.as_mut()).now_or_never() {
            Some(Ok(turn)) => Self::Now(turn),
            _ => Self::Waits(turn),
        }
    }

    async fn come(self) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Now(turn) => Some(turn),
            Self::Waits(turn) => turn.await.ok(),
        }
    }
}

/// Runs one call to its end and has its answer written: the handler's, or an error when the
/// handler panicked or the call was taken back. Nothing is answered once the line is over.
pub(crate) fn serve<C: Send + 'static>(
    place: Place,
    turn: Option<Turn>,
    handler: Handler<C>,
    call: Call<C>,
    params: Option<RawJson>,
) -> impl Future<Output = ()> + Send + 'static {
    let method = Arc::clone(&call.method);
    let traceparent = call.traceparent;
    // The handler's own first statements may panic too.
    let running = AssertUnwindSafe(trace::within(traceparent, async move {
        let _turn = match turn {
            Some(turn) => turn.come().await,
            None => None,
        };
        handler(call, params).await
    }))
    .catch_unwind();
    // In two pieces: what an allocator has at hand for each is larger than half of both together.
    let running = Box::pin(running);
    async move {
        let Place { line, served, .. } = &place;
        let outcome = tokio::select! {
            biased;
            () = served.cancelled() => Err(Fault::new(Fault::CANCELLED, "the call was cancelled")),
            outcome = running => {
                outcome.unwrap_or_else(|panic| Err(panicked(&method, panic.as_ref())))
            }
        };
        let limit = line.max_out.load(Ordering::SeqCst);
        let answer = answer(served.id.as_deref(), &method, outcome, limit);
        let queued = match line.outlet.try_place() {
            _ if line.is_over() => None,
            Some(queued) => Some(queued),
            None => tokio::select! {
                biased;
                () = line.over.cancelled() => None,
                queued = line.outlet.place() => queued,
            },
        };
        if let Some(queued) = queued {
            queued.send(answer);
        }
    }
}

fn answer(
    id: Option<&RawValue>,
    method: &str,
    outcome: Result<Answer, Fault>,
    limit: usize,
) -> Outgoing {
    let answer = match outcome {
        Ok(Answer::Result(result)) if result.get().len() >= LARGE => {
            Outgoing::Large(Box::new(large(id, method, result)))
        }
        Ok(Answer::Result(result)) => Outgoing::Answer(frame::answer(id, method, &result).into()),
        Ok(Answer::Text(text)) => Outgoing::Answer(text.into()),
        Err(fault) => Outgoing::Answer(frame::response(id, Err(&fault)).into()),
    };
    let size = match &answer {
        Outgoing::Large(answer) => answer.size(),
        Outgoing::Answer(text) | Outgoing::Call(_, text) | Outgoing::Note(text) => text.len(),
    };
    if size <= limit {
        return answer;
    }
    let message = format!("the answer has {size} bytes; the other side takes at most {limit}");
    Outgoing::Answer(frame::response(id, Err(&Fault::internal(message))).into())
}

fn large(id: Option<&RawValue>, method: &str, result: RawJson) -> Pieces {
    let (head, rest) = frame::answer_around(id, method, &result);
    let replaced = result.get().len() - rest.len();
    Pieces {
        head,
        body: Bytes::from(result).split_off(replaced),
        tail: Bytes::from_static(b"}"),
    }
}

fn panicked(method: &str, panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(method, panic = text, "a method panicked");
    Fault::internal(format!("the method {method:?} panicked"))
}
