//! The writing end of a local socket, and what its two halves know together.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use jackfield_wire::CloseCause;
use tokio::io::AsyncWrite;

use crate::frames::PONG;
use crate::pieces;

/// What the two halves share. Messages cost an uncontended lock: the half that reads writes
/// nothing but pongs.
pub(crate) struct Shared<W> {
    /// Locked for one poll at a time, never across a wait.
    out: Mutex<Out<W>>,
    /// The close code to send in place of that of the cause; 0 for none.
    code: AtomicU16,
}

/// Frames on their way into the stream.
pub(crate) struct Out<W> {
    stream: W,
    /// Whole frames; the beginning of the large one at their end, where there is one.
    pub(crate) buffer: BytesMut,
    /// What a large message holds, written after the buffer, and what is left of it then.
    pub(crate) body: Bytes,
    pub(crate) tail: Bytes,
    /// The half that writes waits for the stream to take more.
    waits: bool,
}

impl<W: AsyncWrite + Unpin> Shared<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self {
            out: Mutex::new(Out {
                stream,
                buffer: BytesMut::new(),
                body: Bytes::new(),
                tail: Bytes::new(),
                waits: false,
            }),
            code: AtomicU16::new(0),
        }
    }

    /// For the half that writes.
    pub(crate) fn out(&self) -> MutexGuard<'_, Out<W>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes out all that is there. Cancel safe: what is not written stays.
    pub(crate) async fn flush(&self) -> Result<(), CloseCause> {
        let written = poll_fn(|cx| {
            let mut out = self.out();
            let written = out.poll_write_out(cx);
            out.waits = written.is_pending();
            written
        });
        written.await.map_err(|error| lost(&error))
    }

    /// Ends the stream in this direction.
    pub(crate) async fn shutdown(&self) {
        // The other side may be gone already.
        let _ = poll_fn(|cx| Pin::new(&mut self.out().stream).poll_shutdown(cx)).await;
    }

    /// Answers a ping. `false` when a rest of that is to be [written](Self::push).
    ///
    /// While something else is being written, or cannot be for the other side does not read, there
    /// is no pong: what is on its way is a sign of life itself.
    pub(crate) fn pong(&self, cx: &mut Context<'_>) -> bool {
        self.while_idle(|out| {
            if out.buffer.is_empty() {
                out.buffer.extend_from_slice(&PONG.to_be_bytes());
            }
            out.poll_write_out(cx).is_ready()
        })
    }

    /// Writes what is left of pongs; `false` when there is still some.
    pub(crate) fn push(&self, cx: &mut Context<'_>) -> bool {
        self.while_idle(|out| out.poll_write_out(cx).is_ready())
    }

    /// Never waits for the half that writes, and takes no wake-up from it.
    fn while_idle(&self, write: impl FnOnce(&mut Out<W>) -> bool) -> bool {
        match self.out.try_lock() {
            Ok(mut out) if !out.waits && !out.is_large() => write(&mut out),
            Ok(_) | Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => true,
        }
    }

    /// The line ends for what the other side did against the protocol, or with a close frame of its
    /// own, whose code it gets back.
    pub(crate) fn close_with(&self, code: u16) {
        self.code.store(code, Ordering::SeqCst);
    }

    /// The code to close with.
    pub(crate) fn code(&self, cause: &CloseCause) -> u16 {
        match self.code.load(Ordering::SeqCst) {
            0 => cause.code(),
            code => code,
        }
    }
}

impl<W: AsyncWrite + Unpin> Out<W> {
    /// Of a large message something is left.
    fn is_large(&self) -> bool {
        !self.body.is_empty() || !self.tail.is_empty()
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() || self.is_large() {
            let stream = Pin::new(&mut self.stream);
            ready!(pieces::poll_write(
                stream,
                cx,
                &mut self.buffer,
                &mut self.body,
                &mut self.tail
            ))?;
        }
        // Not only advanced: its memory would stay until something else is large.
        self.body = Bytes::new();
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

pub(crate) fn lost(error: &io::Error) -> CloseCause {
    CloseCause::failed(format!("the connection was lost: {error}"))
}
