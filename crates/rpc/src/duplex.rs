//! The transport: a two-way channel of messages.

use std::future::Future;

use bytes::Bytes;
use jackfield_wire::CloseCause;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Messages from this size on are large: written from where they are, and what is in them stays there.
pub(crate) const LARGE: usize = 16 << 10;

/// A two-way channel of messages, in two halves so that writing never waits for reading.
///
/// Counterpart: `Duplex` of Storyden's plugin runner (`Send`, `Recv`, `Close(cause)`).
pub trait Duplex: Send + 'static {
    /// The half that writes.
    type Sender: DuplexSender;
    /// The half that reads.
    type Receiver: DuplexReceiver;

    /// The two halves. The transport ends when both are dropped.
    fn split(self) -> (Self::Sender, Self::Receiver);
}

/// The half of a [`Duplex`] that writes. Errors are the end of the line.
pub trait DuplexSender: Send + 'static {
    /// Hands over one message; it may stay in a buffer until [`flush`](Self::flush). Its bytes may
    /// be shared with other lines that carry the same message.
    ///
    /// When the future is dropped before it is ready the message may be half sent, and only
    /// [`close`](Self::close) may follow.
    fn send(&mut self, message: Utf8Bytes) -> impl Future<Output = Result<(), CloseCause>> + Send;

    /// The same for a large message that lies in pieces: a transport that can writes them from where
    /// they are. By default they are put together.
    fn send_pieces(
        &mut self,
        message: Pieces,
    ) -> impl Future<Output = Result<(), CloseCause>> + Send {
        self.send(message.put_together())
    }

    /// Writes out what is in the buffer. Cancel safe.
    fn flush(&mut self) -> impl Future<Output = Result<(), CloseCause>> + Send;

    /// Asks the other side's transport for a sign of life (a WebSocket ping), and flushes.
    fn ping(&mut self) -> impl Future<Output = Result<(), CloseCause>> + Send;

    /// Says why this side ends the line, or answers the other side's saying so. Errors do not
    /// matter any more. The caller bounds the time.
    fn close(&mut self, cause: &CloseCause) -> impl Future<Output = ()> + Send;
}

/// A large message in pieces, so that what it holds need not be copied into it. Made by this crate.
#[derive(Debug)]
pub struct Pieces {
    pub(crate) head: String,
    /// UTF-8, as the tail.
    pub(crate) body: Bytes,
    pub(crate) tail: Bytes,
}

impl Pieces {
    /// One that lies in one piece.
    pub(crate) fn whole(message: Utf8Bytes) -> Self {
        Self {
            head: String::new(),
            body: message.into(),
            tail: Bytes::new(),
        }
    }

    /// The size of the message, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// The message in one piece.
    ///
    /// # Panics
    /// Never: its pieces are text.
    #[must_use]
    pub fn put_together(self) -> Utf8Bytes {
        let mut whole = Vec::with_capacity(self.size());
        for piece in [self.head.as_bytes(), &self.body, &self.tail] {
            whole.extend_from_slice(piece);
        }
        Utf8Bytes::try_from(whole).expect("text")
    }
}

/// The half of a [`Duplex`] that reads.
pub trait DuplexReceiver: Send + 'static {
    /// The next thing that arrives. Cancel safe.
    ///
    /// # Errors
    /// The cause with which the line ended. Nothing arrives after that.
    fn recv(&mut self) -> impl Future<Output = Result<Received, CloseCause>> + Send;

    /// Reads and throws away until the other side is gone. Called once this side has ended the
    /// line, so that what it last wrote can arrive. The caller bounds the time.
    fn drain(&mut self) -> impl Future<Output = ()> + Send;

    /// The close code that the other side sent, where the transport has close codes. The codes
    /// tell more than a [`CloseCause`]: 1000 and 1001 are both an ordinary end.
    fn close_code(&self) -> Option<u16> {
        None
    }
}

/// What a [`DuplexReceiver`] receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Text(Utf8Bytes),
    /// A sign of life that is no message: a ping, a pong, a binary frame.
    Alive,
}
