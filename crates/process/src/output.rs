//! Reading the two outputs to their ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::line::{self, Cut, Line, Splitter, Stream, Tail};
use crate::task;

/// Lines that wait for the consumer; a line is at most 64 KiB.
const QUEUE: usize = 128;

/// How long a full queue holds the program up, once, before anybody has asked for its lines.
const UNTAKEN: Duration = Duration::from_secs(1);

/// How long an output may stay open when nothing of the tree is left: somebody else has it then.
const DRAIN: Duration = Duration::from_secs(2);

/// How much can still be in a pipe then: the largest that an unprivileged process may make it.
const LARGEST_PIPE: usize = 1024 * 1024;

const CHUNK: usize = 16 * 1024;

/// Both readers of one child.
pub(crate) struct Readers {
    tail: Arc<Mutex<Tail>>,
    gone: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

/// The consumer's end, and what it cancels when it takes it.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) lines: mpsc::Receiver<Line>,
    pub(crate) taken: CancellationToken,
}

impl Readers {
    /// Begins to read the two pipes.
    pub(crate) fn start(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<(Self, Output)> {
        let stdout = pipe::Receiver::from_owned_fd(stdout)?;
        let stderr = pipe::Receiver::from_owned_fd(stderr)?;
        let (sender, lines) = mpsc::channel(QUEUE);
        let sink = Sink {
            lines: sender,
            tail: Arc::default(),
            taken: CancellationToken::new(),
            gone: CancellationToken::new(),
            full: Arc::default(),
        };
        let output = Output {
            lines,
            taken: sink.taken.clone(),
        };
        let readers = Self {
            tail: Arc::clone(&sink.tail),
            gone: sink.gone.clone(),
            tasks: [
                task::spawn(read(stdout, Stream::Stdout, sink.clone())),
                task::spawn(read(stderr, Stream::Stderr, sink)),
            ],
        };
        Ok((readers, output))
    }

    /// When nothing of the tree is left: waits until all lines have been handed on, or nobody takes them. The tail.
    pub(crate) async fn finish(self) -> Vec<String> {
        self.gone.cancel();
        // Twice: a pipe that somebody else holds open, and then a consumer that does not read.
        let _ = timeout(DRAIN * 2, async {
            for task in self.tasks {
                // Detached when the time is over: it ends with its consumer.
                let _ = task.await;
            }
        })
        .await;
        self.tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines()
    }
}

/// What the two readers share.
#[derive(Debug, Clone)]
struct Sink {
    lines: mpsc::Sender<Line>,
    tail: Arc<Mutex<Tail>>,
    /// The consumer has taken its end.
    taken: CancellationToken,
    /// Nothing of the tree is left.
    gone: CancellationToken,
    /// When the queue was full for the first time.
    full: Arc<OnceLock<Instant>>,
}

/// Reads until the pipe ends, or a while after the tree is gone.
async fn read(pipe: pipe::Receiver, stream: Stream, sink: Sink) {
    let mut splitter = Splitter::default();
    let mut chunk = vec![0; CHUNK];
    // Once the tree is gone: until when to wait, and how much has come since.
    let (mut until, mut late) = (None, 0);
    while let Some(count) = next(&pipe, &mut chunk, &sink.gone, &mut until).await {
        // A pipe that is always full must not keep the others on this thread waiting: a chunk may be thousands of lines.
        consume_budget().await;
        let mut input = &chunk[..count];
        while let Some(cut) = splitter.next(&mut input) {
            sink.put(cut, stream).await;
            consume_budget().await;
        }
        if until.is_some() {
            late += count;
            if late > LARGEST_PIPE {
                break;
            }
        }
    }
    drop(pipe);
    if let Some(cut) = splitter.finish() {
        sink.put(cut, stream).await;
    }
}

/// The next bytes, and `None` at the end.
async fn next(
    pipe: &pipe::Receiver,
    chunk: &mut [u8],
    gone: &CancellationToken,
    until: &mut Option<Instant>,
) -> Option<usize> {
    loop {
        match pipe.try_read(chunk) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, "an output of a process cannot be read any more");
                return None;
            }
        }
        match *until {
            Some(until) => timeout_at(until, pipe.readable()).await.ok()?.ok()?,
            None => tokio::select! {
                ready = pipe.readable() => ready.ok()?,
                () = gone.cancelled() => *until = Some(Instant::now() + DRAIN),
            },
        }
    }
}

impl Sink {
    async fn put(&self, cut: Cut, stream: Stream) {
        let line = {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            line::make(&mut tail, cut, stream, SystemTime::now())
        };
        let Err(mpsc::error::TrySendError::Full(line)) = self.lines.try_send(line) else {
            return;
        };
        // Full. A consumer is waited for; one that has not shown up yet for a moment only.
        if !self.taken.is_cancelled() {
            // Not from the start: a program may take a while until it is executed.
            let full = *self.full.get_or_init(Instant::now);
            let wait = timeout_at(full + UNTAKEN, self.taken.cancelled());
            if wait.await.is_err() {
                return;
            }
        }
        // Fails when the consumer has dropped its end: then nobody wants it.
        let _ = self.lines.send(line).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> (Sink, mpsc::Receiver<Line>) {
        let (lines, receiver) = mpsc::channel(QUEUE);
        let sink = Sink {
            lines,
            tail: Arc::default(),
            taken: CancellationToken::new(),
            gone: CancellationToken::new(),
            full: Arc::default(),
        };
        (sink, receiver)
    }

    async fn put(sink: Sink, lines: usize) {
        for line in 0..lines {
            let text = line.to_string().into_bytes();
            let (partial, first) = (false, true);
            let cut = Cut {
                text,
                partial,
                first,
            };
            sink.put(cut, Stream::Stdout).await;
        }
    }

    /// The time was counted from the start of the readers, before the program was executed. On a slow
    /// disk it was over when the first line came, and all that did not fit into the queue was lost.
    #[tokio::test(start_paused = true)]
    async fn the_time_to_take_the_lines_begins_when_there_are_too_many() {
        let (sink, mut receiver) = sink();
        let taken = sink.taken.clone();
        tokio::time::sleep(UNTAKEN * 30).await;
        let take = async {
            tokio::time::sleep(UNTAKEN / 2).await;
            taken.cancel();
            let mut count = 0;
            while receiver.recv().await.is_some() {
                count += 1;
            }
            count
        };
        let ((), count) = tokio::join!(put(sink, QUEUE * 3), take);
        assert_eq!(count, QUEUE * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_nobody_takes_holds_the_program_up_once() {
        let (sink, mut receiver) = sink();
        let begun = Instant::now();
        put(sink, QUEUE * 3).await;
        assert_eq!(begun.elapsed(), UNTAKEN);
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, QUEUE);
    }
}
