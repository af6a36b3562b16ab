//! Requests as they stand on the wire.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::lab::{LONG, Lab};

pub(crate) type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A connection of one of the two kinds.
pub(crate) struct Line {
    send: Send,
    /// Ends when the connection does.
    pub(crate) ended: JoinHandle<Result<(), hyper::Error>>,
}

enum Send {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// All of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

pub(crate) const BOTH: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

impl Line {
    pub(crate) async fn to(lab: &Lab, version: Version) -> Self {
        Self::over(lab.connect().await, version).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the tests wait for the connection's end where it matters"
    )]
    pub(crate) async fn over(stream: UnixStream, version: Version) -> Self {
        let io = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            Self {
                send: Send::Two(send),
                ended: tokio::spawn(connection),
            }
        } else {
            let (send, connection) = http1::handshake(io).await.unwrap();
            Self {
                send: Send::One(send),
                ended: tokio::spawn(connection),
            }
        }
    }

    /// The answer's head; its body is still to come.
    pub(crate) async fn begin(&mut self, request: Request<Body>) -> Response<Incoming> {
        let answer = async {
            match &mut self.send {
                Send::One(send) => send.send_request(request).await,
                Send::Two(send) => send.send_request(request).await,
            }
        };
        timeout(LONG, answer).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Reply {
        all(self.begin(request).await).await
    }

    /// A call of the lab's.
    pub(crate) async fn call(&mut self, method: &str, kind: &str, body: Bytes) -> Reply {
        self.ask(post(method, kind, body)).await
    }
}

pub(crate) async fn all(answer: Response<Incoming>) -> Reply {
    let (head, body) = answer.into_parts();
    let body = timeout(LONG, body.collect()).await.unwrap().unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Reply {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    }
}

/// A request of a method of the lab's, or of a whole path.
pub(crate) fn post(method: &str, kind: &str, body: Bytes) -> Request<Body> {
    let mut request = plain("POST", &path(method));
    if !kind.is_empty() {
        request
            .headers_mut()
            .insert("content-type", kind.parse().unwrap());
    }
    if kind.starts_with("application/grpc") {
        request
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
    }
    request.map(|_| Full::new(body).boxed())
}

pub(crate) fn plain(verb: &str, path: &str) -> Request<Body> {
    Request::builder()
        .method(verb)
        .uri(format!("http://localhost{path}"))
        .header("host", "localhost")
        .body(Full::default().boxed())
        .unwrap()
}

pub(crate) fn path(method: &str) -> String {
    if method.starts_with('/') {
        method.to_owned()
    } else {
        format!("/lab.v1.Lab/{method}")
    }
}

/// A body whose pieces are sent as they are given.
pub(crate) fn pieces() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(8);
    let frames = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Bytes>| {
        let piece = receiver.recv().await?;
        Some((Ok(Frame::data(piece)), receiver))
    });
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

/// The lab's message, as protobuf.
pub(crate) fn text(text: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !text.is_empty() {
        message.put_u8(0x0a);
        let mut length = text.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(text.as_bytes());
    }
    message.freeze()
}

/// A message in the five-byte frame of gRPC and of Connect's streams.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// Flags and contents of frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [flags, a, b, c, d, rest @ ..] = bytes {
        let (frame, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*flags, frame.to_vec()));
        bytes = rest;
    }
    frames
}

impl Reply {
    /// The status that gRPC trailers tell, wherever they stand.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        let status = self.trailers.get("grpc-status");
        if let Some(status) = status.or_else(|| self.headers.get("grpc-status")) {
            return status.to_str().ok();
        }
        // gRPC-Web has them in the body.
        let at = self.body.iter().position(|byte| *byte == 0x80)?;
        let trailers = std::str::from_utf8(&self.body[at + 5..]).ok()?;
        trailers
            .lines()
            .find_map(|line| line.strip_prefix("grpc-status:"))
            .map(str::trim)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
