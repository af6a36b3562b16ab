//! One timer for the heartbeats of many lines.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::bell::For;
use crate::line::Line;
use crate::options::Heartbeat;
use crate::pulse::{Beat, is_dead};
use crate::rounds::Rounds;

/// What beats for lines: all that are given clones of one share its timer, and its task. Only lines
/// with a [`Heartbeat`] make use of it.
///
/// The task runs while there is such a line, on the runtime and the tracker of the line that was
/// opened first: to be shared among lines that share these. Lines that are due close together are
/// handled at once: what a heartbeat asks for comes late by a sixteenth of it at most, or by half
/// a second where that is shorter.
#[derive(Clone)]
pub struct Heart(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Rung when the task is to look at the queue anew.
    changed: Notify,
}

struct State {
    rounds: Rounds<Arc<Line>>,
    /// What the task waits for; `None` where it does not run.
    awake_at: Option<Instant>,
}

/// When a line was last heard.
#[derive(Debug)]
pub(crate) struct Signs {
    since: Instant,
    /// When something was last heard, in nanoseconds since then.
    heard: AtomicU64,
}

/// A line's place among those of its heart, until this is dropped.
pub(crate) struct Beating {
    heart: Heart,
    number: u64,
}

impl Signs {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// Anything at all arrived.
    pub(crate) fn hear(&self) {
        let since = self.since.elapsed().as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }

    /// Whether the silence lasts for too long.
    pub(crate) fn is_dead(&self, heartbeat: &Heartbeat) -> bool {
        is_dead(heartbeat, self.heard(), Instant::now())
    }

    fn heard(&self) -> Instant {
        self.since + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }
}

impl Heart {
    /// A heart without lines; no task yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                rounds: Rounds::new(Instant::now()),
                awake_at: None,
            }),
            changed: Notify::new(),
        }))
    }

    /// Beats for a line from now on.
    pub(crate) fn join(
        &self,
        line: &Arc<Line>,
        heartbeat: Heartbeat,
        tracker: &TaskTracker,
    ) -> Beating {
        let mut state = self.0.lock();
        let now = Instant::now();
        let number = state.rounds.join(Arc::clone(line), heartbeat, now);
        let starts = match state.awake_at {
            None => {
                state.awake_at = Some(now);
                true
            }
            Some(at) => {
                if state.rounds.due().is_some_and(|due| due < at) {
                    self.0.changed.notify_one();
                }
                false
            }
        };
        drop(state);
        if starts {
            // Not under the lock: a runtime that is shutting down drops the task here and now, and
            // that takes the lock.
            let shared = Arc::clone(&self.0);
            let over = false;
            tracker.spawn(beat(Running { shared, over }));
        }
        let heart = self.clone();
        Beating { heart, number }
    }
}

impl Default for Heart {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        let shared = &*self.heart.0;
        let mut state = shared.lock();
        state.rounds.leave(self.number);
        if state.rounds.due().is_none() {
            shared.changed.notify_one();
        }
    }
}

/// The task's hold on its heart: when it goes, however it goes, the next line starts another.
struct Running {
    shared: Arc<Shared>,
    /// There was no line any more. Another task may run already.
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.shared.lock().awake_at = None;
        }
    }
}

async fn beat(mut running: Running) {
    while let Some(due) = running.shared.round() {
        tokio::select! {
            biased;
            () = running.shared.changed.notified() => {}
            () = sleep_until(due) => {}
        }
    }
    running.over = true;
}

impl Shared {
    /// Handles what is due; when there is something to do again, `None` for no more.
    fn round(&self) -> Option<Instant> {
        let mut state = self.lock();
        let heard = |line: &Arc<Line>| line.signs.heard();
        state
            .rounds
            .go(Instant::now(), heard, |line, beat| match beat {
                Beat::Rest => {}
                Beat::Ask => line.outlet.ping(),
                // Whether that is the end is the reader's to say: what has just arrived it sees first.
                Beat::Dead => line.bell.ring(For::Doubt),
            });
        // Decided under the lock: a line that joins from here on starts a task of its own.
        state.awake_at = state.rounds.due();
        state.awake_at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Heart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heart").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::options::Options;

    /// Joins a heart when it is dropped.
    struct Joins(Heart, Arc<Line>, TaskTracker);

    impl Drop for Joins {
        fn drop(&mut self) {
            drop(self.0.join(&self.1, Heartbeat::default(), &self.2));
        }
    }

    /// A runtime that is shutting down drops a task that is spawned on it right away. The heart
    /// spawned its task under the lock that the task takes when it is dropped, so a plugin that
    /// connected while its host's runtime ended kept that from ending, for ever.
    #[test]
    fn a_line_that_is_opened_while_the_runtime_ends_does_not_hold_it_up() {
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            let heart = Heart::new();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let line = Arc::new(Line::new(Options::default()));
            let joins = Joins(heart.clone(), line, TaskTracker::new());
            runtime.spawn(async move {
                let _joins = joins;
                std::future::pending::<()>().await;
            });
            drop(runtime);
            ended.send(heart.0.lock().awake_at).unwrap();
        });
        let awake_at = end.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(awake_at, None, "the next line starts a task of its own");
    }
}
