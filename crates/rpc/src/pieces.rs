//! A head and a body that are written as one, without copying the body behind the head.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Writes once, as much of the two as the stream takes, which is gone from them then. One of them
/// must not be empty.
pub(crate) fn poll_write<W: AsyncWrite>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
    head: &mut BytesMut,
    body: &mut Bytes,
) -> Poll<io::Result<()>> {
    let written = if body.is_empty() {
        ready!(stream.poll_write(cx, head))?
    } else {
        let pieces = [IoSlice::new(head), IoSlice::new(body)];
        ready!(stream.poll_write_vectored(cx, &pieces))?
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    let of_head = written.min(head.len());
    head.advance(of_head);
    body.advance(written - of_head);
    Poll::Ready(Ok(()))
}
