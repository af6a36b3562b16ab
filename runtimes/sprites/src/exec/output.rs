//! What a process writes, on its way to whoever reads it.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jackfield::runtime::{Line, Stream};
use jackfield_process::Assembler;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::replay::History;

/// Lines that wait for the reader; a line is at most 64 KiB.
pub(super) const LINES: usize = 256;
/// After an attach: nothing for so long, and what was sent again is through.
const QUIET: Duration = Duration::from_millis(500);
/// A program that never is quiet is not listened to for longer.
const LISTEN: Duration = Duration::from_secs(3);
/// As much is kept meanwhile.
const REPLAY: usize = 4 * 1024 * 1024;
/// A reader that takes nothing for that long after the end gets no more.
const DRAIN: Duration = Duration::from_secs(30);

/// Bytes become lines, which wait for room.
#[derive(Debug)]
pub(super) struct Output {
    sender: mpsc::Sender<Line>,
    assembler: Assembler,
    history: History,
    waiting: VecDeque<Line>,
    replay: Option<Replay>,
}

/// The first moments after an attach.
#[derive(Debug)]
struct Replay {
    came: Vec<(Stream, Bytes)>,
    size: usize,
    quiet: Instant,
    until: Instant,
}

impl Output {
    pub(super) fn new(sender: mpsc::Sender<Line>) -> Self {
        Self {
            sender,
            assembler: Assembler::default(),
            history: History::default(),
            waiting: VecDeque::new(),
            replay: None,
        }
    }

    pub(super) fn push(&mut self, stream: Stream, bytes: Bytes, now: Instant) {
        let Some(replay) = &mut self.replay else {
            self.take(stream, &bytes);
            return;
        };
        replay.size += bytes.len();
        replay.quiet = now + QUIET;
        replay.came.push((stream, bytes));
        if replay.size > REPLAY {
            self.end_replay();
        }
    }

    /// From now on what was written before may come again.
    pub(super) fn attached(&mut self, now: Instant) {
        self.end_replay();
        self.replay = Some(Replay {
            came: Vec::new(),
            size: 0,
            quiet: now + QUIET,
            until: now + LISTEN,
        });
    }

    /// When to call [`Self::on_due`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.replay
            .as_ref()
            .map(|replay| replay.quiet.min(replay.until))
    }

    pub(super) fn on_due(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.end_replay();
        }
    }

    /// Lines wait for the reader: nothing more is to be read.
    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits for room, and hands on what there is room for. Cancel safe.
    pub(super) async fn hand_on(&mut self) {
        match self.sender.reserve().await {
            Ok(room) => {
                if let Some(line) = self.waiting.pop_front() {
                    room.send(line);
                }
            }
            // Nobody reads any more.
            Err(_) => self.waiting.clear(),
        }
        self.hand_on_now();
    }

    /// The end of both streams. Waits for the reader.
    pub(super) async fn finish(mut self) -> Vec<String> {
        self.end_replay();
        let rest = self.assembler.finish(SystemTime::now());
        self.waiting.extend(rest);
        while self.is_full() {
            if timeout(DRAIN, self.hand_on()).await.is_err() {
                tracing::warn!(
                    lines = self.waiting.len(),
                    "nobody takes the last lines of a process"
                );
                break;
            }
        }
        self.assembler.tail()
    }

    fn end_replay(&mut self) {
        if let Some(replay) = self.replay.take() {
            for (stream, bytes) in self.history.new_of(&replay.came) {
                self.take(stream, &bytes);
            }
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.history.push(stream, bytes);
        let lines = self.assembler.push(stream, SystemTime::now(), bytes);
        self.waiting.extend(lines);
        self.hand_on_now();
    }

    fn hand_on_now(&mut self) {
        while let Some(line) = self.waiting.pop_front() {
            match self.sender.try_send(line) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(line)) => {
                    self.waiting.push_front(line);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_wait_for_room_and_the_end_for_the_lines() {
        let (sender, mut lines) = mpsc::channel(2);
        let mut output = Output::new(sender);
        let now = Instant::now();
        output.push(Stream::Stdout, Bytes::from_static(b"1\n2\n3\nrest"), now);
        assert!(output.is_full());
        let reader = async {
            let mut all = Vec::new();
            while let Some(line) = lines.recv().await {
                all.push(String::from_utf8(line.text).unwrap());
            }
            all
        };
        let (tail, all) = tokio::join!(output.finish(), reader);
        assert_eq!(all, ["1", "2", "3", "rest"]);
        assert_eq!(tail, all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replay_is_told_from_news_once_it_is_quiet() {
        let (sender, mut lines) = mpsc::channel(9);
        let mut output = Output::new(sender);
        let now = Instant::now();
        output.push(Stream::Stdout, Bytes::from_static(b"old\nha"), now);
        output.attached(now);
        output.push(Stream::Stdout, Bytes::from_static(b"old\nhalf\n"), now);
        assert_eq!(lines.try_recv().unwrap().text, b"old");
        assert!(lines.try_recv().is_err(), "not yet");
        output.on_due(now);
        assert!(lines.try_recv().is_err(), "not due");
        output.on_due(output.due().unwrap());
        assert_eq!(lines.try_recv().unwrap().text, b"half");
        assert_eq!(output.due(), None);
        assert!(output.finish().await.len() == 2 && lines.try_recv().is_err());
    }
}
