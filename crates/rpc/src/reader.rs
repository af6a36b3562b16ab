//! The task that reads: it sorts frames and never runs what they ask for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_wire::frame::{self, Outline, Trimmed};
use jackfield_wire::{CloseCause, Fault, Frame, Traceparent, Xid};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use crate::bell::For;
use crate::call::CallError;
use crate::duplex::{DuplexReceiver, LARGE, Received};
use crate::inbound::{Place, Turn, serve};
use crate::line::{Line, Watched};
use crate::methods::{Call, Methods};
use crate::peer::Peer;
use crate::raw_json::RawJson;
use crate::v1;

/// Ids are echoed; a longer one is refused.
const MAX_ID: usize = 1024;
/// Error messages quote what they refuse, but no more than this.
const MAX_MESSAGE: usize = 1024;

struct Reader<C> {
    line: Arc<Line>,
    methods: Arc<Methods<C>>,
    context: C,
    tracker: TaskTracker,
    /// Whose turn it is, for methods whose calls are handled in order.
    turns: HashMap<Arc<str>, Arc<Semaphore>>,
}

/// What a large message says beside its parameters or its result, which stay where they are.
enum Large {
    Request {
        id: Option<Box<RawValue>>,
        method: String,
        traceparent: Option<Traceparent>,
    },
    Response {
        id: Option<Xid>,
    },
}

enum Event {
    Over,
    Received(Result<Received, CloseCause>),
    Doubt,
}

/// Reads until the line ends, then until the other side has hung up.
pub(crate) async fn run<C: Clone + Send + Sync + 'static>(
    mut receiver: impl DuplexReceiver,
    watched: Watched,
    methods: Arc<Methods<C>>,
    context: C,
    tracker: TaskTracker,
) {
    let line = Arc::clone(&watched.0);
    let mut reader = Reader {
        line: Arc::clone(&line),
        methods,
        context,
        tracker,
        turns: HashMap::new(),
    };
    reader.read(&mut receiver).await;
    if !line.is_dead() {
        // Without reading on, the other side's last words would reset the connection and take
        // ours with them.
        let draining = timeout(line.options.close_grace, receiver.drain());
        let _ = Box::pin(draining).await;
    }
    drop(receiver);
    // Only the tasks of the line are on the tracker, not those of its calls: they end first.
    line.inbound.idle().await;
}

