//! One request for many lines: rendered once, sent as the same bytes over each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_wire::{Xid, frame};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::call::{CallError, CallOptions};
use crate::outlet::Outgoing;
use crate::peer::Peer;
use crate::raw_json::RawJson;

/// A request that was rendered once, for many lines: all share its text, and its id.
///
/// Over each line it is to be sent once, and by one task at a time. Where it is under way already, and where a trace has to be
/// told, it is rendered anew for that call.
pub struct Prepared {
    pub(crate) id: Xid,
    pub(crate) method: String,
    pub(crate) params: Option<Box<RawValue>>,
    pub(crate) text: Utf8Bytes,
}

/// Who is told what became of a request that was [posted](Peer::post).
pub trait Receipt: Send + Sync + 'static {
    /// The other side took it, or it failed; told once. Called by the task that reads, or by
    /// whoever ends the line: it must not wait for anything.
    fn came(self: Arc<Self>, outcome: Result<(), CallError>);
}

impl Prepared {
    /// Renders a request. `params` of `None` or `null` are left out.
    #[must_use]
    pub fn new(method: &str, params: Option<Box<RawValue>>) -> Self {
        let id = Xid::new();
        let text = frame::request(&id.to_string(), method, params.as_deref(), None);
        Self {
            id,
            method: method.to_owned(),
            params,
            text: text.into(),
        }
    }
}

impl Peer {
    /// Calls the other side with a request that was prepared. As [`call_raw`](Self::call_raw).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_prepared(
        &self,
        prepared: &Prepared,
        options: CallOptions,
    ) -> Result<RawJson, CallError> {
        let shared = self.trace_of(&options).is_none() && !self.line.pending().waits(prepared.id);
        if !shared {
            let params = prepared.params.as_deref();
            return self.call_raw(&prepared.method, params, options).await;
        }
        let text = prepared.text.clone();
        self.call_text(prepared.id, text, &prepared.method, options)
            .await
    }

    /// Sends a request that was prepared, and has somebody told what becomes of it, in place of a
    /// task that waits. Without a deadline: see [`take_back`](Self::take_back). Without a trace,
    /// too.
    ///
    /// `false`: nothing was done and nobody will be told. The line has ended, its queue is full, the
    /// request is too large for it or under way already; [`call_prepared`](Self::call_prepared)
    /// says which, and waits where that helps.
    #[must_use]
    pub fn post(&self, prepared: &Prepared, receipt: Arc<dyn Receipt>) -> bool {
        let line = &*self.line;
        if prepared.text.len() > line.max_out.load(Ordering::SeqCst) {
            return false;
        }
        let Some(place) = line.outlet.try_place() else {
            return false;
        };
        let posted = line.pending().post(prepared.id, receipt);
        if posted {
            place.send(Outgoing::Call(prepared.id, prepared.text.clone()));
        }
        posted
    }

    /// Forgets a request that was posted; where the other side speaks `jackfield.v1` it is told to
    /// stop. `true`: nobody will be told what became of it. `false`: somebody has been, or is being
    /// told.
    pub fn take_back(&self, prepared: &Prepared) -> bool {
        self.line.forget(prepared.id)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}
