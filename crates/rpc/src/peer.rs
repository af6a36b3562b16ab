//! The handle of a line.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_wire::{Client, CloseCause, Method, Traceparent, Xid, frame};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::TaskTracker;

use crate::call::{CallError, CallOptions};
use crate::duplex::Duplex;
use crate::line::{Line, Watched};
use crate::methods::Methods;
use crate::options::Options;
use crate::outlet::Outgoing;
use crate::raw_json::RawJson;
use crate::{reader, trace, v1, writer};

/// JSON-RPC over a duplex. A cheap clone that only sends.
///
/// When the last clone is dropped the line is closed as by [`CloseCause::closed`]. The
/// [`peer`](crate::Call::peer) of an inbound call and [`uncounted`](Self::uncounted) ones, and
/// clones of these, do not count.
#[derive(Clone)]
pub struct Peer {
    pub(crate) line: Arc<Line>,
    /// `None` in the peers that inbound calls get.
    _handle: Option<Arc<Handle>>,
}

/// Ends the line when the last handle is gone.
struct Handle(Arc<Line>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end(&CloseCause::closed());
    }
}

/// Takes back a call whose future was dropped or timed out.
struct Forget<'a> {
    line: &'a Line,
    id: Xid,
    answered: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.line.forget(self.id);
        }
    }
}

/// Starts JSON-RPC over a duplex. `methods` are what the other side may call, `context` is what
/// their handlers are told about this line.
///
/// The tasks run on `tracker` and end with the line; so do all inbound calls.
///
/// # Panics
/// Outside a Tokio runtime.
pub fn open<C: Clone + Send + Sync + 'static>(
    duplex: impl Duplex,
    methods: Arc<Methods<C>>,
    context: C,
    options: Options,
    tracker: &TaskTracker,
) -> Peer {
    let max_message = options.limits.max_in as u64;
    let line = Arc::new(Line::new(options));
    line.note_v1(v1::HELLO, &v1::Hello { max_message });
    let (sender, receiver) = duplex.split();
    let writer = writer::run(sender, Watched(Arc::clone(&line)));
    line.tasks.spawn(tracker.track_future(writer));
    let reader = reader::run(
        receiver,
        Watched(Arc::clone(&line)),
        methods,
        context,
        tracker.clone(),
    );
    line.tasks.spawn(tracker.track_future(reader));
    Peer {
        _handle: Some(Arc::new(Handle(Arc::clone(&line)))),
        line,
    }
}

