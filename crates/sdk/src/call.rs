//! A call of the host, as its handler sees it.

use std::fmt;
use std::sync::Arc;

use jackfield_wire::Traceparent;
use serde_json::Value;

use crate::host::{Host, Shared};

/// One call of the host.
pub struct Call {
    /// To ask back.
    pub host: Host,
    inner: jackfield_rpc::Call<Arc<Shared>>,
}

impl Call {
    pub(crate) fn new(inner: jackfield_rpc::Call<Arc<Shared>>) -> Self {
        Self {
            host: Host::on_line(Arc::clone(&inner.context), inner.peer.clone()),
            inner,
        }
    }

    /// Tells the host how far this call is. Hosts that cannot hear it are not told.
    pub fn progress(&self, value: &Value) {
        self.inner.progress(value);
    }

    /// The trace it belongs to, where the host said so. Calls that the handler makes carry it on
    /// by themselves; this is for what it does elsewhere: a `traceparent` header, a task of its
    /// own.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.inner.traceparent()
    }

    /// Waits until the host takes the call back or the line ends. The handler itself is dropped
    /// then; this is for what it has started elsewhere. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.inner.cancelled().cancelled_owned()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
