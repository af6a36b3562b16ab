//! A connected stream socket as a duplex, without a WebSocket's handshake, masks and headers.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use jackfield_wire::{CloseCause, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::duplex::{Duplex, DuplexReceiver, DuplexSender, LARGE, Pieces, Received};
use crate::frames::{self, Head, LONGEST, Offence, PING, WORD, against};
use crate::local_out::{Shared, lost};
use crate::options::Limits;
use crate::v1;

/// What is read at once, and the size of the read buffer but for large messages.
const CHUNK: usize = 16 << 10;
/// Bytes in the write buffer that start a write without a flush.
const WRITE_BUFFER: usize = 64 << 10;
/// The largest greeting.
const GREETING: usize = 4 << 10;

/// A connected stream socket between two processes of one machine, its halves apart: those of a
/// `UnixStream` after `into_split`, say. Its frames are those of docs/local-socket.md.
///
/// Both ends speak `jackfield.v1`, and the end that was handed the socket speaks first; see
/// [`greeted`](Self::greeted). Bytes count as signs of life, also those in the middle of a message.
pub struct LocalSocket<R, W> {
    sender: LocalSender<W>,
    receiver: LocalReceiver<R, W>,
}

/// The half of a [`LocalSocket`] that writes.
#[expect(missing_debug_implementations, reason = "its stream need not have one")]
pub struct LocalSender<W> {
    shared: Arc<Shared<W>>,
}

/// The half of a [`LocalSocket`] that reads.
#[expect(missing_debug_implementations, reason = "its stream need not have one")]
pub struct LocalReceiver<R, W> {
    stream: R,
    shared: Arc<Shared<W>>,
    buffer: BytesMut,
    /// The longest message that is read now, and from the greeting on.
    most: usize,
    hard_max: usize,
    /// A message that was looked at and is still to be received.
    first: Option<Utf8Bytes>,
    /// Anything was ever read.
    spoken: bool,
    /// Something was read that has not been reported.
    heard: bool,
    /// Of a pong something is left in the write buffer.
    owes: bool,
    close_code: Option<u16>,
}

/// A frame.
enum Taken {
    Text(Utf8Bytes),
    Ping,
    Pong,
    Close(CloseCause),
}

impl<R, W> LocalSocket<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    /// A socket of these two halves. Of the [`Limits`] only
    /// [`hard_max_in`](Limits::hard_max_in) counts here: a longer message ends the line with close
    /// code 1009.
    pub fn new(read: R, write: W, limits: &Limits) -> Self {
        let shared = Arc::new(Shared::new(write));
        Self {
            sender: LocalSender {
                shared: Arc::clone(&shared),
            },
            receiver: LocalReceiver {
                stream: read,
                shared,
                buffer: BytesMut::new(),
                most: limits.hard_max_in,
                hard_max: limits.hard_max_in,
                first: None,
                spoken: false,
                heard: false,
                owes: false,
                close_code: None,
            },
        }
    }

    /// Waits for the other side's first message, which has to be its `$/hello`, and leaves it to
    /// be received. `false` when the other side is gone without a word. Has no deadline. Who gives
    /// it up has to give up the socket: no message is taken that is larger than a greeting may be.
    ///
    /// # Errors
    /// When something else arrives, or a greeting of more than 4 KiB. Closing the socket tells the
    /// other side.
    pub async fn greeted(&mut self) -> Result<bool, CloseCause> {
        let receiver = &mut self.receiver;
        receiver.most = GREETING.min(receiver.hard_max);
        let greeted = receiver.greeting().await;
        receiver.most = receiver.hard_max;
        greeted
    }
}

