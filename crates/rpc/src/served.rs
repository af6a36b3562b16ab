//! One call of the other side while it is served here: what takes it back.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

/// One call that runs here, for those who may take it back.
#[derive(Debug)]
pub(crate) struct Served {
    /// As it came.
    pub(crate) id: Option<Box<RawValue>>,
    cancelled: AtomicBool,
    /// The task that serves it.
    waker: AtomicWaker,
    /// For the few handlers that ask for one: taking it from the line's costs every call a lock
    /// that all of them share.
    token: OnceLock<CancellationToken>,
}

impl Served {
    pub(crate) fn new(id: Option<&RawValue>) -> Self {
        Self {
            id: id.map(ToOwned::to_owned),
            cancelled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            token: OnceLock::new(),
        }
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.waker.wake();
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    /// Cancelled when the call is, and with its line, whose token is given, also after it was answered.
    pub(crate) fn token(&self, line: &CancellationToken) -> CancellationToken {
        let token = self.token.get_or_init(|| line.child_token()).clone();
        // Whoever cancels looks for the token after this flag, and this for the flag after the token.
        fence(Ordering::SeqCst);
        if self.cancelled.load(Ordering::SeqCst) {
            token.cancel();
        }
        token
    }

    /// For the task that serves it.
    pub(crate) async fn cancelled(&self) {
        poll_fn(|cx| {
            if self.cancelled.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            // It may have been taken back meanwhile.
            match self.cancelled.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
