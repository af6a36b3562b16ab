//! The body of any answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use connectrpc::ConnectRpcBody;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;

/// What code of the plugin's may fail with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Of a service's answer, or of a plain HTTP path's.
pub(crate) enum Answer {
    Rpc(ConnectRpcBody),
    Plain(UnsyncBoxBody<Bytes, BoxError>),
}

/// The plugin's own body failed: the answer is cut off.
#[derive(Debug)]
pub(crate) struct CutOff(BoxError);

impl Body for Answer {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Rpc(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Ready(None),
            },
            Self::Plain(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(CutOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Rpc(body) => body.is_end_stream(),
            Self::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            // Its own hint says nothing, and then HTTP/1.1 answers come in chunks.
            Self::Rpc(ConnectRpcBody::Full(body)) => body.size_hint(),
            Self::Rpc(body) => body.size_hint(),
            Self::Plain(body) => body.size_hint(),
        }
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer's body failed: {}", self.0)
    }
}

impl std::error::Error for CutOff {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
