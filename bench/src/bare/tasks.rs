//! The bare WebSocket library between callers that each wait for their own answer: a task that writes what is queued, a
//! task that reads, and answers in the order of the calls, since an echo has no ids.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::ws;
use crate::payload;
use crate::protocol::{Driven, Failure};

/// Messages that wait to be written, and that are written together, at most.
const QUEUE: usize = 256;

/// The side that calls.
pub struct BareTasks {
    queue: mpsc::Sender<(Message, oneshot::Sender<usize>)>,
    _tasks: JoinSet<()>,
    _peer: Child,
}

impl BareTasks {
    /// As [`BareWs::start`](super::ws::BareWs::start).
    ///
    /// # Errors
    /// When the program that echoes does not come.
    pub async fn start(peer: &Path) -> Result<Self, Failure> {
        let (socket, peer) = ws::connected(peer).await?;
        let (mut sink, mut stream) = socket.split();
        let (queue, mut queued) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(VecDeque::<oneshot::Sender<usize>>::new()));
        let answers = Arc::clone(&waiting);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut together = Vec::with_capacity(QUEUE);
            while queued.recv_many(&mut together, QUEUE).await > 0 {
                for (message, answer) in together.drain(..) {
                    answers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push_back(answer);
                    if sink.feed(message).await.is_err() {
                        return;
                    }
                }
                if sink.flush().await.is_err() {
                    return;
                }
            }
        });
        tasks.spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let first = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                if let Some(answer) = first {
                    let _ = answer.send(message.len());
                }
            }
        });
        Ok(Self {
            queue,
            _tasks: tasks,
            _peer: peer,
        })
    }
}

impl Driven for BareTasks {
    async fn call(&self, bytes: usize) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let message = Message::text(payload::json(bytes));
        self.queue.send((message, answer)).await?;
        match answered.await? == bytes {
            true => Ok(()),
            false => Err("an echo of another size".into()),
        }
    }
}

impl std::fmt::Debug for BareTasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareTasks").finish_non_exhaustive()
    }
}
