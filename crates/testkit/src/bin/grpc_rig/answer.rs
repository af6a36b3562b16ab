//! What is answered to a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::http::{HeaderMap, HeaderValue, Response};
use tokio::sync::mpsc;

use crate::messages::framed;

/// A body whose frames come from elsewhere.
pub(crate) struct Answer(mpsc::Receiver<Frame<Bytes>>);

/// The other end of a stream of messages.
pub(crate) struct Out(mpsc::Sender<Frame<Bytes>>);

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

impl Out {
    /// Whether the caller still listens.
    pub(crate) async fn send(&self, message: &[u8]) -> bool {
        self.0.send(Frame::data(framed(message))).await.is_ok()
    }

    pub(crate) async fn end(self) {
        let _ = self.0.send(Frame::trailers(status(0, ""))).await;
    }
}

/// A stream of messages.
pub(crate) fn stream() -> (Out, Response<Answer>) {
    let (frames, body) = mpsc::channel(16);
    (Out(frames), grpc(body))
}

/// One message.
pub(crate) fn message(message: &[u8]) -> Response<Answer> {
    let (frames, body) = mpsc::channel(2);
    let _ = frames.try_send(Frame::data(framed(message)));
    let _ = frames.try_send(Frame::trailers(status(0, "")));
    grpc(body)
}

/// An error, in the head of the answer.
pub(crate) fn error(code: u16, text: &str) -> Response<Answer> {
    let (_, body) = mpsc::channel(1);
    let mut response = grpc(body);
    response.headers_mut().extend(status(code, text));
    response
}

/// As Go's mux has it.
pub(crate) fn not_found() -> Response<Answer> {
    let (frames, body) = mpsc::channel(1);
    let _ = frames.try_send(Frame::data(Bytes::from_static(b"404 page not found\n")));
    let mut response = Response::new(Answer(body));
    *response.status_mut() = hyper::StatusCode::NOT_FOUND;
    response.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn grpc(body: mpsc::Receiver<Frame<Bytes>>) -> Response<Answer> {
    let mut response = Response::new(Answer(body));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn status(code: u16, text: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    if !text.is_empty() {
        trailers.insert(
            "grpc-message",
            HeaderValue::from_str(text).expect("a header"),
        );
    }
    trailers
}
