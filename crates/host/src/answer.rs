//! The plugins' door: what every `GET /rpc` is answered, on whatever server it came in.
//!
//! Parameters, statuses and bodies are those of Storyden's plugin runner; what differs is that a
//! token is not burnt by a handshake that fails, and that what passes is 503 and not a 4xx, which
//! programs take as final.

use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jackfield_rpc::WebSocket;
use jackfield_wire::Client;
use jackfield_wire::method::SUBPROTOCOL;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::admit::{Admission, Credential, Refused};
use crate::attach::limits;
use crate::host::Host;

impl Host {
    /// The plugins' door for a web server of the application's own: both steps of a dial in one.
    /// Give it every request for `/rpc`, whatever its method, and send what it returns.
    ///
    /// The answer is 101 when a plugin may come in; the line is opened once the server has let go
    /// of the connection, by a task of the host's. Anything else is the refusal, in plain text. The
    /// path is not looked at and the body not read. Works with every server on hyper that serves
    /// connections *with upgrades* (axum's does); others take [`Host::admit`] and [`Host::attach`].
    ///
    /// Cancel safe: a dial that is dropped has burnt nothing.
    ///
    /// ```no_run
    /// # use hyper::{Request, Response, body::Incoming, service::service_fn};
    /// # use hyper_util::rt::TokioIo;
    /// # async fn serve(host: jackfield::Host, stream: tokio::net::TcpStream) -> hyper::Result<()> {
    /// let service = service_fn(|request: Request<Incoming>| {
    ///     let host = host.clone();
    ///     async move {
    ///         Ok::<_, std::convert::Infallible>(match request.uri().path() {
    ///             "/rpc" => host.answer(request).await,
    ///             _ => Response::new("the application\n".to_owned()),
    ///         })
    ///     }
    /// });
    /// hyper::server::conn::http1::Builder::new()
    ///     .serve_connection(TokioIo::new(stream), service)
    ///     .with_upgrades()
    ///     .await
    /// # }
    /// ```
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<String> {
        let upgrade = hyper::upgrade::on(&mut request);
        // What a body is made of need not be shareable between threads.
        let (request, _) = request.into_parts();
        let headers = &request.headers;
        let offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let speaks_v1 = offered.iter().any(|name| name == SUBPROTOCOL);
        let credential = Credential::from_query(request.uri.query().unwrap_or_default())
            .authorization(text(headers, &header::AUTHORIZATION))
            .client(Client {
                user_agent: text(headers, &header::USER_AGENT).map(ToOwned::to_owned),
                speaks_v1,
            });
        let admission = match self.admit(credential).await {
            Ok(admission) => admission,
            Err(refused) => return refusal(refused),
        };
        let accept = match handshake(&request.method, headers) {
            Ok(accept) => accept,
            Err(response) => return *response,
        };
        self.take(admission, upgrade);
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

    /// Makes a line of the connection as soon as its server has sent the answer. Does not keep the
    /// host alive meanwhile.
    fn take(&self, admission: Admission, upgrade: OnUpgrade) {
        let inner = &self.inner;
        let (host, gone) = (Arc::downgrade(inner), inner.gone.clone());
        let limits = limits(&inner.policy);
        inner.tracker.spawn(async move {
            let upgraded = tokio::select! {
                () = gone.cancelled() => return,
                upgraded = upgrade => upgraded,
            };
            let Ok(upgraded) = upgraded else { return };
            // What is below may be wrapped by the server in what only it can name.
            let socket = WebSocket::server_with(TokioIo::new(upgraded), &limits).await;
            let Some(inner) = host.upgrade() else { return };
            let attached = Self { inner }.attach(admission, socket).await;
            if let Err(refused) = attached {
                tracing::debug!(%refused, "a dial came too late");
            }
        });
    }
}

pub(crate) fn not_found() -> Response<String> {
    plain(StatusCode::NOT_FOUND, "not found: plugins dial /rpc\n")
}

/// Whether this is a WebSocket handshake (RFC 6455, 4.2.1); the accept key if it is.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Box<Response<String>>> {
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
    if method != Method::GET {
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

pub(crate) fn refusal(refused: Refused) -> Response<String> {
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
