//! What a call takes beside its parameters, and how it can fail.

use std::time::Duration;

use jackfield_wire::{CloseCause, Fault, Traceparent};
use serde_json::Value;
use tokio::sync::mpsc;

/// What a call may bring beside its parameters.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// How long until it ends with [`CallError::Deadline`], waiting for a place in the queue
    /// included. `None`: [`Options::default_deadline`](crate::Options::default_deadline).
    pub deadline: Option<Duration>,
    /// Where reports of progress go. Only peers that speak `jackfield.v1` send any; one that finds
    /// the channel full is dropped, and so is one of more than 1 MiB.
    pub progress: Option<mpsc::Sender<Value>>,
    /// The trace it belongs to, told to peers that speak `jackfield.v1`. `None`: the one that the
    /// calling task [runs within](crate::trace::current), so that calls of a handler belong to the
    /// trace of the call that it answers.
    pub traceparent: Option<Traceparent>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side answered with an error.
    #[error("RPC error: {0}")]
    Refused(Fault),
    /// No answer came in time. The other side may have done what was asked.
    #[error("`{method}` was not answered within {after:?}")]
    Deadline {
        /// What was called.
        method: String,
        /// The time it had.
        after: Duration,
    },
    /// The line ended first, or had ended before. The other side may have done what was asked.
    #[error("the line ended before the answer ({0})")]
    Closed(CloseCause),
    /// The request is larger than what the other side takes; nothing was sent.
    #[error("the request has {size} bytes; the other side takes at most {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// What the other side takes, in bytes.
        limit: usize,
    },
    /// The answer was larger than what is taken here, and was thrown away.
    #[error("the answer has {size} bytes; at most {limit} are taken")]
    AnswerTooLarge {
        /// Its size in bytes.
        size: usize,
        /// [`Limits::max_in`](crate::Limits::max_in).
        limit: usize,
    },
    /// The answer is not what this method answers.
    #[error("the answer to `{method}` does not fit: {source}")]
    BadAnswer {
        /// What was called.
        method: String,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// The parameters cannot be written as JSON; nothing was sent.
    #[error("the parameters cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
}

/// For handlers that call on: what went wrong there is their own error, code -32000.
impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        Self::server(error.to_string())
    }
}
