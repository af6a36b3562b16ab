//! The plugins' door on a listener of the host's own: `GET /rpc` and nothing else.
//!
//! Paths, parameters, statuses and bodies are those of Storyden's plugin runner; what differs is
//! that a token is not burnt by a handshake that fails, and that what passes is 503 and not a 4xx,
//! which programs take as final.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use jackfield_rpc::{Limits, WebSocket};
use jackfield_wire::Client;
use jackfield_wire::method::SUBPROTOCOL;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::admit::{Credential, Refused};
use crate::attach::limits;
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
    limits: Limits,
}

impl Door {
    fn of(host: &Host) -> Self {
        let inner = &host.inner;
        Self {
            host: Arc::downgrade(inner),
            tracker: inner.tracker.clone(),
            gone: inner.gone.clone(),
            limits: limits(&inner.policy),
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
        async move { Ok::<_, Infallible>(answer::<S>(request, door).await) }
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

async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut request: Request<Incoming>,
    door: Door,
) -> Response<String> {
    if request.uri().path() != "/rpc" {
        return plain(StatusCode::NOT_FOUND, "not found: plugins dial /rpc\n");
    }
    let headers = request.headers();
    let offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let speaks_v1 = offered.iter().any(|name| name == SUBPROTOCOL);
    let credential = Credential::from_query(request.uri().query().unwrap_or_default())
        .authorization(text(headers, &header::AUTHORIZATION))
        .client(Client {
            user_agent: text(headers, &header::USER_AGENT).map(ToOwned::to_owned),
            speaks_v1,
        });
    let admitted = match door.host() {
        Ok(host) => host.admit(credential).await,
        Err(refused) => Err(refused),
    };
    let admission = match admitted {
        Ok(admission) => admission,
        Err(refused) => return refusal(refused),
    };
    let accept = match handshake(&request) {
        Ok(accept) => accept,
        Err(response) => return *response,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (gone, tracker) = (door.gone.clone(), door.tracker.clone());
    tracker.spawn(async move {
        let upgraded = tokio::select! {
            () = gone.cancelled() => return,
            upgraded = upgrade => upgraded,
        };
        let Ok(upgraded) = upgraded else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<S>>() else {
            return;
        };
        let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket = WebSocket::server_after(stream, early, &door.limits).await;
        if let Ok(host) = door.host() {
            let attached = host.attach(admission, socket).await;
            if let Err(refused) = attached {
                tracing::debug!(%refused, "a dial came too late");
            }
        }
    });
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_v1 {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    response
}

/// Whether this is a WebSocket handshake (RFC 6455, 4.2.1); the accept key if it is.
fn handshake(request: &Request<Incoming>) -> Result<HeaderValue, Box<Response<String>>> {
    let headers = request.headers();
    let refuse = |status, text: &str| Err(Box::new(plain(status, text)));
    let has = |name, value: &str| {
        tokens(headers, name)
            .iter()
            .any(|token| token.eq_ignore_ascii_case(value))
    };
    if !has(&header::CONNECTION, "upgrade") || !has(&header::UPGRADE, "websocket") {
        let mut response = plain(
            StatusCode::UPGRADE_REQUIRED,
            "this is a WebSocket: send an upgrade request\n",
        );
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(response));
    }
    if request.method() != Method::GET {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "a WebSocket begins with GET\n",
        );
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let version = text(headers, &header::SEC_WEBSOCKET_VERSION);
    let (Some(key), Some("13")) = (key, version) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "WebSocket version 13 with a key is expected\n",
        );
    };
    if !is_key(key.as_bytes()) {
        return refuse(StatusCode::BAD_REQUEST, "not a WebSocket key\n");
    }
    let origin = text(headers, &header::ORIGIN);
    let host = text(headers, &header::HOST).unwrap_or_default();
    let foreign = |origin: &str| {
        let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        !authority.eq_ignore_ascii_case(host)
    };
    if origin.is_some_and(foreign) {
        return refuse(
            StatusCode::FORBIDDEN,
            "a page of another origin may not dial\n",
        );
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .or_else(|_| refuse(StatusCode::BAD_REQUEST, "not a WebSocket key\n"))
}

/// Sixteen bytes in base64 (RFC 6455, 4.2.1).
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

fn refusal(refused: Refused) -> Response<String> {
    let status = StatusCode::from_u16(refused.status()).expect("a known status");
    let mut response = plain(status, &format!("{refused}\n"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn plain(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The comma-separated values of a header, over all its lines.
fn tokens(headers: &HeaderMap, name: &header::HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_owned())
        .collect()
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
