//! The stream below a WebSocket: it counts what is read, and takes large messages past the
//! WebSocket's buffers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::duplex::Pieces;
use crate::pieces;

/// So much of a large message is masked and written at a time.
const MASKED: usize = 64 << 10;

/// The stream below a WebSocket.
///
/// A message may take long to arrive, and nothing else can arrive before its end: the bytes are
/// the only sign of life then.
///
/// The WebSocket copies what it writes into a buffer that never shrinks. A large message is written
/// from where it is; until it is whole the WebSocket finds that the stream takes nothing.
#[derive(Debug)]
pub(crate) struct Below<S> {
    stream: S,
    read: Arc<AtomicU64>,
    large: Option<Large>,
}

/// What is left to be written of a large message.
#[derive(Debug)]
struct Large {
    /// Written first: the head of the frame, then what has been masked of the rest.
    ready: BytesMut,
    /// What is left of the message; the first one is empty where nothing is masked.
    head: Bytes,
    body: Bytes,
    tail: Bytes,
    mask: Option<[u8; 4]>,
}

impl<S> Below<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<AtomicU64>) {
        let read = Arc::<AtomicU64>::default();
        let below = Self {
            stream,
            read: Arc::clone(&read),
            large: None,
        };
        (below, read)
    }

    /// Has a message written next, as one text frame; with a mask, if it is the client's. What the
    /// WebSocket has buffered has to be flushed before, and [`poll_large`](Self::poll_large) has to
    /// be ready after that before anything else is written.
    pub(crate) fn begin_large(&mut self, message: Pieces, mask: Option<[u8; 4]>) {
        let header = FrameHeader {
            opcode: OpCode::Data(Data::Text),
            mask,
            ..FrameHeader::default()
        };
        let mut head = BytesMut::new().writer();
        header
            .format(message.size() as u64, &mut head)
            .expect("writing to memory does not fail");
        let mut ready = head.into_inner();
        let Pieces { head, body, tail } = message;
        let mut head = Bytes::from(head);
        if mask.is_none() {
            ready.extend_from_slice(&head);
            head.clear();
        }
        self.large = Some(Large {
            ready,
            head,
            body,
            tail,
            mask,
        });
    }
}

impl<S: AsyncWrite + Unpin> Below<S> {
    /// Writes what was begun, to its end; it is given up with an error. For the half that writes: it
    /// is the one that is woken.
    pub(crate) fn poll_large(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = ready!(self.poll_rest(cx));
        self.large = None;
        Poll::Ready(written)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(large) = &mut self.large {
            let stream = Pin::new(&mut self.stream);
            if let Some(mask) = large.mask
                && large.ready.is_empty()
            {
                large.mask_more(mask);
            }
            // Of what is to be masked nothing goes out before it is.
            let mut none = [Bytes::new(), Bytes::new()];
            let [body, tail] = match large.mask {
                Some(_) => none.each_mut(),
                None => [&mut large.body, &mut large.tail],
            };
            ready!(pieces::poll_write(stream, cx, &mut large.ready, body, tail))?;
            if large.is_written() {
                self.large = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Large {
    fn is_written(&self) -> bool {
        self.ready.is_empty()
            && self.head.is_empty()
            && self.body.is_empty()
            && self.tail.is_empty()
    }

    /// Masks what comes next (RFC 6455, 5.3): a multiple of four bytes, but for the end.
    fn mask_more(&mut self, mask: [u8; 4]) {
        self.ready.clear();
        for piece in [&mut self.head, &mut self.body, &mut self.tail] {
            let room = MASKED - self.ready.len();
            let taken = piece.split_to(room.min(piece.len()));
            self.ready.extend_from_slice(&taken);
        }
        // Many bytes at once, which a processor can.
        let [a, b, c, d] = mask;
        let many = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
        let (blocks, rest) = self.ready.as_chunks_mut();
        for block in blocks {
            *block = (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(many)).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(many) {
            *byte ^= key;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Below<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let count = buffer.filled().len().saturating_sub(before);
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Below<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Nobody is woken: whoever writes the large message flushes the WebSocket after it, or has
        // found that the stream is broken.
        if self.large.is_some() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
