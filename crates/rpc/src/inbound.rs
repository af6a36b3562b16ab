//! The calls of the other side that run here: how many, and how one is taken back.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::poll_immediate;
use jackfield_wire::{Fault, frame};
use serde_json::value::RawValue;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::line::Line;
use crate::methods::{Call, Handler};
use crate::outlet::Outgoing;
use crate::trace;

/// Inbound calls in flight.
#[derive(Debug)]
pub(crate) struct Inbound {
    most: usize,
    running: AtomicUsize,
    /// Rung when none runs any more.
    idle: Notify,
    draining: AtomicBool,
    serial: AtomicU64,
    /// By the text of their ids; only for peers that may take a call back.
    by_id: Mutex<HashMap<Box<str>, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Tells two calls apart that came with the same id.
    serial: u64,
    token: CancellationToken,
}

impl Inbound {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            draining: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            by_id: Mutex::new(HashMap::new()),
        }
    }

    /// How many run now.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn enter_one(&self) -> Result<(), Fault> {
        let most = self.most;
        let entered = self
            .running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| {
                (running < most).then_some(running + 1)
            });
        if entered.is_err() {
            let message = format!("busy: {most} calls of yours are in flight, and no more may be");
            return Err(Fault::new(Fault::BUSY, message));
        }
        // After having entered: either this sees that the line is being drained, or the one that
        // drains it sees this call.
        if self.draining.load(Ordering::SeqCst) {
            self.leave_one();
            let message = "this side is about to hang up and takes no more calls";
            return Err(Fault::new(Fault::BUSY, message));
        }
        Ok(())
    }

    fn leave_one(&self) {
        if self.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Takes no more calls and waits for those that run.
    pub(crate) async fn drain(&self, within: Duration) -> bool {
        self.draining.store(true, Ordering::SeqCst);
        timeout(within, async {
            loop {
                let mut idle = pin!(self.idle.notified());
                idle.as_mut().enable();
                if self.running() == 0 {
                    return;
                }
                idle.await;
            }
        })
        .await
        .is_ok()
    }

    /// The other side takes a call back.
    pub(crate) fn cancel(&self, id: &RawValue) {
        if let Some(entry) = self.by_id().get(id.get()) {
            entry.token.cancel();
        }
    }

    fn enter(&self, id: &RawValue, token: CancellationToken) -> u64 {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        self.by_id()
            .insert(id.get().into(), Entry { serial, token });
        serial
    }

    fn leave(&self, id: &RawValue, serial: u64) {
        let mut by_id = self.by_id();
        if by_id
            .get(id.get())
            .is_some_and(|entry| entry.serial == serial)
        {
            by_id.remove(id.get());
        }
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places for inbound calls, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Line>);

impl Place {
    /// A place to run one call, or why there is none.
    pub(crate) fn take(line: &Arc<Line>) -> Result<Self, Fault> {
        line.inbound.enter_one()?;
        Ok(Self(Arc::clone(line)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inbound.leave_one();
    }
}

/// A call that its peer can take back, until this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    line: Arc<Line>,
    id: Arc<RawValue>,
    serial: u64,
}

impl Entered {
    /// Enters a call. To be done by the reader, or what it reads next may come too early. `None`
    /// where the peer cannot take it back.
    pub(crate) fn new<C>(line: &Arc<Line>, call: &Call<C>) -> Option<Self> {
        let id = call.id.clone().filter(|_| line.speaks_v1())?;
        let serial = line.inbound.enter(&id, call.cancelled.clone());
        let line = Arc::clone(line);
        Some(Self { line, id, serial })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.line.inbound.leave(&self.id, self.serial);
    }
}

/// A call's place in the order of the calls of its method.
pub(crate) enum Turn {
    Now(OwnedSemaphorePermit),
    Waits(Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>),
}

impl Turn {
    /// Takes a place at the end. Ready at once.
    pub(crate) async fn take(turns: &Arc<Semaphore>) -> Self {
        let mut turn = Box::pin(Arc::clone(turns).acquire_owned());
        // A semaphore is fair to those that have asked, which is done by the first poll; without
        // a budget the poll might not ask.
        match unconstrained(poll_immediate(turn.as_mut())).await {
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
    entered: Option<Entered>,
    turn: Option<Turn>,
    handler: Handler<C>,
    call: Call<C>,
    params: Option<Box<RawValue>>,
) -> impl Future<Output = ()> + Send + 'static {
    let id = call.id.clone();
    let method = Arc::clone(&call.method);
    let (token, traceparent) = (call.cancelled.clone(), call.traceparent);
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
        let line = &*place.0;
        let outcome = tokio::select! {
            biased;
            () = token.cancelled() => Err(Fault::new(Fault::CANCELLED, "the call was cancelled")),
            outcome = running => {
                outcome.unwrap_or_else(|panic| Err(panicked(&method, panic.as_ref())))
            }
        };
        drop(entered);
        let limit = line.max_out.load(Ordering::SeqCst);
        let text = answer(id.as_deref(), &method, outcome.as_deref(), limit);
        tokio::select! {
            biased;
            () = line.over.cancelled() => {}
            queued = line.outlet.place() => if let Some(queued) = queued {
                queued.send(Outgoing::Answer(text.into()));
            }
        }
    }
}

fn answer(
    id: Option<&RawValue>,
    method: &str,
    outcome: Result<&RawValue, &Fault>,
    limit: usize,
) -> String {
    let text = match outcome {
        Ok(result) => frame::answer(id, method, result),
        Err(fault) => frame::response(id, Err(fault)),
    };
    if text.len() <= limit {
        return text;
    }
    let size = text.len();
    let message = format!("the answer has {size} bytes; the other side takes at most {limit}");
    frame::response(id, Err(&Fault::internal(message)))
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
