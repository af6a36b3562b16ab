//! The channel itself.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tower_service::Service;

use super::body::ResponseBody;
use super::call;
use super::error::ChannelError;
use super::link::{self, BoxError, Link, Sender};
use crate::endpoint::KeepAlive;
use crate::owner::Connector;

/// How long after the failure of a request its connection may still say why.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The connection to a plugin, as a tower service that a generated client can be made over: HTTP/2 with prior
/// knowledge, any body. Cheap to clone; clones share one connection.
///
/// - It connects when it is first used, and again when the connection was lost, once for all who wait. Each TCP
///   connection is proven to be the plugin's before anything is sent. There is no waiting for a plugin that is not
///   there: the call fails.
/// - A request that provably was not sent is sent again over a new connection; no other.
/// - The deadline that a call carries (`grpc-timeout`, `connect-timeout-ms`), or else the endpoint's default, holds for
///   all of it: connecting, waiting, the answer's body.
/// - The target of a request is the plugin, whatever its URI says; the token is added.
/// - A failure is answered, where the call is gRPC's, with the status that any client understands: `UNAVAILABLE`,
///   `DEADLINE_EXCEEDED`, …; the [`ChannelError`] is among the response's extensions. Other calls get it as an error.
///
/// To be used inside a tokio runtime with I/O and time enabled. Over an open connection a call is sent at once, not when
/// its future is first polled; dropping that resets the call. The connection ends when the last channel and the last call
/// are gone.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

/// What a channel is made of.
pub(crate) struct Config {
    pub(crate) connector: Arc<Connector>,
    pub(crate) authority: Authority,
    /// Not marked as sensitive, for HTTP/2 would not compress it then: it is what is longest in most requests. Whoever
    /// compares sizes learns nothing of it, since only all of it is ever found to be the same. It is put into a request
    /// when nobody else sees that any more.
    pub(crate) token: HeaderValue,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) default_timeout: Option<Duration>,
    pub(crate) max_message_size: usize,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    link: Mutex<Option<watch::Receiver<Link>>>,
    /// In microseconds; 0 is none.
    timeout: AtomicU64,
    /// The first service that was called.
    service: OnceLock<String>,
}

impl Channel {
    pub(crate) fn new(config: Config) -> Self {
        let timeout = micros(config.default_timeout);
        Self {
            shared: Arc::new(Shared {
                config,
                link: Mutex::default(),
                timeout: AtomicU64::new(timeout),
                service: OnceLock::new(),
            }),
        }
    }

    /// Connects, if it is not connected. To be done before the first call by who wants to know.
    ///
    /// # Errors
    ///
    /// What the first call would have failed with. Cancel safe.
    pub async fn connect(&self) -> Result<(), ChannelError> {
        self.shared.sender().await.map(drop)
    }

    /// Whether it is connected now. What is sent may find otherwise.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let link = self.shared.link();
        let Some(watched) = &*link else { return false };
        matches!(&*watched.borrow(), Link::Up(sender) if !sender.is_closed())
    }

    /// Resolves when the connection that there is now has ended; at once when there is none. Cancel safe. Keeps the
    /// connection open.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let watched = self.shared.link().clone();
        async move {
            if let Some(mut watched) = watched {
                // An error is the end of the task, and of the connection.
                let _ = watched.wait_for(|link| matches!(link, Link::Down(_))).await;
            }
        }
    }

    /// How long calls from now on may take that do not say so themselves.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) {
        self.shared
            .timeout
            .store(micros(timeout), Ordering::Relaxed);
    }

    /// The first service that was called.
    pub(crate) fn service(&self) -> Option<&str> {
        self.shared.service.get().map(String::as_str)
    }
}

impl Shared {
    pub(crate) fn default_timeout(&self) -> Option<Duration> {
        match self.timeout.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Takes note of the service in a path of the form `/service/method`.
    pub(crate) fn called(&self, path: &str) {
        if self.service.get().is_none() {
            let service = path.trim_start_matches('/').split('/').next();
            let _ = self.service.set(service.unwrap_or_default().to_owned());
        }
    }

    /// The open connection's; makes one if there is none. All who come meanwhile wait for the same. Cancel safe.
    pub(crate) async fn sender(&self) -> Result<Sender, ChannelError> {
        let mut watched = match self.current() {
            Ok(sender) => return Ok(sender),
            Err(watched) => watched,
        };
        let settled = watched
            .wait_for(|link| !matches!(link, Link::Connecting))
            .await;
        match settled.as_deref() {
            Ok(Link::Up(sender)) => Ok(sender.clone()),
            Ok(Link::Down(error)) => Err(error.clone()),
            Ok(Link::Connecting) | Err(_) => Err(ChannelError::Closed),
        }
    }

    /// The open connection's, if there is one.
    pub(crate) fn up(&self) -> Option<Sender> {
        match &*self.link().as_ref()?.borrow() {
            Link::Up(sender) if !sender.is_closed() => Some(sender.clone()),
            Link::Connecting | Link::Up(_) | Link::Down(_) => None,
        }
    }

    /// The sender, if it is there; or what to wait on until it is.
    fn current(&self) -> Result<Sender, watch::Receiver<Link>> {
        let mut link = self.link();
        if let Some(watched) = &*link {
            match &*watched.borrow() {
                Link::Up(sender) if !sender.is_closed() => return Ok(sender.clone()),
                // The task that would tell may be gone with its runtime.
                Link::Connecting if watched.has_changed().is_ok() => return Err(watched.clone()),
                Link::Connecting | Link::Up(_) | Link::Down(_) => {}
            }
        }
        let connector = Arc::clone(&self.config.connector);
        let watched = link::open(connector, self.config.keep_alive);
        Err(link.insert(watched).clone())
    }

    /// Why a request failed: where its connection has ended, why that did.
    pub(crate) async fn explain(&self, error: hyper::Error) -> ChannelError {
        if !(error.is_canceled() || error.is_closed()) {
            return ChannelError::http(error);
        }
        let watched = self.link().clone();
        let ended = async {
            let mut watched = watched?;
            let ended = watched.wait_for(|link| matches!(link, Link::Down(_)));
            match ended.await.as_deref() {
                Ok(Link::Down(error @ ChannelError::Http(_))) => Some(error.clone()),
                Ok(_) | Err(_) => None,
            }
        };
        // The task that knows may not have got round to saying it.
        let ended = timeout(LAST_WORDS, ended).await.ok().flatten();
        ended.unwrap_or_else(|| ChannelError::http(error))
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Option<watch::Receiver<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Service<Request<B>> for Channel
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(call::run(Arc::clone(&self.shared), request))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("authority", &self.shared.config.authority)
            .finish_non_exhaustive()
    }
}

fn micros(timeout: Option<Duration>) -> u64 {
    // A timeout of nothing is still one.
    timeout.map_or(0, |it| {
        u64::try_from(it.as_micros()).unwrap_or(u64::MAX).max(1)
    })
}
