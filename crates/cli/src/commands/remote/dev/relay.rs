//! Between program and server: takes the program's dial, dials the server, and shows what goes by.
//!
//! The program keeps its line when the one to the server breaks: what it waits for is answered, and the server dialed
//! again.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield::Token;
use reqwest::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use reqwest::{StatusCode, Upgraded, Url, redirect};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, http};

use super::wire::{Calls, Side, line};
use crate::client::builder;
use crate::out::{Out, Style, plain};

/// Where the program dials, and what for.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    listener: TcpListener,
    /// What the program has to show.
    key: Token,
    http: reqwest::Client,
    /// `http://…/rpc`
    server: Url,
    /// What the server has to be shown.
    token: String,
    out: &'a Out,
}

/// Why the server was not reached.
#[derive(Debug)]
enum Refused {
    /// It said no.
    Status(StatusCode, String),
    /// It did not answer.
    Away(String),
}

/// One of the two lines ended.
enum Ended {
    Plugin,
    Server(Option<CloseFrame>),
}

type Plugin = WebSocketStream<TcpStream>;
type Server = WebSocketStream<Upgraded>;

const HEAD: usize = 16 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);
const MESSAGE: usize = 64 << 20;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between attempts to reach the server.
const AGAIN: Duration = Duration::from_secs(1);
/// A server that has not noticed yet that the line before this one has ended, or that starts, takes it in a moment.
const MOMENT: u32 = 5;

impl<'a> Relay<'a> {
    /// Listens on a free port of this machine alone.
    pub(super) async fn listen(base: &Url, token: String, out: &'a Out) -> io::Result<Self> {
        let http = builder(base)
            .http1_only()
            .connect_timeout(HANDSHAKE)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        let mut server = base.clone();
        if let Ok(mut path) = server.path_segments_mut() {
            path.pop_if_empty().push("rpc");
        }
        Ok(Self {
            listener: TcpListener::bind(("127.0.0.1", 0)).await?,
            key: Token::external(),
            http,
            server,
            token,
            out,
        })
    }

    /// What the program finds in its environment.
    pub(super) fn url(&self) -> io::Result<String> {
        let address = self.listener.local_addr()?;
        Ok(format!("ws://{address}/rpc?token={}", self.key.reveal()))
    }

    /// Serves one line at a time, a new one in place of an old one, until it is dropped.
    pub(super) async fn serve(&self, bodies: bool) -> io::Error {
        let mut dialed = Box::pin(self.dialed());
        let mut next = dialed.as_mut().await;
        loop {
            let (stream, request) = match next {
                Ok(next) => next,
                Err(error) => return error,
            };
            // Kept over the end of the line: whoever is in the middle of its handshake then is not lost.
            dialed.set(self.dialed());
            let mut calls = Calls::new(self.out, bodies);
            next = tokio::select! {
                () = self.talk(stream, request, &mut calls) => dialed.as_mut().await,
                next = &mut dialed => next,
            };
        }
    }

