//! Connections, from being accepted to being drained.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::door::Door;
use super::listen::{Listener, Stream};
use super::paths::Body;
use super::stopping::Stopping;
use super::upgrade::{self, Upgrading};

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// After a failure to accept that is not one connection's own: no more descriptors, for one.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long a connection on which nothing was ever asked may take to end.
const UNUSED: Duration = Duration::from_millis(250);
/// Streams at a time in one HTTP/2 connection.
const MOST_STREAMS: u32 = 250;
/// Window of a stream and of a connection, and the size of a frame: what large messages need to go through in one go.
const WINDOW: u32 = 1 << 20;

/// Runs what belongs to connections where their end can be waited for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// What a connection needs.
struct Line {
    builder: Builder<Tracked>,
    door: Arc<Door>,
    stopping: Stopping,
    tasks: TaskTracker,
}

/// Accepts until stopping; connections and their calls go on in the tracker.
pub(crate) async fn accept(
    listener: Listener,
    door: Arc<Door>,
    stopping: Stopping,
    tasks: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let line = Arc::new(Line {
        builder: builder(&tasks),
        door,
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.requested() => break,
            accepted = next(&listener, &room) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let line = Arc::clone(&line);
        tasks.spawn(async move {
            line.serve(stream).await;
            drop(place);
        });
    }
    listener.close();
}

async fn next(
    listener: &Listener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(Box<dyn Stream>, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // It is never closed.
    let place = room.clone().acquire_owned().await.ok();
    Ok((listener.accept().await?, place))
}

fn builder(tasks: &TaskTracker) -> Builder<Tracked> {
    let mut builder = Builder::new(Tracked(tasks.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(WINDOW);
    builder
}

impl Line {
    /// Serves a connection to its end.
    async fn serve(self: Arc<Self>, stream: Box<dyn Stream>) {
        let line = Arc::clone(&self);
        let used = Arc::new(AtomicBool::new(false));
        let using = Arc::clone(&used);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            using.store(true, Ordering::Relaxed);
            Arc::clone(&line)
                .answer(request.map(Body))
                .map(Ok::<_, Infallible>)
        });
        let io = TokioIo::new(stream);
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.requested() => {
                connection.as_mut().graceful_shutdown();
                match used.load(Ordering::Relaxed) {
                    true => connection.await,
                    // Half a head is no call, and not waited for. Who never asked is told, and that takes no time.
                    false => match timeout(UNUSED, connection).await {
                        Ok(ended) => ended,
                        Err(_) => return,
                    },
                }
            }
        };
        // Who hangs up while the plugin ends does what it asked for.
        if let Err(error) = ended
            && !self.stopping.is_requested()
        {
            tracing::debug!(%error, "A connection broke");
        }
    }

    fn answer(
        self: Arc<Self>,
        request: http::Request<Body>,
    ) -> BoxFuture<'static, http::Response<Answer>> {
        if self.stopping.is_requested() || !upgrade::is_wanted(&request) {
            return Arc::clone(&self.door).answer(request);
        }
        Box::pin(async move {
            match upgrade::take(request).await {
                Ok((answer, upgrading)) => {
                    self.tasks.clone().spawn(self.go_on(upgrading));
                    answer
                }
                Err(refused) => refused,
            }
        })
    }

    /// Boxed, since it is a connection within one.
    fn go_on(self: Arc<Self>, upgrading: Upgrading) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            match upgrading.upgraded().await {
                Ok(stream) => self.serve(Box::new(stream)).await,
                Err(error) => tracing::debug!(%error, "A connection broke"),
            }
        })
    }
}
