//! A session: one process, what it wrote, and who looks on.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot, watch};

use super::process::{Process, Start, Started};
use super::state::State;

/// What a line carries.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Stdout(Bytes),
    Stderr(Bytes),
    Exit(i32),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u32,
    pub(super) command: String,
    pub(super) workdir: String,
    pub(super) created: SystemTime,
    pub(super) process: Process,
    /// How long it goes on without a line; zero: for ever.
    after_disconnect: Duration,
    output: Mutex<Output>,
    code: watch::Sender<Option<i32>>,
}

/// A line's share in a session; dropped, the line is gone.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: Arc<Session>,
    /// What was written before.
    pub(super) before: Vec<Frame>,
    pub(super) frames: mpsc::Receiver<Frame>,
    /// The first line that has none before it owns it; it stays open when that line goes.
    pub(super) stdin: Option<ChildStdin>,
    state: Arc<State>,
}

#[derive(Debug)]
struct Output {
    kept: VecDeque<Frame>,
    bytes: usize,
    last: SystemTime,
    lines: Vec<mpsc::Sender<Frame>>,
    stdin: Option<ChildStdin>,
    /// How many lines there are, and how often one came or went.
    attached: usize,
    changes: u64,
    ended: bool,
}

impl Session {
    /// Starts a process in a sprite, with the first line to it. `None`: there is no such sprite.
    pub(super) fn start(
        state: &Arc<State>,
        sprite: &str,
        start: &Start,
    ) -> Option<Result<Attached, std::io::Error>> {
        let folder = state.folder(sprite);
        let mut inner = state.lock();
        if !inner.sprites.contains_key(sprite) {
            return None;
        }
        let Started {
            process,
            stdin,
            stdout,
            stderr,
            exit,
        } = match start.spawn(Path::new(&folder)) {
            Ok(started) => started,
            Err(error) => return Some(Err(error)),
        };
        inner.last_session += 1;
        let session = Arc::new(Self {
            id: inner.last_session,
            command: start.cmd.join(" "),
            workdir: start.dir.clone(),
            created: SystemTime::now(),
            process,
            after_disconnect: start
                .after_disconnect
                .unwrap_or(state.settings.after_disconnect),
            output: Mutex::new(Output {
                kept: VecDeque::new(),
                bytes: 0,
                last: SystemTime::now(),
                lines: Vec::new(),
                stdin,
                attached: 0,
                changes: 0,
                ended: false,
            }),
            code: watch::Sender::new(None),
        });
        let sessions = &mut inner.sprites.get_mut(sprite)?.sessions;
        sessions.insert(session.id, Arc::clone(&session));
        drop(inner);
        let attached = session.attach(state)?;
        let life = life(
            Arc::clone(&session),
            Arc::clone(state),
            stdout,
            stderr,
            exit,
        );
        state.tasks.spawn(life);
        Some(Ok(attached))
    }

    /// Another line. `None`: the process has ended.
    pub(super) fn attach(self: &Arc<Self>, state: &Arc<State>) -> Option<Attached> {
        let mut output = self.lock();
        if output.ended {
            return None;
        }
        let (sender, frames) = mpsc::channel(64);
        output.lines.push(sender);
        output.attached += 1;
        output.changes += 1;
        Some(Attached {
            session: Arc::clone(self),
            before: output.kept.iter().cloned().collect(),
            frames,
            stdin: output.stdin.take(),
            state: Arc::clone(state),
        })
    }

    /// The code it ended with, once it has.
    pub(super) fn code(&self) -> watch::Receiver<Option<i32>> {
        self.code.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn last_activity(&self) -> SystemTime {
        self.lock().last
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Output> {
        self.output
            .lock()
            .expect("nobody panics with the lock in hand")
    }

    async fn wrote(&self, frame: Frame, size: usize, scrollback: usize) {
        let lines = {
            let mut output = self.lock();
            output.last = SystemTime::now();
            output.kept.push_back(frame.clone());
            output.bytes += size;
            while output.bytes > scrollback {
                let Some(Frame::Stdout(old) | Frame::Stderr(old)) = output.kept.pop_front() else {
                    break;
                };
                output.bytes -= old.len();
            }
            output.lines.retain(|line| !line.is_closed());
            output.lines.clone()
        };
        for line in lines {
            let _ = line.send(frame.clone()).await;
        }
    }

    async fn end(&self, code: i32) {
        let lines = {
            let mut output = self.lock();
            output.ended = true;
            std::mem::take(&mut output.lines)
        };
        self.code.send_replace(Some(code));
        for line in lines {
            let _ = line.send(Frame::Exit(code)).await;
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let changes = {
            let mut output = self.session.lock();
            output.stdin = output.stdin.take().or(self.stdin.take());
            output.attached -= 1;
            output.changes += 1;
            if output.attached > 0 || output.ended {
                return;
            }
            output.changes
        };
        let (session, end) = (Arc::clone(&self.session), self.state.end.clone());
        if session.after_disconnect.is_zero() {
            return;
        }
        self.state.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(session.after_disconnect) => {}
                () = end.cancelled() => return,
            }
            let output = session.lock();
            if output.changes == changes {
                session.process.kill();
            }
        });
    }
}

async fn life(
    session: Arc<Session>,
    state: Arc<State>,
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    mut exit: oneshot::Receiver<i32>,
) {
    let scrollback = state.settings.scrollback;
    let pumps = async {
        tokio::join!(
            pump(&session, stdout, Frame::Stdout, scrollback),
            pump(&session, stderr, Frame::Stderr, scrollback),
        )
    };
    let mut pumps = pin!(pumps);
    let code = tokio::select! {
        _ = &mut pumps => exit.await,
        code = &mut exit => {
            // Somebody who left the group may hold the pipes for ever.
            let _ = tokio::time::timeout(Duration::from_millis(500), &mut pumps).await;
            code
        }
    };
    session.end(code.unwrap_or(-1)).await;
    state.tell();
}

async fn pump(
    session: &Session,
    mut from: impl AsyncRead + Unpin,
    frame: fn(Bytes) -> Frame,
    scrollback: usize,
) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = Bytes::copy_from_slice(&buffer[..read]);
        session.wrote(frame(bytes), read, scrollback).await;
    }
}