impl Peer {
    pub(crate) fn for_call(line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            _handle: None,
        }
    }

    /// A clone that does not keep the line open.
    #[must_use]
    pub fn uncounted(&self) -> Self {
        Self::for_call(&self.line)
    }

    /// Calls the other side, with the line's default deadline.
    ///
    /// When the future is dropped the call is forgotten, and where the other side speaks
    /// `jackfield.v1` it is told to stop.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Output, CallError> {
        self.call_with::<M>(params, CallOptions::default()).await
    }

    /// Calls the other side. As [`call`](Self::call), with options.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_with<M: Method>(
        &self,
        params: &M::Params,
        options: CallOptions,
    ) -> Result<M::Output, CallError> {
        let id = Xid::new();
        let traceparent = self.trace_of(&options);
        let text =
            frame::request_with(in_text(&id.digits()), M::NAME, params, traceparent.as_ref())
                .map_err(CallError::Encode)?;
        let answer = self.call_text(id, text.into(), M::NAME, options).await?;
        M::decode(&answer).map_err(|source| CallError::BadAnswer {
            method: M::NAME.to_owned(),
            source,
        })
    }

    /// Calls the other side with JSON and gets JSON. `params` of `None` or `null` are left out.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_raw(
        &self,
        method: &str,
        params: Option<&RawValue>,
        options: CallOptions,
    ) -> Result<RawJson, CallError> {
        let id = Xid::new();
        let traceparent = self.trace_of(&options);
        let id_text = id.digits();
        let text = frame::request(in_text(&id_text), method, params, traceparent.as_ref());
        self.call_text(id, text.into(), method, options).await
    }

    /// The trace that the other side is to be told.
    pub(crate) fn trace_of(&self, options: &CallOptions) -> Option<Traceparent> {
        options
            .traceparent
            .or_else(trace::current)
            .filter(|_| self.line.speaks_v1())
    }

    /// A call whose text is rendered. Its id is in use over this line by no other.
    pub(crate) async fn call_text(
        &self,
        id: Xid,
        text: Utf8Bytes,
        method: &str,
        options: CallOptions,
    ) -> Result<RawJson, CallError> {
        let line = &*self.line;
        let (size, limit) = (text.len(), line.max_out.load(Ordering::SeqCst));
        if size > limit {
            return Err(CallError::TooLarge { size, limit });
        }
        let mut answer = line
            .pending()
            .insert(id, options.progress)
            .map_err(CallError::Closed)?;
        let mut forget = Forget {
            line,
            id,
            answered: false,
        };
        let after = options.deadline.unwrap_or(line.options.default_deadline);
        let outcome = timeout(after, async {
            let place = match line.outlet.try_place() {
                Some(place) => Some(place),
                None => tokio::select! {
                    biased;
                    // The line may end while the call waits for its place.
                    outcome = &mut answer => return outcome,
                    place = line.outlet.place() => place,
                },
            };
            if let Some(place) = place {
                place.send(Outgoing::Call(id, text));
            }
            answer.await
        });
        match outcome.await {
            Ok(Ok(outcome)) => {
                forget.answered = true;
                outcome
            }
            // Only the guard above takes an entry away unanswered.
            Ok(Err(_)) => Err(CallError::Closed(
                line.cause().unwrap_or_else(CloseCause::closed),
            )),
            Err(_) => Err(CallError::Deadline {
                method: method.to_owned(),
                after,
            }),
        }
    }

    /// Ends the line; only the first cause counts. Returns at once: what was answered is still
    /// written and the other side is told the cause, within
    /// [`close_grace`](Options::close_grace).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers make a cause for this"
    )]
    pub fn close(&self, cause: CloseCause) {
        self.line.end(&cause);
    }

    /// Why the line ended, as soon as it has. Many may wait; cancel safe.
    pub async fn closed(&self) -> CloseCause {
        self.line.over.cancelled().await;
        self.line.cause().unwrap_or_else(CloseCause::closed)
    }

    /// Waits until nothing of an ended line is left: its socket is closed, its tasks have ended,
    /// its inbound calls are dropped. Many may wait; cancel safe.
    pub async fn finished(&self) {
        self.line.tasks.wait().await;
    }

    /// Whether the line has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.line.is_over()
    }

    /// The close code that the other side sent; `None` when the line ended in another way.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.line.close_code()
    }

    /// Calls to the other side that wait for an answer.
    #[must_use]
    pub fn open_calls(&self) -> usize {
        self.line.pending().len()
    }

    /// Calls of the other side that run here.
    #[must_use]
    pub fn inbound_calls(&self) -> usize {
        self.line.inbound.running()
    }

    /// The largest message that may be sent now, in bytes.
    #[must_use]
    pub fn max_out(&self) -> usize {
        self.line.max_out.load(Ordering::SeqCst)
    }

    /// Refuses further calls of the other side as busy, and waits for those that run. `false` when
    /// some still run after that time. Their answers are queued before this returns, and
    /// [`close`](Self::close) writes them first.
    pub async fn drain(&self, within: Duration) -> bool {
        self.line.inbound.drain(within).await
    }

    /// Whether anything at all arrives within this time, after asking for it. `false` at once when
    /// the line ends.
    pub async fn probe(&self, within: Duration) -> bool {
        let mut heard = pin!(self.line.heard.notified());
        heard.as_mut().enable();
        self.line.outlet.ping();
        tokio::select! {
            biased;
            () = self.line.over.cancelled() => false,
            heard = timeout(within, heard) => heard.is_ok(),
        }
    }

    /// The program at the other end.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.line.options.client
    }

    pub(crate) fn report_progress(&self, id: &RawValue, value: &Value) {
        if self.line.speaks_v1() {
            let params = serde_json::json!({ "id": id, "value": value });
            self.line
                .try_queue(Outgoing::Note(v1::note(v1::PROGRESS, &params).into()));
        }
    }
}

fn in_text(digits: &[u8; 20]) -> &str {
    std::str::from_utf8(digits).expect("the digits are ASCII")
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("ended", &self.line.cause())
            .field("open_calls", &self.open_calls())
            .field("inbound_calls", &self.inbound_calls())
            .finish_non_exhaustive()
    }
}
