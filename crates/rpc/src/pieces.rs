//! Pieces that are written as one, without copying them one behind the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Writes once, as much of them as the stream takes, which is gone from them then. One of them
/// must not be empty.
pub(crate) fn poll_write<W: AsyncWrite>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
    head: &mut BytesMut,
    body: &mut Bytes,
    tail: &mut Bytes,
) -> Poll<io::Result<()>> {
    let written = if body.is_empty() && tail.is_empty() {
        ready!(stream.poll_write(cx, head))?
    } else {
        let pieces = [head, &**body, &**tail].map(IoSlice::new);
        ready!(stream.poll_write_vectored(cx, &pieces))?
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    let of_head = written.min(head.len());
    head.advance(of_head);
    let of_body = (written - of_head).min(body.len());
    body.advance(of_body);
    tail.advance(written - of_head - of_body);
    Poll::Ready(Ok(()))
}
