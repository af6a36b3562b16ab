//! A way to a gRPC plugin that survives its restarts.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use jackfield_grpc::{Channel, ChannelError, ResponseBody, deadline};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::actor::later;
use crate::session::Session;

/// Calls to a plugin that serves gRPC, over whichever process of it runs: a tower service, as
/// [`Channel`] is, for generated clients to be made over. Cheap to clone.
///
/// A call that comes while the plugin is down, or on its way up again, waits for it until its own deadline
/// (`grpc-timeout`, `connect-timeout-ms`; the policy's [`call_deadline`](crate::Policy::call_deadline) where it has
/// none), in whichever state the session is; or fails at once with `UNAVAILABLE`, after [`fail_fast`](Self::fail_fast).
/// A call that the plugin may have seen is never repeated: when its process ends under it, it fails with `UNAVAILABLE`.
/// While the plugin is up, which process a call goes to is decided when it is made, not when its future is first polled.
#[derive(Clone)]
pub struct SessionChannel {
    session: Session,
    wait_at_most: Duration,
    fail_fast: bool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl SessionChannel {
    pub(crate) fn new(session: Session, wait_at_most: Duration) -> Self {
        Self {
            session,
            wait_at_most,
            fail_fast: false,
        }
    }

    /// The same channel, over which calls fail at once while the plugin is down.
    #[must_use]
    pub fn fail_fast(self) -> Self {
        Self {
            fail_fast: true,
            ..self
        }
    }

    /// The channel to the process that runs now, where it is connected already.
    fn up(&self) -> Option<Channel> {
        let channels = self.session.shared.channel.as_ref()?;
        let channel = channels.borrow();
        channel.as_ref().filter(|it| it.is_connected()).cloned()
    }

    /// A channel to the process that runs now, connected.
    async fn connected(&self) -> Result<Channel, ChannelError> {
        let channels = self.session.shared.channel.clone();
        let mut channels = channels.ok_or_else(|| self.down())?;
        loop {
            let channel = channels.borrow_and_update().clone();
            if let Some(channel) = channel {
                match channel.connect().await {
                    Ok(()) => return Ok(channel),
                    // Its process has just ended, and the session does not know yet.
                    Err(error) if self.fail_fast => return Err(error),
                    Err(_) => {}
                }
            } else if self.fail_fast {
                return Err(self.down());
            }
            tokio::select! {
                changed = channels.changed() => changed.map_err(|_| self.down())?,
                () = self.session.shared.gone.cancelled() => return Err(self.down()),
            }
        }
    }

    fn down(&self) -> ChannelError {
        if self.session.shared.gone.is_cancelled() {
            return ChannelError::Unavailable(crate::session::Ended.to_string());
        }
        let status = self.session.status();
        let status = status.borrow();
        let why = status
            .error
            .as_ref()
            .map(|failure| format!(": {}", failure.message));
        ChannelError::Unavailable(format!(
            "the plugin is not running (state: {}){}",
            status.state,
            why.unwrap_or_default()
        ))
    }

    /// The caller's deadline is the caller's; that of the policy says what was waited for.
    fn too_late(&self, given: Option<Duration>) -> ChannelError {
        match given {
            Some(given) => ChannelError::DeadlineExceeded(given),
            None => self.down(),
        }
    }
}

impl<B> Service<Request<B>> for SessionChannel
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = ChannelError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ChannelError>> + Send>>;

    /// Always ready: a call waits by itself.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(mut channel) = self.up() {
            return channel.call(request);
        }
        let this = self.clone();
        Box::pin(async move {
            let given = deadline(request.headers());
            let begun = Instant::now();
            let until = later(given.unwrap_or(this.wait_at_most));
            match timeout_at(until, this.connected()).await {
                Ok(Ok(mut channel)) => {
                    if let Some(given) = given {
                        // What is left of it after the waiting.
                        let left = given.saturating_sub(begun.elapsed());
                        jackfield_grpc::announce(request.headers_mut(), left);
                    }
                    channel.call(request).await
                }
                Ok(Err(error)) => error.respond(request.headers()),
                Err(_) => this.too_late(given).respond(request.headers()),
            }
        })
    }
}

impl fmt::Debug for SessionChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionChannel")
            .field("session", &self.session)
            .field("fail_fast", &self.fail_fast)
            .finish_non_exhaustive()
    }
}