impl<C: Clone + Send + Sync + 'static> Reader<C> {
    async fn read(&mut self, receiver: &mut impl DuplexReceiver) {
        let line = Arc::clone(&self.line);
        let heartbeat = line.options.heartbeat;
        let _beating =
            heartbeat.map(|heartbeat| line.options.heart.join(&line, heartbeat, &self.tracker));
        loop {
            let event = tokio::select! {
                biased;
                () = line.bell.rung(For::Over) => Event::Over,
                received = receiver.recv() => Event::Received(received),
                () = line.bell.rung(For::Doubt) => Event::Doubt,
            };
            match event {
                Event::Over => return,
                Event::Received(Err(cause)) => {
                    if let Some(code) = receiver.close_code() {
                        line.set_close_code(code);
                    }
                    return line.end(&cause);
                }
                Event::Received(Ok(received)) => {
                    line.signs.hear();
                    line.heard.notify_waiters();
                    if let Received::Text(text) = received
                        && let Err(cause) = self.on_text(text).await
                    {
                        return line.end_dead(&cause);
                    }
                }
                Event::Doubt => {
                    if heartbeat.is_some_and(|heartbeat| line.signs.is_dead(&heartbeat)) {
                        return line.end_dead(&silent(&line));
                    }
                }
            }
        }
    }

    async fn on_text(&mut self, text: Utf8Bytes) -> Result<(), CloseCause> {
        let (size, limit) = (text.len(), self.line.options.limits.max_in);
        if size > limit {
            let Outline { id, is_response } = frame::outline(&text);
            if is_response {
                let fault = CallError::AnswerTooLarge { size, limit };
                self.settle(our_id(id), Err::<RawJson, _>(fault));
                return Ok(());
            }
            let message = format!("a message of {size} bytes; at most {limit} are taken");
            let fault = Fault::new(Fault::INVALID_REQUEST, message);
            return Box::pin(self.refuse(id, fault)).await;
        }
        // A line that waits for its next message holds what may be waited for in handling one: boxes,
        // for that is seldom.
        match Large::of(&text) {
            Some((
                Large::Request {
                    id,
                    method,
                    traceparent,
                },
                params,
            )) => {
                let id = id.as_deref();
                let taken = self.on_request(id, &method, Some(params), traceparent);
                return self.taken(id, taken).await;
            }
            Some((Large::Response { id }, result)) => {
                self.settle(id, Ok(result));
                return Ok(());
            }
            None => {}
        }
        match Frame::parse(&text) {
            Frame::Request {
                id,
                method,
                params,
                traceparent,
            } => {
                let taken = self.on_request(id, &method, params.map(RawJson::from), traceparent);
                self.taken(id, taken).await
            }
            Frame::Response { id, outcome } => {
                self.settle(our_id(id), outcome.map_err(CallError::Refused));
                Ok(())
            }
            Frame::Malformed { id, fault } => Box::pin(self.refuse(id.as_deref(), fault)).await,
        }
    }

    /// What to answer at once, where there is anything.
    fn on_request(
        &mut self,
        id: Option<&RawValue>,
        method: &str,
        params: Option<RawJson>,
        traceparent: Option<Traceparent>,
    ) -> Result<(), Fault> {
        if self.line.speaks_v1() && id.is_none() && method.starts_with("$/") {
            self.on_note(method, params.as_deref());
            return Ok(());
        }
        if id.is_some_and(|id| id.get().len() > MAX_ID) {
            // Cannot be echoed, so it is not begun either.
            return Err(Fault::new(Fault::INVALID_REQUEST, ""));
        }
        let Some(found) = self.methods.find(method) else {
            return Err(Fault::method_not_found(&cut(method)));
        };
        let place = match Place::take(&self.line, id) {
            Ok(place) => place,
            // Nobody waits for an answer.
            Err(_) if self.line.is_over() => return Ok(()),
            Err(fault) => return Err(fault),
        };
        let turn = found.in_order.then(|| {
            let name = Arc::clone(&found.name);
            let turns = self.turns.entry(name);
            Turn::take(turns.or_insert_with(|| Arc::new(Semaphore::new(1))))
        });
        let call = Call {
            context: self.context.clone(),
            method: found.name,
            peer: Peer::for_call(&self.line),
            served: Arc::clone(&place.served),
            traceparent,
        };
        let serving = serve(place, turn, found.handler, call, params);
        self.line.tasks.spawn(serving);
        Ok(())
    }

    fn on_note(&self, method: &str, params: Option<&RawValue>) {
        let params = params.map_or("null", RawValue::get);
        match method {
            v1::HELLO => {
                if let Ok(hello) = serde_json::from_str::<v1::Hello>(params) {
                    let theirs = usize::try_from(hello.max_message).unwrap_or(usize::MAX);
                    self.line
                        .max_out
                        .store(theirs.min(v1::MAX_MESSAGE), Ordering::SeqCst);
                }
            }
            v1::CANCEL => {
                if let Ok(cancel) = serde_json::from_str::<v1::Cancel<'_>>(params) {
                    self.line.inbound.cancel(cancel.id);
                }
            }
            v1::PROGRESS => {
                if let Ok(progress) = serde_json::from_str::<v1::Progress<'_>>(params)
                    && let Some(id) = our_id(Some(progress.id))
                    && self.line.pending().wants_progress(id)
                    && let value = progress.value.map_or("null", RawValue::get)
                    && value.len() <= v1::MAX_PROGRESS
                    && let Ok(value) = serde_json::from_str(value)
                {
                    self.line.pending().progress(id, value);
                }
            }
            // Never answered, so that more of them can be invented.
            _ => tracing::debug!(method = %cut(method), "an unknown notification"),
        }
    }

    fn settle(&self, id: Option<Xid>, outcome: Result<impl Into<RawJson>, CallError>) {
        let known = id.is_some_and(|id| self.line.settle(id, outcome));
        if !known {
            // Late, or never asked for. Answering it would start an endless exchange of errors.
            tracing::debug!(?id, "an answer that nobody waits for");
        }
    }

    async fn taken(
        &self,
        id: Option<&RawValue>,
        taken: Result<(), Fault>,
    ) -> Result<(), CloseCause> {
        match taken {
            Ok(()) => Ok(()),
            Err(fault) => Box::pin(self.refuse(id, fault)).await,
        }
    }

    async fn refuse(&self, id: Option<&RawValue>, mut fault: Fault) -> Result<(), CloseCause> {
        let long = id.map(|id| id.get().len()).filter(|len| *len > MAX_ID);
        let id = id.filter(|_| long.is_none());
        if let Some(len) = long {
            fault.message = format!("an id of {len} bytes; at most {MAX_ID} are taken");
        }
        if fault.message.len() > MAX_MESSAGE {
            fault.message = cut(&fault.message).into_owned();
        }
        self.line.reply(frame::response(id, Err(&fault))).await
    }
}

impl Large {
    /// With the parameters or the result. `None` for any other message.
    fn of(text: &Utf8Bytes) -> Option<(Self, RawJson)> {
        if text.len() < LARGE {
            return None;
        }
        let mut large = None;
        let json = RawJson::within(text.clone(), |text| {
            let trimmed = Trimmed::of(text).and_then(|trimmed| {
                let (beside, part) = Self::beside(Frame::parse(trimmed.text()))?;
                Some((beside, trimmed.whole(part)?))
            });
            let (beside, part) = trimmed.or_else(|| Self::beside(Frame::parse(text)))?;
            large = Some(beside);
            Some(part)
        })?;
        Some((large?, json))
    }

    fn beside(frame: Frame<'_>) -> Option<(Self, &RawValue)> {
        match frame {
            Frame::Request {
                id,
                method,
                params,
                traceparent,
            } => {
                let request = Self::Request {
                    id: id.map(ToOwned::to_owned),
                    method: method.into_owned(),
                    traceparent,
                };
                Some((request, params?))
            }
            Frame::Response { id, outcome } => {
                Some((Self::Response { id: our_id(id) }, outcome.ok()?))
            }
            Frame::Malformed { .. } => None,
        }
    }
}

fn our_id(id: Option<&RawValue>) -> Option<Xid> {
    id?.get().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn silent(line: &Line) -> CloseCause {
    let seconds = line
        .options
        .heartbeat
        .map_or(0.0, |heartbeat| heartbeat.dead_after.as_secs_f64());
    CloseCause::failed(format!("no sign of life for {seconds} s"))
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_MESSAGE {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_MESSAGE)]).into()
}
