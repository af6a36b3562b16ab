//! The plugins' door on a listener of the host's own: `GET /rpc` and nothing else.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::admit::Refused;
use crate::answer::{not_found, refusal};
use crate::host::{Host, Inner};

/// Where the door can listen.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Connections that have not become a line yet, at once.
const CONNECTIONS: usize = 1024;
/// Time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Pause after an accept that failed, as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Host {
    /// Opens the door on one more listener, until the host ends.
    pub fn serve(&self, listener: impl Into<Listener>) {
        let (listener, door) = (listener.into(), Door::of(self));
        self.inner.tracker.spawn(async move {
            let gone = door.gone.clone();
            tokio::select! {
                () = gone.cancelled() => {}
                () = accept(listener, door) => {}
            }
        });
    }
}

/// What a connection needs of the host without keeping it alive.
#[derive(Clone)]
struct Door {
    host: std::sync::Weak<Inner>,
    tracker: tokio_util::task::TaskTracker,
    gone: tokio_util::sync::CancellationToken,
}

impl Door {
    fn of(host: &Host) -> Self {
        let inner = &host.inner;
        Self {
            host: Arc::downgrade(inner),
            tracker: inner.tracker.clone(),
            gone: inner.gone.clone(),
        }
    }

    fn host(&self) -> Result<Host, Refused> {
        let inner = self.host.upgrade().ok_or(Refused::Gone)?;
        Ok(Host { inner })
    }
}

async fn accept(listener: Listener, door: Door) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                // A frame is a whole message: waiting for more only costs time.
                let _ = stream.set_nodelay(true);
                Either::Tcp(stream)
            }),
            Listener::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| Either::Unix(stream)),
        };
        let door = door.clone();
        match accepted {
            Ok(stream) => {
                door.tracker.clone().spawn(async move {
                    let gone = door.gone.clone();
                    tokio::select! {
                        () = gone.cancelled() => {}
                        () = async {
                            match stream {
                                Either::Tcp(stream) => talk(stream, door).await,
                                Either::Unix(stream) => talk(stream, door).await,
                            }
                        } => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a plugin's connection was not accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, door: Door) {
    let service = service_fn(|request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(answer(request, door).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a plugin's connection ended");
    }
}

async fn answer(request: Request<Incoming>, door: Door) -> Response<String> {
    if request.uri().path() != "/rpc" {
        return not_found();
    }
    match door.host() {
        Ok(host) => host.answer(request).await,
        Err(refused) => refusal(refused),
    }
}

/// Where a program on this machine reaches a listener: one that listens everywhere is dialed on
/// the loopback.
pub(crate) fn dialable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// The address to dial, from the one under which the host is known: `https` and `wss` become
/// `wss`, everything else `ws`; the path is replaced.
pub(crate) fn rpc_url(public: &str) -> Option<String> {
    let (scheme, rest) = public.split_once("://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => "wss",
        "http" | "ws" => "ws",
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let plain = !authority.is_empty() && !authority.contains('@') && authority.is_ascii();
    plain.then(|| format!("{scheme}://{authority}/rpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_becomes_the_one_to_dial() {
        for (public, dialed) in [
            ("http://localhost:8000", Some("ws://localhost:8000/rpc")),
            ("https://example.org/app/?x", Some("wss://example.org/rpc")),
            ("ws://[::1]:9", Some("ws://[::1]:9/rpc")),
            ("ftp://x", None),
            ("localhost:8000", None),
            ("http://", None),
            ("http://user:secret@host", None),
        ] {
            assert_eq!(rpc_url(public).as_deref(), dialed, "{public}");
        }
    }
}
