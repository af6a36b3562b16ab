//! A client as small as it can be, on bare connections, so that a test sees what was on the wire.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use jackfield_testkit::sprites::Service;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

/// A WebSocket.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) response: Response,
}

/// What came on a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Info(String),
    Out(String),
    Err(String),
    Exit(i32),
    Text(Value),
    Pong,
    /// A close frame with this code.
    Closed(u16),
    /// No more, without a close frame.
    Lost,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Nothing here may take longer.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(Duration::from_secs(20), what).await;
    within.expect("it takes 20 s at most")
}

/// A request on a connection of its own. `None`: the connection was closed without an answer.
pub(crate) async fn ask(service: &Service, request: &str, body: &str) -> Option<Answer> {
    let key = service.api_key().to_owned();
    ask_as(service, &key, request, body).await
}

pub(crate) async fn ask_as(
    service: &Service,
    key: &str,
    request: &str,
    body: &str,
) -> Option<Answer> {
    let host = service.base_url().trim_start_matches("http://");
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut bytes = Vec::new();
    soon(async {
        let mut stream = TcpStream::connect(host).await.expect("it listens");
        // The other side may close before all is written, and with a reset.
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.read_to_end(&mut bytes).await;
    })
    .await;
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// A request that is answered with a success.
pub(crate) async fn done(service: &Service, request: &str, body: &str) -> Answer {
    let answer = ask(service, request, body).await.expect("an answer");
    assert!(answer.status < 300, "{request}: {answer:?}");
    answer
}

/// A service with one sprite, `s`.
pub(crate) async fn with_sprite(service: Service) -> Service {
    done(&service, "POST /v1/sprites", r#"{"name":"s"}"#).await;
    service
}

impl Line {
    /// Opens a WebSocket below the sprite `s`. `Err`: the status instead.
    pub(crate) async fn open(service: &Service, path: &str) -> Result<Self, u16> {
        let host = service.base_url().trim_start_matches("http://");
        let mut request = format!("ws://{host}/v1/sprites/s/{path}")
            .into_client_request()
            .expect("a URL");
        let key = format!("Bearer {}", service.api_key());
        request
            .headers_mut()
            .insert("authorization", key.parse().expect("a value"));
        soon(async {
            let stream = TcpStream::connect(host).await.expect("it listens");
            match tokio_tungstenite::client_async(request, stream).await {
                Ok((socket, response)) => Ok(Self { socket, response }),
                Err(Error::Http(response)) => Err(response.status().as_u16()),
                Err(_) => Err(0),
            }
        })
        .await
    }

    /// A script in a shell, with nothing but a `PATH`; `more` is more of the query.
    pub(crate) async fn script(service: &Service, script: &str, more: &str) -> Self {
        let script = script.replace('%', "%25").replace(' ', "%20");
        let script = script.replace(';', "%3B").replace('&', "%26");
        let path = "env=PATH%3D/usr/bin:/bin";
        let query = format!("exec?cmd=/bin/sh&cmd=-c&cmd={script}&{path}&stdin=true{more}");
        Self::open(service, &query).await.expect("a line")
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        let sent = soon(self.socket.send(message.into())).await;
        sent.expect("it is sent");
    }

    /// An operation on a control line.
    pub(crate) async fn operate(&mut self, args: Value) {
        let start = serde_json::json!({"type": "op.start", "op": "exec", "args": args});
        self.send(format!("control:{start}")).await;
    }

    pub(crate) async fn next(&mut self) -> Came {
        came(soon(self.socket.next()).await)
    }

    /// What has come already.
    pub(crate) fn at_once(&mut self) -> Option<Came> {
        self.socket.next().now_or_never().map(came)
    }

    /// The session that the line begins with.
    pub(crate) async fn session(&mut self) -> String {
        match self.next().await {
            Came::Info(id) => id,
            other => panic!("{other:?} instead of a session"),
        }
    }

    /// Waits for this text on stdout.
    pub(crate) async fn said(&mut self, text: &str) {
        assert_eq!(self.next().await, Came::Out(text.to_owned()));
    }
}

fn came(message: Option<Result<Message, Error>>) -> Came {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    match message {
        Some(Ok(Message::Binary(bytes))) => match &bytes[..] {
            [1, bytes @ ..] => Came::Out(text(bytes)),
            [2, bytes @ ..] => Came::Err(text(bytes)),
            [3, code] => Came::Exit((*code).into()),
            other => panic!("no frame: {other:?}"),
        },
        Some(Ok(Message::Text(text))) => {
            let text = text.strip_prefix("control:").unwrap_or(&text);
            let value: Value = serde_json::from_str(text).expect("JSON");
            match value["session_id"].as_str() {
                Some(id) if value["type"] == "session_info" => Came::Info(id.to_owned()),
                _ => Came::Text(value),
            }
        }
        Some(Ok(Message::Close(frame))) => Came::Closed(frame.map_or(0, |frame| frame.code.into())),
        Some(Ok(Message::Pong(_))) => Came::Pong,
        None | Some(Err(_)) => Came::Lost,
        Some(Ok(other)) => panic!("{other:?}"),
    }
}
