//! The client's handshake of a WebSocket.
//!
//! tungstenite's own refuses a server that takes none of the subprotocols it was offered, which
//! every host of the original contract is, and it logs the request with the token in it.

use std::fmt;
use std::io;
use std::time::Duration;

use jackfield_wire::method::SUBPROTOCOL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::options::Limits;
use crate::websocket::WebSocket;

/// The head of an answer may have this many bytes.
const MAX_HEAD: usize = 16 << 10;
/// So much of the body of a refusal is kept.
const MAX_BODY: usize = 512;
/// The time for the body of a refusal, whose head is all that is needed.
const BODY_PATIENCE: Duration = Duration::from_millis(500);

/// How to dial.
#[derive(Clone)]
pub struct DialOptions {
    /// Whether to offer the subprotocol `jackfield.v1`. True. Hosts that do not know it do not
    /// take it, and get exactly the original contract.
    pub subprotocol: bool,
    /// The `User-Agent`. `jackfield/<version>`.
    pub user_agent: String,
    /// The time for all of it, resolving the name included. 10 s.
    pub timeout: Duration,
    /// More headers, with names and values as HTTP has them. `Debug` shows their names alone.
    pub headers: Vec<(String, String)>,
    /// The bounds for what is read.
    pub limits: Limits,
}

/// What the two sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Whether the server took the subprotocol `jackfield.v1`.
    pub speaks_v1: bool,
}

