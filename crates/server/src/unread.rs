//! What a client still sends when it has been answered already.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The body of a request. What is left of it when it is dropped is read and thrown away: a client
/// that is still writing when its connection is closed gets a reset, and never sees the answer that
/// says what was wrong.
pub(crate) struct Unread {
    /// `None` when it broke off.
    body: Option<Incoming>,
    bounds: Bounds,
    /// A client that asked whether it may send sends nothing before anybody reads.
    asks_first: bool,
    read: bool,
}

/// How much is thrown away, and where.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Bytes; a client that sends more is cut off.
    pub(crate) most: u64,
    pub(crate) tracker: TaskTracker,
    pub(crate) gone: CancellationToken,
}

/// How long the rest may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Unread {
    pub(crate) fn new(body: Incoming, asks_first: bool, bounds: Bounds) -> Self {
        Self {
            body: Some(body),
            bounds,
            asks_first,
            read: false,
        }
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.read = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let waits = self.asks_first && !self.read;
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let (Some(rest), false, Ok(runtime)) = (rest, waits, Handle::try_current()) else {
            return;
        };
        let Bounds {
            most,
            tracker,
            gone,
        } = self.bounds.clone();
        let rest = tokio::time::timeout(PATIENCE, throw_away(rest, most));
        let rest = gone.run_until_cancelled_owned(rest);
        tracker.spawn_on(rest, &runtime);
    }
}

async fn throw_away(mut rest: Incoming, most: u64) {
    let mut left = most;
    while let Some(Ok(frame)) = rest.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match left.checked_sub(bytes) {
            Some(less) => left = less,
            None => return,
        }
    }
}
