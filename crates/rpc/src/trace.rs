//! The trace that runs along with a task.
//!
//! A request may say which trace it belongs to (the W3C's `traceparent`). Its handler runs within
//! that trace: calls that it makes, over any line, carry it on. Only peers that speak
//! `jackfield.v1` are told.

use std::future::Future;

use jackfield_wire::Traceparent;

tokio::task_local! {
    static CURRENT: Option<Traceparent>;
}

/// The trace that this task runs within. Tasks that were spawned by it run within none; see
/// [`within`].
#[must_use]
pub fn current() -> Option<Traceparent> {
    CURRENT.try_with(|current| *current).ok().flatten()
}

/// Runs a future within a trace, or within none: the calls it makes carry it, unless they bring one
/// of their own ([`CallOptions::traceparent`](crate::CallOptions::traceparent)).
pub fn within<F: Future>(
    traceparent: Option<Traceparent>,
    future: F,
) -> impl Future<Output = F::Output> {
    CURRENT.scope(traceparent, future)
}