/// Why there is no connection. Never shows the URL's path and query, where tokens are.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL is not one that can be dialled.
    #[error("the URL cannot be dialled: {reason}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered, and not with an upgrade.
    #[error("{host} refused with HTTP {status}{}", colon(body))]
    Http {
        /// Host and port.
        host: String,
        /// The status code.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// What answers is no WebSocket server.
    #[error("{host} does not speak WebSocket: {reason}")]
    Handshake {
        /// Host and port.
        host: String,
        /// What was wrong.
        reason: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {after:?}")]
    Timeout {
        /// Host and port.
        host: String,
        /// The time it had.
        after: Duration,
    },
}

struct Target {
    host: String,
    port: u16,
    /// Host and port as in the URL.
    authority: String,
    /// With the query.
    path: String,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            subprotocol: true,
            user_agent: concat!("jackfield/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(10),
            headers: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Dials `ws://host[:port]/path?query` and does the handshake.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(
    url: &str,
    options: &DialOptions,
) -> Result<(WebSocket<TcpStream>, Negotiated), DialError> {
    let target = Target::parse(url)?;
    let extra = headers(options)?;
    let after = options.timeout;
    timeout(after, connect(&target, &extra, options))
        .await
        .unwrap_or_else(|_| {
            let host = target.authority.clone();
            Err(DialError::Timeout { host, after })
        })
}

impl Target {
    fn parse(url: &str) -> Result<Self, DialError> {
        let bad = |reason: &str| DialError::BadUrl {
            reason: reason.to_owned(),
        };
        let uri: Uri = url
            .trim()
            .parse()
            .map_err(|_| bad("it is not a URL such as ws://localhost:8000/rpc?token=…"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(bad("wss is not supported yet, only ws is")),
            Some(other) => return Err(bad(&format!("{other}:// is not ws://"))),
            None => return Err(bad("it does not begin with ws://")),
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("it names no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self {
            authority: match uri.port_u16() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }
}

fn headers(options: &DialOptions) -> Result<HeaderMap, DialError> {
    let mut map = HeaderMap::new();
    let agent = ("user-agent", options.user_agent.as_str());
    let others = options.headers.iter();
    let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in std::iter::once(agent).chain(others) {
        let bad = || DialError::BadUrl {
            reason: format!("{name:?} is no header, or its value is none"),
        };
        let value = HeaderValue::from_str(value).map_err(|_| bad())?;
        map.append(HeaderName::try_from(name).map_err(|_| bad())?, value);
    }
    Ok(map)
}

async fn connect(
    target: &Target,
    extra: &HeaderMap,
    options: &DialOptions,
) -> Result<(WebSocket<TcpStream>, Negotiated), DialError> {
    let unreachable = |source| DialError::Unreachable {
        host: target.authority.clone(),
        source,
    };
    let mut stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let key = generate_key();
    let request = request(target, &key, extra, options.subprotocol);
    stream.write_all(&request).await.map_err(unreachable)?;

    let (response, rest) = head(target, &mut stream).await?;
    if response.status() != 101 {
        return Err(DialError::Http {
            host: target.authority.clone(),
            status: response.status().as_u16(),
            body: body(&mut stream, rest).await,
        });
    }
    let speaks_v1 =
        agreed(&response, &key, options.subprotocol).map_err(|reason| DialError::Handshake {
            host: target.authority.clone(),
            reason: reason.to_owned(),
        })?;
    let socket = WebSocket::client(stream, rest, &options.limits).await;
    Ok((socket, Negotiated { speaks_v1 }))
}

fn request(target: &Target, key: &str, extra: &HeaderMap, subprotocol: bool) -> Vec<u8> {
    let Target {
        path, authority, ..
    } = target;
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )
    .into_bytes();
    if subprotocol {
        request.extend(format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n").into_bytes());
    }
    for (name, value) in extra {
        request.extend(name.as_str().as_bytes());
        request.extend(b": ");
        request.extend(value.as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request
}

/// The head of the answer, and what came after it.
async fn head(target: &Target, stream: &mut TcpStream) -> Result<(Response, Vec<u8>), DialError> {
    let broken = |reason: String| DialError::Handshake {
        host: target.authority.clone(),
        reason,
    };
    let mut read = Vec::with_capacity(1024);
    loop {
        let count = stream
            .read_buf(&mut read)
            .await
            .map_err(|source| DialError::Unreachable {
                host: target.authority.clone(),
                source,
            })?;
        if count == 0 {
            return Err(broken("it hung up before it answered".to_owned()));
        }
        match Response::try_parse(&read) {
            Ok(Some((size, response))) => return Ok((response, read.split_off(size))),
            Ok(None) if read.len() > MAX_HEAD => {
                return Err(broken("its answer has no end".to_owned()));
            }
            Ok(None) => {}
            Err(error) => return Err(broken(error.to_string())),
        }
    }
}

async fn body(stream: &mut TcpStream, mut read: Vec<u8>) -> String {
    let _ = timeout(BODY_PATIENCE, async {
        while read.len() < MAX_BODY && stream.read_buf(&mut read).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    read.truncate(MAX_BODY);
    String::from_utf8_lossy(&read).trim().to_owned()
}

/// Checks the answer as RFC 6455 asks (4.1), but for the subprotocol, which may be missing.
fn agreed(response: &Response, key: &str, offered: bool) -> Result<bool, &'static str> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::trim)
    };
    if !header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err("no `Upgrade: websocket` in its answer");
    }
    let upgrades = |value: &str| {
        value
            .split(',')
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    };
    if !header("connection").is_some_and(upgrades) {
        return Err("no `Connection: upgrade` in its answer");
    }
    if header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err("a wrong `Sec-WebSocket-Accept` in its answer");
    }
    if header("sec-websocket-extensions").is_some() {
        return Err("it uses an extension that was not offered");
    }
    match header("sec-websocket-protocol") {
        None => Ok(false),
        Some(SUBPROTOCOL) if offered => Ok(true),
        Some(_) => Err("it took a subprotocol that was not offered"),
    }
}

impl fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("DialOptions")
            .field("subprotocol", &self.subprotocol)
            .field("user_agent", &self.user_agent)
            .field("timeout", &self.timeout)
            .field("headers", &names)
            .field("limits", &self.limits)
            .finish()
    }
}

fn colon(body: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    match line {
        "" => String::new(),
        line => format!(": {line}"),
    }
}
