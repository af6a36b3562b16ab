//! An in-memory pair of duplexes that can be cut at any point, half-open too.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jackfield_wire::CloseCause;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::duplex::{Duplex, DuplexReceiver, DuplexSender, Received};

/// How many messages are on their way in one direction before a sender waits.
const IN_FLIGHT: usize = 64;

/// One end of a pair.
#[derive(Debug)]
pub struct MemoryDuplex {
    sender: MemorySender,
    receiver: MemoryReceiver,
}

/// The half of a [`MemoryDuplex`] that writes.
#[derive(Debug)]
pub struct MemorySender {
    items: mpsc::Sender<Item>,
    cable: Arc<Cable>,
    silent: fn(&Cable) -> &AtomicBool,
}

/// The half of a [`MemoryDuplex`] that reads.
#[derive(Debug)]
pub struct MemoryReceiver {
    items: mpsc::Receiver<Item>,
    /// For pongs, which this half sends by itself as a WebSocket does.
    back: mpsc::WeakSender<Item>,
    cable: Arc<Cable>,
    back_silent: fn(&Cable) -> &AtomicBool,
    close_code: Option<u16>,
}

/// Cuts the line between the two ends of a pair. Dropping it does nothing.
#[derive(Debug, Clone)]
pub struct Cut {
    cable: Arc<Cable>,
}

#[derive(Debug)]
struct Cable {
    cut: CancellationToken,
    first_silent: AtomicBool,
    second_silent: AtomicBool,
    /// Messages until the line is cut; below zero for never.
    left: AtomicI64,
}

#[derive(Debug)]
enum Item {
    Text(Utf8Bytes),
    Ping,
    Pong,
    Close(CloseCause),
}

/// Two ends, and what cuts the line between them.
#[must_use]
pub fn pair() -> (MemoryDuplex, MemoryDuplex, Cut) {
    let cable = Arc::new(Cable {
        cut: CancellationToken::new(),
        first_silent: AtomicBool::new(false),
        second_silent: AtomicBool::new(false),
        left: AtomicI64::new(-1),
    });
    let (to_second, from_first) = mpsc::channel(IN_FLIGHT);
    let (to_first, from_second) = mpsc::channel(IN_FLIGHT);
    let first: fn(&Cable) -> &AtomicBool = |cable| &cable.first_silent;
    let second: fn(&Cable) -> &AtomicBool = |cable| &cable.second_silent;
    let end = |out: mpsc::Sender<Item>, items, silent| MemoryDuplex {
        receiver: MemoryReceiver {
            items,
            back: out.downgrade(),
            cable: Arc::clone(&cable),
            back_silent: silent,
            close_code: None,
        },
        sender: MemorySender {
            items: out,
            cable: Arc::clone(&cable),
            silent,
        },
    };
    (
        end(to_second, from_second, first),
        end(to_first, from_first, second),
        Cut {
            cable: Arc::clone(&cable),
        },
    )
}

impl Cut {
    /// Ends the line as when a connection is reset: both ends see a failure, and what was on its
    /// way is lost.
    pub fn cut(&self) {
        self.cable.cut.cancel();
    }

    /// Cuts when `messages` more were sent, counted in both directions together; the one that
    /// reaches the count is lost.
    pub fn cut_after(&self, messages: u32) {
        self.cable.left.store(i64::from(messages), Ordering::SeqCst);
    }

    /// From now on all that either end sends vanishes, and nobody is told: a line whose far end
    /// lost its power.
    pub fn half_open(&self) {
        self.silence_first();
        self.silence_second();
    }

    /// From now on all that the first end sends vanishes.
    pub fn silence_first(&self) {
        self.cable.first_silent.store(true, Ordering::SeqCst);
    }

    /// From now on all that the second end sends vanishes.
    pub fn silence_second(&self) {
        self.cable.second_silent.store(true, Ordering::SeqCst);
    }

    /// Lets through again what is sent from now on.
    pub fn heal(&self) {
        self.cable.first_silent.store(false, Ordering::SeqCst);
        self.cable.second_silent.store(false, Ordering::SeqCst);
    }
}

impl Cable {
    fn count(&self) {
        if self.left.load(Ordering::SeqCst) >= 0 && self.left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            self.cut.cancel();
        }
    }
}

impl Duplex for MemoryDuplex {
    type Sender = MemorySender;
    type Receiver = MemoryReceiver;

    fn split(self) -> (MemorySender, MemoryReceiver) {
        (self.sender, self.receiver)
    }
}

impl MemorySender {
    async fn put(&mut self, item: Item) -> Result<(), CloseCause> {
        if self.cable.cut.is_cancelled() {
            return Err(was_cut());
        }
        if (self.silent)(&self.cable).load(Ordering::SeqCst) {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.cable.cut.cancelled() => Err(was_cut()),
            sent = self.items.send(item) => sent.map_err(|_| ended()),
        }
    }
}

impl DuplexSender for MemorySender {
    fn send(&mut self, message: Utf8Bytes) -> impl Future<Output = Result<(), CloseCause>> + Send {
        self.cable.count();
        self.put(Item::Text(message))
    }

    async fn flush(&mut self) -> Result<(), CloseCause> {
        Ok(())
    }

    fn ping(&mut self) -> impl Future<Output = Result<(), CloseCause>> + Send {
        self.put(Item::Ping)
    }

    async fn close(&mut self, cause: &CloseCause) {
        let _ = self.put(Item::Close(cause.clone())).await;
    }
}

impl DuplexReceiver for MemoryReceiver {
    async fn recv(&mut self) -> Result<Received, CloseCause> {
        let item = tokio::select! {
            biased;
            () = self.cable.cut.cancelled() => return Err(was_cut()),
            item = self.items.recv() => item,
        };
        match item {
            Some(Item::Text(text)) => Ok(Received::Text(text)),
            Some(Item::Ping) => {
                if !(self.back_silent)(&self.cable).load(Ordering::SeqCst)
                    && let Some(back) = self.back.upgrade()
                {
                    // A full channel is itself a sign of life.
                    let _ = back.try_send(Item::Pong);
                }
                Ok(Received::Alive)
            }
            Some(Item::Pong) => Ok(Received::Alive),
            Some(Item::Close(cause)) => {
                self.close_code = Some(cause.code());
                Err(cause)
            }
            None => Err(ended()),
        }
    }

    async fn drain(&mut self) {
        if self.close_code.is_none() {
            while self.recv().await.is_ok() {}
        }
    }

    fn close_code(&self) -> Option<u16> {
        self.close_code
    }
}

fn was_cut() -> CloseCause {
    CloseCause::failed("the connection was cut")
}

fn ended() -> CloseCause {
    CloseCause::failed("the connection ended without a close frame")
}