impl<R, W> Duplex for LocalSocket<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Sender = LocalSender<W>;
    type Receiver = LocalReceiver<R, W>;

    fn split(self) -> (LocalSender<W>, LocalReceiver<R, W>) {
        (self.sender, self.receiver)
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> DuplexSender for LocalSender<W> {
    async fn send(&mut self, message: Utf8Bytes) -> Result<(), CloseCause> {
        if message.len() < LARGE {
            return self.put(message.len(), message.as_str()).await;
        }
        self.send_pieces(Pieces::whole(message)).await
    }

    async fn send_pieces(&mut self, message: Pieces) -> Result<(), CloseCause> {
        self.put(message.size(), &message.head).await?;
        {
            let mut out = self.shared.out();
            (out.body, out.tail) = (message.body, message.tail);
        }
        // There is one place for a large message.
        self.shared.flush().await
    }

    async fn flush(&mut self) -> Result<(), CloseCause> {
        self.shared.flush().await
    }

    async fn ping(&mut self) -> Result<(), CloseCause> {
        self.shared.out().buffer.put_u32(PING);
        self.shared.flush().await
    }

    async fn close(&mut self, cause: &CloseCause) {
        // What was half sent has to end first.
        if self.shared.flush().await.is_ok() {
            let frame = frames::close(self.shared.code(cause), cause);
            self.shared.out().buffer.extend_from_slice(&frame);
            let _ = self.shared.flush().await;
        }
        self.shared.shutdown().await;
    }
}

impl<W: AsyncWrite + Unpin> LocalSender<W> {
    /// Puts the beginning of a message of this size into the buffer, which may be all of it.
    async fn put(&mut self, size: usize, beginning: &str) -> Result<(), CloseCause> {
        if size > LONGEST {
            return Err(CloseCause::failed(format!("a message of {size} bytes")));
        }
        if self.shared.out().buffer.len() + WORD + beginning.len() > WRITE_BUFFER {
            self.shared.flush().await?;
        }
        let mut out = self.shared.out();
        out.buffer.put_u32(size as u32);
        out.buffer.extend_from_slice(beginning.as_bytes());
        Ok(())
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> LocalReceiver<R, W> {
    /// The next frame that is there in full.
    fn take(&mut self) -> Result<Option<Taken>, Offence> {
        let Some(word) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let head = Head::read(u32::from_be_bytes(*word), self.most)?;
        let whole = WORD + head.follows();
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        if whole > CHUNK {
            // What is read next shall not keep the memory of a large message.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        frame.advance(WORD);
        Ok(Some(match head {
            Head::Text(_) => {
                let text = Utf8Bytes::try_from(frame);
                Taken::Text(text.map_err(|_| frames::not_utf8("a message"))?)
            }
            Head::Ping => Taken::Ping,
            Head::Pong => Taken::Pong,
            Head::Close(_) => {
                let (code, reason) = frames::read_close(&frame)?;
                self.shared.close_with(code);
                self.close_code = Some(code);
                Taken::Close(CloseCause::from_code(code, reason))
            }
        }))
    }

    /// Reads once; how much.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseCause>> {
        let have = self.buffer.len();
        let whole = match self.buffer.first_chunk() {
            // Anything wrong has been found before.
            Some(word) => Head::read(u32::from_be_bytes(*word), self.most)
                .map_or(0, |head| WORD + head.follows()),
            None => 0,
        };
        let want = if whole > CHUNK {
            // To its end and no further, so that what follows needs no copy. The system gives the
            // memory once there is something in it, whatever the word announces.
            whole - have
        } else {
            CHUNK.saturating_sub(have).max(WORD)
        };
        self.buffer.reserve(want);
        let mut room = (&mut self.buffer).limit(want);
        let read = pin!(self.stream.read_buf(&mut room));
        read.poll(cx).map_err(|error| lost(&error))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, CloseCause>> {
        if self.owes {
            self.owes = !self.shared.push(cx);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Received::Text(first)));
        }
        loop {
            let taken = self.take().map_err(|offence| {
                self.shared.close_with(offence.code);
                offence.cause()
            })?;
            if taken.is_some() {
                self.heard = false;
            }
            match taken {
                Some(Taken::Text(text)) => return Poll::Ready(Ok(Received::Text(text))),
                Some(Taken::Ping) => {
                    self.owes = !self.shared.pong(cx);
                    return Poll::Ready(Ok(Received::Alive));
                }
                Some(Taken::Pong) => return Poll::Ready(Ok(Received::Alive)),
                Some(Taken::Close(cause)) => return Poll::Ready(Err(cause)),
                None => {}
            }
            match self.poll_read(cx)? {
                // The next call polls again, so that no wake-up is lost.
                Poll::Pending if std::mem::take(&mut self.heard) => {
                    return Poll::Ready(Ok(Received::Alive));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(Err(self.ended())),
                Poll::Ready(_) => {
                    self.spoken = true;
                    self.heard = true;
                }
            }
        }
    }

    fn ended(&self) -> CloseCause {
        CloseCause::failed(if self.buffer.is_empty() {
            "the connection ended without a close frame"
        } else {
            "the connection ended in the middle of a frame"
        })
    }

    async fn greeting(&mut self) -> Result<bool, CloseCause> {
        let text = loop {
            match poll_fn(|cx| self.poll_recv(cx)).await {
                Ok(Received::Text(text)) => break text,
                Ok(Received::Alive) => {}
                Err(_) if !self.spoken => return Ok(false),
                Err(cause) => return Err(cause),
            }
        };
        let hello = matches!(
            Frame::parse(&text),
            Frame::Request { id: None, method, .. } if method == v1::HELLO
        );
        if hello {
            self.first = Some(text);
            return Ok(true);
        }
        let offence = against("its first message is no `$/hello`");
        self.shared.close_with(offence.code);
        Err(offence.cause())
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(CHUNK);
            let read = pin!(self.stream.read_buf(&mut self.buffer));
            if !matches!(ready!(read.poll(cx)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }
}

impl<R, W> DuplexReceiver for LocalReceiver<R, W>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    async fn recv(&mut self) -> Result<Received, CloseCause> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    async fn drain(&mut self) {
        poll_fn(|cx| self.poll_discard(cx)).await;
    }

    fn close_code(&self) -> Option<u16> {
        self.close_code
    }
}

impl<R, W> fmt::Debug for LocalSocket<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSocket").finish_non_exhaustive()
    }
}
