//! One connection, from the attempt to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::ChannelError;
use crate::endpoint::KeepAlive;
use crate::owner::Connector;
use crate::task;

/// As the original's client has them: a stream of large messages does not wait for the other side.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024 * 1024;
const HEADER_LIST: u32 = 1024 * 1024;

/// How long a connection may take to come about on this machine.
const CONNECT: Duration = Duration::from_secs(10);

/// As good as never, and not beyond the clock: hyper adds what it is given to it.
pub(super) const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Sender = http2::SendRequest<RequestBody>;

/// How far a connection is.
#[derive(Clone)]
pub(crate) enum Link {
    Connecting,
    Up(Sender),
    Down(ChannelError),
}

/// Begins to connect. The connection lasts until the other side ends it, or all receivers, and with them all who
/// could use it, are dropped; answers that are under way then go on.
pub(crate) fn open(connector: Arc<Connector>, keep_alive: KeepAlive) -> watch::Receiver<Link> {
    let (link, watched) = watch::channel(Link::Connecting);
    // Ends with its receivers.
    drop(task::spawn(run(connector, keep_alive, link)));
    watched
}

async fn run(connector: Arc<Connector>, keep_alive: KeepAlive, link: watch::Sender<Link>) {
    let connected = tokio::select! {
        connected = timeout(CONNECT, connect(&connector, keep_alive)) => connected,
        () = link.closed() => return,
    };
    let timed_out = || {
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Err(ChannelError::Connect(Arc::new(error)))
    };
    let down = match connected.unwrap_or_else(|_| timed_out()) {
        Ok((sender, connection)) => {
            link.send_replace(Link::Up(sender));
            let mut connection = std::pin::pin!(connection);
            let end = tokio::select! {
                end = &mut connection => end,
                () = link.closed() => {
                    // The last sender goes with it.
                    link.send_replace(Link::Down(ChannelError::Closed));
                    connection.await
                }
            };
            end.map_or_else(ChannelError::http, |()| ChannelError::Closed)
        }
        Err(error) => error,
    };
    link.send_replace(Link::Down(down));
}

async fn connect(
    connector: &Connector,
    keep_alive: KeepAlive,
) -> Result<(Sender, impl Future<Output = hyper::Result<()>>), ChannelError> {
    let stream = TokioIo::new(connector.connect().await?);
    // Its tasks, one for the connection and one or two for each open call, end with them.
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .keep_alive_interval(keep_alive.interval.map(|every| every.min(NEVER)))
        .keep_alive_timeout(keep_alive.timeout.min(NEVER))
        .keep_alive_while_idle(keep_alive.while_idle);
    builder.handshake(stream).await.map_err(ChannelError::http)
}
