//! Connections: accepted, served, drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use jackfield::{Credential, Host, Refused};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use crate::routes::App;
use crate::unread::{Bounds, Unread};

/// Connections at once.
const CONNECTIONS: usize = 16_384;
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// How long a plugin that is not known yet is kept waiting while what is installed is loaded.
const HOLD: Duration = Duration::from_secs(5);
/// Pause after an accept that failed, as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// How often an HTTP/2 connection that is silent is asked for a sign of life, and how long it may
/// take to give one.
const ALIVE: Duration = Duration::from_secs(20);

/// So much of a body that nobody wants is read at least.
const REST: u64 = 8 << 20;

/// The address of whoever is at the other end, an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(pub(crate) SocketAddr);

/// What serves connections.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    app: App,
    router: Router,
    /// Holds every connection, and every request of HTTP/2.
    tracker: TaskTracker,
    /// Cancelled: no new connections, no new requests; those under way are finished.
    closing: CancellationToken,
    /// Cancelled: connections are dropped.
    gone: CancellationToken,
}

impl Front {
    pub(crate) fn new(
        app: App,
        router: Router,
        closing: CancellationToken,
        gone: CancellationToken,
    ) -> Self {
        Self {
            app,
            router,
            tracker: TaskTracker::new(),
            closing,
            gone,
        }
    }

    /// Accepts until it is closing.
    pub(crate) async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = self.closing.cancelled() => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let front = self.clone();
                    self.tracker.spawn(async move {
                        front.connection(stream, remote).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// Waits until every request is answered that was under way when `closing` was cancelled, or
    /// until then. What is left goes on.
    pub(crate) async fn quiet(&self, until: tokio::time::Instant) {
        self.tracker.close();
        let _ = tokio::time::timeout_at(until, self.tracker.wait()).await;
    }

    /// Waits until every connection has ended; call it after `closing` was cancelled. What is left
    /// at the deadline is dropped.
    pub(crate) async fn drained(&self, deadline: tokio::time::Instant) {
        self.tracker.close();
        if tokio::time::timeout_at(deadline, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.tracker.len(),
                "requests are broken off: they took longer than the grace"
            );
        }
        self.gone.cancel();
        self.tracker.wait().await;
    }

    async fn connection(self, stream: TcpStream, remote: SocketAddr) {
        // A message is whole when it is written: waiting for more only costs time.
        let _ = stream.set_nodelay(true);
        let begun = CancellationToken::new();
        let service = {
            let (front, begun) = (self.clone(), begun.clone());
            service_fn(move |request| {
                begun.cancel();
                let front = front.clone();
                async move { Ok::<_, Infallible>(front.answer(request, remote).await) }
            })
        };
        let mut builder = auto::Builder::new(Tracked(self.tracker.clone(), self.gone.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let silent = tokio::time::sleep(HEAD);
        let mut silent = std::pin::pin!(silent);
        let (mut waiting, mut closing) = (true, false);
        loop {
            let event = tokio::select! {
                ended = connection.as_mut() => Event::Ended(ended.err()),
                () = self.gone.cancelled() => Event::Gone,
                () = self.closing.cancelled(), if !closing => Event::Closing,
                // Until it is known which HTTP this is, hyper has no deadline of its own.
                () = silent.as_mut(), if waiting => Event::Silent,
            };
            match event {
                Event::Ended(error) => {
                    if let Some(error) = error {
                        tracing::debug!(%error, "a connection ended");
                    }
                    return;
                }
                Event::Gone => return,
                Event::Closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Event::Silent if begun.is_cancelled() => waiting = false,
                Event::Silent => return,
            }
        }
    }

    async fn answer(
        mut self,
        mut request: Request<Incoming>,
        remote: SocketAddr,
    ) -> Response<Body> {
        if request.uri().path() == "/rpc" {
            return self.door(request).await;
        }
        request.extensions_mut().insert(Remote(remote));
        let asks_first = request.headers().contains_key(header::EXPECT);
        let bounds = Bounds {
            most: self.app.config().max_package.saturating_mul(2).max(REST),
            tracker: self.tracker.clone(),
            gone: self.gone.clone(),
        };
        let request = request.map(|body| Body::new(Unread::new(body, asks_first, bounds)));
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The plugins' door: no limits of the API, no line in its log.
    async fn door(&self, request: Request<Incoming>) -> Response<Body> {
        if self.closing.is_cancelled() {
            return dial_again();
        }
        let host = &self.app.registry().parts().host;
        let mut all_known = self.app.is_loaded();
        if !all_known && is_unknown(host, &request).await {
            // Who is unknown now may be known in a moment, and programs take 401 as final. Those who
            // are told to dial again, a thousand of them, only hold up what they wait for.
            let loaded = tokio::time::timeout(HOLD, self.app.until_loaded());
            all_known = match self.closing.run_until_cancelled(loaded).await {
                None => return dial_again(),
                Some(loaded) => loaded.is_ok(),
            };
        }
        let answer = host.answer(request).await;
        if answer.status() == StatusCode::UNAUTHORIZED && !all_known {
            return dial_again();
        }
        answer.map(Body::new)
    }
}

/// Whether nobody here has the token of a dial.
async fn is_unknown(host: &Host, request: &Request<Incoming>) -> bool {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let credential = Credential::from_query(request.uri().query().unwrap_or_default())
        .authorization(authorization.and_then(|value| value.to_str().ok()));
    matches!(host.admit(credential).await, Err(Refused::Unauthenticated))
}

/// 503 for a plugin: it passes.
fn dial_again() -> Response<Body> {
    let mut response = Response::new(Body::from("not ready; dial again\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

enum Event {
    Ended(Option<Box<dyn std::error::Error + Send + Sync>>),
    Gone,
    Closing,
    Silent,
}

/// Puts hyper's tasks where somebody waits for them.
#[derive(Clone)]
struct Tracked(TaskTracker, CancellationToken);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let gone = self.1.clone();
        self.0.spawn(gone.run_until_cancelled_owned(future));
    }
}