    /// The next program that dials and may.
    async fn dialed(&self) -> io::Result<(TcpStream, Request)> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let _ = stream.set_nodelay(true);
            let Ok(Some(request)) = timeout(HANDSHAKE, head(&mut stream)).await else {
                continue;
            };
            let known = format!("token={}", self.key.reveal());
            let mut shown = request.uri().query().unwrap_or_default().split('&');
            if shown.any(|part| part == known) {
                return Ok((stream, request));
            }
            refuse(&mut stream, StatusCode::UNAUTHORIZED, "unauthenticated\n").await;
        }
    }

    /// One line of the program, from its handshake to its end.
    async fn talk(&self, mut stream: TcpStream, request: Request, calls: &mut Calls<'_>) {
        let Ok(mut response) = create_response(&request) else {
            let text = "invalid connection parameters\n";
            return refuse(&mut stream, StatusCode::BAD_REQUEST, text).await;
        };
        let first = match self.reach(&request).await {
            Ok(first) => first,
            Err(Refused::Status(status, text)) => {
                let words = format!("the server refuses: {status} {}", plain(text.trim()));
                self.say("refused", &words);
                return refuse(&mut stream, status, &text).await;
            }
            Err(Refused::Away(why)) => {
                self.say(
                    "away",
                    &format!("the server is not reached: {}", plain(&why)),
                );
                let text = "the server is not reached\n";
                return refuse(&mut stream, StatusCode::SERVICE_UNAVAILABLE, text).await;
            }
        };
        let (mut server, protocol) = first;
        if let Some(protocol) = &protocol {
            let name = http::header::SEC_WEBSOCKET_PROTOCOL;
            response.headers_mut().insert(name, protocol.clone());
        }
        let mut answer = Vec::new();
        if write_response(&mut answer, &response).is_err()
            || stream.write_all(&answer).await.is_err()
        {
            return;
        }
        let mut plugin =
            WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits())).await;
        self.say("connected", "the plugin is connected to the server");
        loop {
            match pump(&mut plugin, &mut server, calls).await {
                Ended::Plugin => {
                    self.say("disconnected", "the plugin hung up");
                    calls.plugin_gone();
                    let _ = timeout(FAREWELL, farewell(&mut server)).await;
                    return;
                }
                Ended::Server(close) => {
                    let text = close.as_ref().map(|close| close.reason.to_string());
                    let why = text.filter(|text| !text.is_empty());
                    let why = why.map_or_else(String::new, |why| format!(": {}", plain(&why)));
                    self.say("disconnected", &format!("the server hung up{why}"));
                    // Not wanted: the program is told so.
                    if close
                        .as_ref()
                        .is_some_and(|close| u16::from(close.code) == 1008)
                    {
                        let _ = timeout(FAREWELL, plugin.close(close)).await;
                        return;
                    }
                }
            }
            for answer in calls.server_gone() {
                if plugin.send(Message::text(answer)).await.is_err() {
                    return;
                }
            }
            server = match self.again(&mut plugin, &request, protocol.as_ref()).await {
                Some(server) => server,
                None => return,
            };
            self.say("connected", "the server is there again");
        }
    }

    /// Dials the server until it takes the same kind of line; `None` when the plugin has gone or is not wanted.
    async fn again(
        &self,
        plugin: &mut Plugin,
        request: &Request,
        protocol: Option<&http::HeaderValue>,
    ) -> Option<Server> {
        loop {
            tokio::select! {
                reached = self.dial(request) => match reached {
                    Ok((server, same)) if same.as_ref() == protocol => return Some(server),
                    // Another version of the server: the handshake has to be made anew.
                    Ok(_) => return None,
                    Err(Refused::Status(status, _)) if status == StatusCode::UNAUTHORIZED => {
                        self.say("refused", "the server does not know the plugin's token any more");
                        let _ = timeout(FAREWELL, plugin.close(None)).await;
                        return None;
                    }
                    Err(_) => {}
                },
                gone = gone(plugin) => if gone { return None },
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                gone = gone(plugin) => if gone { return None },
            }
        }
    }

    /// The first dial: patient with a server that needs a moment.
    async fn reach(
        &self,
        request: &Request,
    ) -> Result<(Server, Option<http::HeaderValue>), Refused> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.dial(request).await {
                Err(Refused::Status(status, _))
                    if attempt < MOMENT
                        && matches!(
                            status,
                            StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE
                        ) =>
                {
                    sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }

    async fn dial(
        &self,
        request: &Request,
    ) -> Result<(Server, Option<http::HeaderValue>), Refused> {
        let mut dial = self
            .http
            .get(self.server.clone())
            .bearer_auth(&self.token)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, generate_key());
        for name in [SEC_WEBSOCKET_PROTOCOL, USER_AGENT] {
            if let Some(value) = request.headers().get(name.as_str()) {
                dial = dial.header(name, value.as_bytes());
            }
        }
        let away = |error: reqwest::Error| Refused::Away(root(&error.without_url()));
        let silent = |_| Refused::Away("it does not answer".to_owned());
        let response = timeout(HANDSHAKE, dial.send()).await.map_err(silent)?;
        let response = response.map_err(away)?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let text = timeout(FAREWELL, response.text()).await;
            let text = text.ok().and_then(Result::ok).unwrap_or_default();
            let text = text.chars().take(500).collect();
            return Err(Refused::Status(status, text));
        }
        let protocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned();
        let stream = response.upgrade().await.map_err(away)?;
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits())).await;
        Ok((socket, protocol))
    }

    fn say(&self, kind: &str, text: &str) {
        let style = if kind == "connected" {
            Style::Good
        } else {
            Style::Odd
        };
        let object = json!({ "type": kind, "text": text });
        line(self.out, &object, "relay", self.out.style(style, text));
    }
}

/// Hands on what comes, both ways, until one of the two ends.
async fn pump(plugin: &mut Plugin, server: &mut Server, calls: &mut Calls<'_>) -> Ended {
    loop {
        tokio::select! {
            message = plugin.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if calls.seen(Side::Plugin, &text)
                        && server.send(Message::Text(text)).await.is_err()
                    {
                        return Ended::Server(None);
                    }
                }
                Some(Ok(Message::Binary(bytes))) => {
                    // The contract takes both.
                    let known = std::str::from_utf8(&bytes).is_ok_and(|text| !calls.seen(Side::Plugin, text));
                    if !known && server.send(Message::Binary(bytes)).await.is_err() {
                        return Ended::Server(None);
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::Plugin,
            },
            message = server.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if let Ok(text) = message.to_text() {
                        calls.seen(Side::Server, text);
                    }
                    if plugin.send(message).await.is_err() {
                        return Ended::Plugin;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(close))) => return Ended::Server(close),
                Some(Err(_)) | None => return Ended::Server(None),
            },
        }
    }
}

/// Reads from the plugin while there is no server: what it asks now is not answered by anybody, and its end is seen.
async fn gone(plugin: &mut Plugin) -> bool {
    match plugin.next().await {
        Some(Ok(Message::Text(text))) => {
            let answer = Calls::away(&text);
            match answer {
                Some(answer) => plugin.send(Message::text(answer)).await.is_err(),
                None => false,
            }
        }
        Some(Ok(Message::Close(_)) | Err(_)) | None => true,
        Some(Ok(_)) => false,
    }
}

async fn farewell(server: &mut Server) {
    let _ = server.close(None).await;
    // Until it has answered, so that it knows before the next one dials.
    while let Some(Ok(_)) = server.next().await {}
}

/// The head of a request, without what may come after it: a client waits for its answer first.
async fn head(stream: &mut TcpStream) -> Option<Request> {
    let mut read = Vec::new();
    while read.len() < HEAD {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        if let Some((_, request)) = Request::try_parse(&read).ok()? {
            return Some(request);
        }
    }
    None
}

async fn refuse(stream: &mut TcpStream, status: StatusCode, text: &str) {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    );
    let _ = timeout(FAREWELL, stream.write_all(head.as_bytes())).await;
    let _ = timeout(FAREWELL, stream.shutdown()).await;
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
}

/// What it all came from.
fn root(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
