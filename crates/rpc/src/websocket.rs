//! A WebSocket as a duplex, at either end.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use futures_util::{Sink, Stream};
use jackfield_wire::CloseCause;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::below::Below;
use crate::duplex::{Duplex, DuplexReceiver, DuplexSender, LARGE, Pieces, Received};
use crate::options::Limits;
use crate::websocket_error::{cause_of, offence};

/// Bytes in the write buffer that start a write without a flush.
const WRITE_BUFFER: usize = 128 << 10;

/// A WebSocket after its handshake. Text frames are messages; binary ones are skipped.
pub struct WebSocket<S> {
    stream: WebSocketStream<Below<S>>,
    read: Arc<AtomicU64>,
    role: Role,
}

/// The half of a [`WebSocket`] that writes.
#[expect(missing_debug_implementations, reason = "its stream need not have one")]
pub struct WebSocketSender<S> {
    shared: Arc<Shared<S>>,
    role: Role,
}

/// The half of a [`WebSocket`] that reads.
#[expect(missing_debug_implementations, reason = "its stream need not have one")]
pub struct WebSocketReceiver<S> {
    shared: Arc<Shared<S>>,
    /// So much had been read when the last sign of life was reported.
    heard: u64,
    close_code: Option<u16>,
}

#[derive(Clone, Copy)]
enum Half {
    Reads,
    Writes,
}

struct Shared<S> {
    /// Locked for one poll at a time, never across a wait. Reads and writes register wakers of
    /// their own.
    stream: Mutex<WebSocketStream<Below<S>>>,
    /// The half that found it locked, at the place of its [`Half`].
    waits: [AtomicWaker; 2],
    /// The close code for what the other side did against the protocol; 0 for nothing.
    offence: AtomicU16,
    /// The other side has said farewell: nothing goes out any more but the answer to it.
    parted: AtomicBool,
    /// How much has been read; see [`Below`].
    read: Arc<AtomicU64>,
}

