//! What the connections share.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// How pings are answered.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    /// So many do not get an answer.
    pub(crate) hang: usize,
    pub(crate) not_ready: Option<String>,
    pub(crate) ready_when: Option<String>,
    pub(crate) ready_after: Option<tokio::time::Instant>,
    /// A file that says that there were some.
    pub(crate) pinged: Option<String>,
    /// A file that says that there was any request at all.
    pub(crate) touched: Option<String>,
    pub(crate) fail: Option<u16>,
    pub(crate) exit: Option<i32>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) identity: String,
    pub(crate) service: String,
    pub(crate) unknown_is_404: bool,
    pub(crate) pings: Pings,
    pub(crate) pinged: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) values: Mutex<BTreeMap<Bytes, Bytes>>,
    /// All connections are to be cut.
    pub(crate) cut: Notify,
    /// All connections are to be ended as HTTP/2 has it.
    pub(crate) goaway: Notify,
    /// The listener is to be closed.
    pub(crate) close: Notify,
    pub(crate) tasks: TaskTracker,
    pub(crate) signals: std::sync::Arc<Signals>,
}

/// Signals that came.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    deaf: AtomicBool,
    came: Mutex<Vec<&'static str>>,
}

impl Signals {
    pub(crate) fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    pub(crate) fn deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    pub(crate) fn came(&self, name: &'static str) {
        self.came.lock().expect("nobody panics").push(name);
    }

    pub(crate) fn all(&self) -> String {
        self.came.lock().expect("nobody panics").join(" ")
    }
}
