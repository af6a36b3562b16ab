//! Dialing by hand: each byte of the handshake is the test's.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield::{Host, Token};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request at the plugins' door, a sound handshake unless the test changes it.
#[derive(Debug, Clone)]
pub struct Dial {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    early: Vec<u8>,
}

/// What the door answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty when the protocol was switched.
    pub body: String,
    stream: TcpStream,
}

/// A WebSocket that does only what the test says. It answers pings while it is read.
#[derive(Debug)]
pub struct RawLine {
    socket: WebSocketStream<TcpStream>,
}

impl Dial {
    /// To the door of this host with this query, without its `?`.
    ///
    /// # Panics
    /// When the host does not listen.
    #[must_use]
    pub fn new(host: &Host, query: &str) -> Self {
        Self::at(host.local_addr().expect("the host listens"), query)
    }

    /// To a door that somebody else's server has, with this query.
    #[must_use]
    pub fn at(address: SocketAddr, query: &str) -> Self {
        let authority = address.to_string();
        let headers = [
            ("Host", authority.as_str()),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        Self {
            address,
            method: "GET".to_owned(),
            target: format!("/rpc?{query}"),
            headers: headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            early: Vec::new(),
        }
    }

    /// To the door of this host, with the token of an external program.
    #[must_use]
    pub fn external(host: &Host, token: &Token) -> Self {
        Self::new(host, &format!("token={}", token.reveal()))
    }

    /// To the door of this host, as the URL says that a child was given.
    ///
    /// # Panics
    /// When the URL has no query.
    #[must_use]
    pub fn url(host: &Host, url: &str) -> Self {
        let (_, query) = url.split_once('?').expect("the URL carries the token");
        Self::new(host, query)
    }

    /// Sets a header, in the place of one of the same name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut dial = self.without(name);
        dial.headers.push((name.to_owned(), value.to_owned()));
        dial
    }

    /// Leaves a header out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Another method than `GET`.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Another path and query.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Bytes that follow the request in the same write.
    #[must_use]
    pub fn early(mut self, bytes: Vec<u8>) -> Self {
        self.early = bytes;
        self
    }

    /// Where the request goes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the request and reads the answer.
    ///
    /// # Panics
    /// When no whole answer comes.
    pub async fn send(self) -> Reply {
        let reply = tokio::time::timeout(PATIENCE, self.exchange()).await;
        reply.expect("the door answers in time")
    }

    /// Sends the request and takes the line.
    ///
    /// # Panics
    /// When the door refuses.
    pub async fn open(self) -> RawLine {
        self.send().await.line().await
    }

    async fn exchange(self) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.set_nodelay(true).expect("an option");
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut request = head.into_bytes();
        request.extend_from_slice(&self.early);
        stream.write_all(&request).await.expect("it reads");
        // Byte by byte: what follows belongs to the WebSocket.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a whole head"));
        }
        let head = String::from_utf8(head).expect("a head in text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|s| s.parse().ok()).expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let mut body = vec![0; if self.method == "HEAD" { 0 } else { length }];
        stream.read_exact(&mut body).await.expect("a whole body");
        Reply {
            status,
            headers,
            body: String::from_utf8(body).expect("a body in text"),
            stream,
        }
    }
}

impl Reply {
    /// One header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The connection as it is.
    #[must_use]
    pub fn stream(self) -> TcpStream {
        self.stream
    }

    /// The WebSocket that was opened.
    ///
    /// # Panics
    /// When the door refused.
    pub async fn line(self) -> RawLine {
        assert_eq!(self.status, 101, "{:?} {}", self.headers, self.body);
        let socket = WebSocketStream::from_raw_socket(self.stream, Role::Client, None);
        RawLine {
            socket: socket.await,
        }
    }
}

impl RawLine {
    /// Sends a text as it is. Errors show when reading.
    pub async fn send(&mut self, text: impl Into<String>) {
        let _ = self.socket.send(Message::text(text.into())).await;
    }

    /// Sends texts in one write, so that they arrive together.
    pub async fn send_at_once(&mut self, texts: &[&str]) {
        for text in texts {
            let _ = self.socket.feed(Message::text(*text)).await;
        }
        let _ = self.socket.flush().await;
    }

    /// Sends any message.
    ///
    /// # Errors
    /// When the line is gone.
    pub async fn send_message(
        &mut self,
        message: Message,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.socket.send(message).await
    }

    /// The next message, pings and pongs too; `None` at the end.
    ///
    /// # Panics
    /// When nothing comes in half a minute.
    pub async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        next.expect("a message in time")?.ok()
    }

    /// The same, however long it takes.
    pub(crate) async fn any(&mut self) -> Option<Message> {
        self.socket.next().await?.ok()
    }

    /// The next text as it came.
    ///
    /// # Panics
    /// When the line ends first.
    pub async fn text(&mut self) -> String {
        let text = async {
            loop {
                match self.any().await {
                    Some(Message::Text(text)) => return text.as_str().to_owned(),
                    Some(Message::Ping(_) | Message::Pong(_)) => {}
                    other => panic!("a text was expected, {other:?} came"),
                }
            }
        };
        let text = tokio::time::timeout(PATIENCE, text).await;
        text.expect("a text in time")
    }

    /// The next text, as JSON.
    ///
    /// # Panics
    /// When the line ends first, or it is no JSON.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("the host sends JSON")
    }

    /// Sends a text and returns the next that comes, as JSON.
    pub async fn ask(&mut self, text: impl ToString) -> Value {
        self.send(text.to_string()).await;
        self.json().await
    }

    /// Reads on to the end: the close code and reason, where there was a close frame.
    pub async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            match self.message().await {
                Some(Message::Close(frame)) => {
                    // Read on: that is what sends the answering close frame.
                    while let Ok(Some(Ok(_))) =
                        tokio::time::timeout(PATIENCE, self.socket.next()).await
                    {
                    }
                    return frame.map(|f| (f.code.into(), f.reason.as_str().to_owned()));
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