/// How tungstenite is set up: small read buffers (it fills the whole buffer with zeros for every
/// read), bounded write buffers, and the hard limit for messages.
#[must_use]
pub fn websocket_config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(2 * WRITE_BUFFER)
        .max_message_size(Some(limits.hard_max_in))
        .max_frame_size(Some(limits.hard_max_in))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// The server's end, on a connection that was upgraded already. Default [`Limits`].
    pub async fn server(stream: S) -> Self {
        Self::server_with(stream, &Limits::default()).await
    }

    /// The server's end, on a connection that was upgraded already.
    pub async fn server_with(stream: S, limits: &Limits) -> Self {
        Self::server_after(stream, Vec::new(), limits).await
    }

    /// The server's end, on a connection that was upgraded already, and of which so much had been
    /// read beyond the request.
    pub async fn server_after(stream: S, already_read: Vec<u8>, limits: &Limits) -> Self {
        Self::over(stream, already_read, Role::Server, limits).await
    }

    pub(crate) async fn client(stream: S, already_read: Vec<u8>, limits: &Limits) -> Self {
        Self::over(stream, already_read, Role::Client, limits).await
    }

    async fn over(stream: S, already_read: Vec<u8>, role: Role, limits: &Limits) -> Self {
        let config = Some(websocket_config(limits));
        let (below, read) = Below::new(stream);
        let stream = WebSocketStream::from_partially_read(below, already_read, role, config).await;
        Self { stream, read, role }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for WebSocket<S> {
    type Sender = WebSocketSender<S>;
    type Receiver = WebSocketReceiver<S>;

    fn split(self) -> (WebSocketSender<S>, WebSocketReceiver<S>) {
        let shared = Arc::new(Shared {
            stream: Mutex::new(self.stream),
            waits: Default::default(),
            offence: AtomicU16::new(0),
            parted: AtomicBool::new(false),
            read: self.read,
        });
        let sender = WebSocketSender {
            shared: Arc::clone(&shared),
            role: self.role,
        };
        let receiver = WebSocketReceiver {
            shared,
            heard: 0,
            close_code: None,
        };
        (sender, receiver)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shared<S> {
    /// A turn of one half with the stream. While the other half has it nobody's thread waits: a
    /// turn may be a system call.
    fn turn<T>(
        &self,
        half: Half,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut WebSocketStream<Below<S>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let free = match self.free() {
            None => {
                self.waits[half as usize].register(cx.waker());
                // It may have been let go meanwhile.
                self.free()
            }
            free => free,
        };
        let Some(mut stream) = free else {
            return Poll::Pending;
        };
        let polled = poll(&mut stream, cx);
        drop(stream);
        let other = match half {
            Half::Reads => Half::Writes,
            Half::Writes => Half::Reads,
        };
        self.waits[other as usize].wake();
        polled
    }

    fn free(&self) -> Option<MutexGuard<'_, WebSocketStream<Below<S>>>> {
        match self.stream.try_lock() {
            Ok(stream) => Some(stream),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A turn of the half that writes. It polls as nobody at first: whoever polled for writing last
    /// is woken whenever anything comes, too (the stream has one place for wakers, and rings for
    /// both). Without this each message that is read wakes the task that writes, which hardly ever
    /// has to wait.
    fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut WebSocketStream<Below<S>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.turn(Half::Writes, cx, |s, cx| {
            match poll(s, &mut Context::from_waker(Waker::noop())) {
                Poll::Pending => poll(s, cx),
                ready @ Poll::Ready(_) => ready,
            }
        })
    }

    fn offended(&self) -> Option<u16> {
        Some(self.offence.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let read = ready!(self.turn(Half::Reads, cx, |s, cx| {
                Pin::new(s.get_mut()).poll_read(cx, &mut buffer)
            }));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocketSender<S> {
    async fn put(&mut self, message: Message) -> Result<(), CloseCause> {
        let mut message = Some(message);
        let sent = poll_fn(|cx| {
            self.shared.poll_write(cx, |s, cx| {
                ready!(Pin::new(&mut *s).poll_ready(cx))?;
                let message = message.take().expect("it is sent once");
                Poll::Ready(Pin::new(s).start_send(message))
            })
        });
        match sent.await {
            // Pongs for a peer that reads too slowly filled the rest of the buffer.
            Err(Error::WriteBufferFull(message)) => {
                Box::pin(async {
                    self.flush().await?;
                    let mut message = Some(*message);
                    poll_fn(|cx| {
                        self.shared.poll_write(cx, |s, _| {
                            let message = message.take().expect("it is sent once");
                            Poll::Ready(Pin::new(s).start_send(message))
                        })
                    })
                    .await
                    .map_err(|error| cause_of(&error))
                })
                .await
            }
            sent => sent.map_err(|error| cause_of(&error)),
        }
    }

    async fn put_large(&mut self, message: Pieces) -> Result<(), CloseCause> {
        let mask = match self.role {
            Role::Server => None,
            Role::Client => Some(random_mask()?),
        };
        let mut message = Some(message);
        let begun = poll_fn(|cx| {
            self.shared.poll_write(cx, |s, cx| {
                if self.shared.parted.load(Ordering::SeqCst) {
                    return Poll::Ready(Err(Error::AlreadyClosed));
                }
                // In one turn: what the half that reads has to say may be half written.
                ready!(Pin::new(&mut *s).poll_flush(cx))?;
                let message = message.take().expect("it is begun once");
                s.get_mut().begin_large(message, mask);
                Poll::Ready(Ok(()))
            })
        });
        begun.await.map_err(|error| cause_of(&error))?;
        self.end_large().await
    }

    /// Writes what is left of a large message.
    async fn end_large(&self) -> Result<(), CloseCause> {
        let written = poll_fn(|cx| {
            self.shared
                .turn(Half::Writes, cx, |s, cx| s.get_mut().poll_large(cx))
        });
        written.await.map_err(|error| cause_of(&Error::Io(error)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> DuplexSender for WebSocketSender<S> {
    async fn send(&mut self, message: Utf8Bytes) -> Result<(), CloseCause> {
        if message.len() < LARGE {
            return self.put(Message::Text(message)).await;
        }
        Box::pin(self.put_large(Pieces::whole(message))).await
    }

    async fn send_pieces(&mut self, message: Pieces) -> Result<(), CloseCause> {
        Box::pin(self.put_large(message)).await
    }

    async fn flush(&mut self) -> Result<(), CloseCause> {
        poll_fn(|cx| {
            self.shared
                .poll_write(cx, |s, cx| Pin::new(s).poll_flush(cx))
        })
        .await
        .map_err(|error| cause_of(&error))
    }

    async fn ping(&mut self) -> Result<(), CloseCause> {
        self.put(Message::Ping(Bytes::new())).await?;
        self.flush().await
    }

    async fn close(&mut self, cause: &CloseCause) {
        // What was half sent has to end first, and there has to be room.
        if self.end_large().await.is_err() || self.flush().await.is_err() {
            return;
        }
        let offence = self.shared.offended();
        let frame = CloseFrame {
            code: CloseCode::from(offence.unwrap_or_else(|| cause.code())),
            reason: cause.wire_reason().into(),
        };
        // Fails when the other side closed first; then its close frame is being answered, and
        // flushing is all there is to do.
        let _ = self.put(Message::Close(Some(frame))).await;
        let flushed = self.flush().await;
        if offence.is_some() && flushed.is_ok() {
            // No close handshake will come of it: what was sent against the protocol cannot be
            // read past. The end of the stream has the other side hang up.
            let _ = poll_fn(|cx| {
                self.shared
                    .poll_write(cx, |s, cx| Pin::new(s.get_mut()).poll_shutdown(cx))
            })
            .await;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> DuplexReceiver for WebSocketReceiver<S> {
    async fn recv(&mut self) -> Result<Received, CloseCause> {
        let next = poll_fn(|cx| {
            let next = self.shared.turn(Half::Reads, cx, |s, cx| {
                let next = Pin::new(s).poll_next(cx);
                if let Poll::Ready(Some(Ok(Message::Close(_)))) = next {
                    self.shared.parted.store(true, Ordering::SeqCst);
                }
                next
            });
            let read = self.shared.read.load(Ordering::Relaxed);
            let heard = std::mem::replace(&mut self.heard, read) != read;
            match next {
                // The next call polls again, so that no wake-up is lost.
                Poll::Pending if heard => Poll::Ready(None),
                next => next.map(Some),
            }
        });
        let Some(next) = next.await else {
            return Ok(Received::Alive);
        };
        match next {
            Some(Ok(Message::Text(text))) => Ok(Received::Text(text)),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = match &frame {
                    Some(frame) => (u16::from(frame.code), frame.reason.as_str()),
                    // RFC 6455, 7.1.5: no code was sent.
                    None => (1005, ""),
                };
                self.close_code = Some(code);
                Err(CloseCause::from_code(code, reason))
            }
            Some(Ok(
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
            )) => Ok(Received::Alive),
            Some(Err(error)) => {
                if let Some(code) = offence(&error) {
                    self.shared.offence.store(code, Ordering::SeqCst);
                }
                Err(cause_of(&error))
            }
            None => Err(CloseCause::closed()),
        }
    }

    async fn drain(&mut self) {
        let next = |cx: &mut Context<'_>| {
            self.shared
                .turn(Half::Reads, cx, |s, cx| Pin::new(s).poll_next(cx))
        };
        while poll_fn(next).await.is_some_and(|received| received.is_ok()) {}
        if self.shared.offended().is_some() {
            poll_fn(|cx| self.shared.poll_discard(cx)).await;
        }
    }

    fn close_code(&self) -> Option<u16> {
        self.close_code
    }
}

/// A key that nobody can foresee (RFC 6455, 5.3).
fn random_mask() -> Result<[u8; 4], CloseCause> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask)
        .map_err(|error| CloseCause::failed(format!("no random numbers: {error}")))?;
    Ok(mask)
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}
