//! One installation: the loop that delivers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use jackfield::rpc::CallOptions;
use jackfield::wire::methods::Event;
use jackfield::{InstallationId, Method as _, ReportedState, Session, Status};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ack::outcome;
use super::cursors::Cursors;
use super::deliver::{Act, Attempts, Outcome, short};
use super::feed::{Feed, Look};
use super::queued::{Queued, params};
use crate::config::Events;
use crate::observe;
use crate::store::{Parked, Store};

/// How long an event that is out may still be acknowledged when its follower is to end.
const LAST_ACK: Duration = Duration::from_secs(1);
/// How long until the next try, when the database does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How many events are read at once by who is far behind: each of them may do so at the same time.
const BATCH: u32 = 16;
/// A cursor that only passed over others' events is written this seldom.
const PASSED: i64 = 256;

/// What all followers share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) store: Store,
    pub(super) config: Events,
    pub(super) feed: Feed,
    pub(super) cursors: Cursors,
    /// Events below this are forgotten: whoever has not had them has missed them.
    pub(super) floor: AtomicI64,
}

/// How far a follower is, for others to see.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last event that is done with.
    pub(super) position: AtomicI64,
    /// The attempts at the next one.
    pub(super) attempts: AtomicU32,
}

/// One installation's deliveries.
pub(super) struct Follower {
    id: InstallationId,
    session: Session,
    names: Arc<[String]>,
    common: Arc<Common>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    status: watch::Receiver<Status>,
    /// The line (by when it was opened) that has its configuration.
    configured: watch::Receiver<Option<SystemTime>>,
    turns: watch::Receiver<u64>,
    attempts: Attempts,
    /// Not before.
    due: Option<Instant>,
    /// Read from the database, while it is too far behind for the feed.
    ahead: VecDeque<Arc<Queued>>,
    /// The last position that was handed to the writer.
    noted: i64,
}

/// What was waited for.
enum Woken {
    /// Something may have changed: look again.
    Changed,
    /// It is time.
    Due,
    /// The session is over.
    Over,
}

impl Follower {
    pub(super) fn new(
        session: Session,
        names: Arc<[String]>,
        configured: watch::Receiver<Option<SystemTime>>,
        common: Arc<Common>,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            id: session.id(),
            status: session.status(),
            turns: common.feed.turns(),
            noted: progress.position.load(Ordering::SeqCst),
            session,
            names,
            common,
            progress,
            stop,
            configured,
            attempts: Attempts::default(),
            due: None,
            ahead: VecDeque::new(),
        }
    }

    /// Delivers until it is stopped or the session is over. `before`: the one whose place it takes,
    /// and where that one was when it ended.
    pub(super) async fn run(mut self, before: impl Future<Output = Option<i64>>) {
        if let Some(position) = before.await {
            self.progress.position.fetch_max(position, Ordering::SeqCst);
        }
        self.noted = self.position();
        let _stopped: Option<()> = self.follow().await;
        self.progress.attempts.store(0, Ordering::SeqCst);
        if self.position() > self.noted {
            self.common.cursors.note(self.id, self.position());
        }
    }

    /// `None`: it is to end.
    async fn follow(&mut self) -> Option<()> {
        loop {
            self.until_ready().await?;
            if let Some(due) = self.due {
                match self.wait(Some(due)).await? {
                    Woken::Changed => {}
                    Woken::Due => self.due = None,
                    Woken::Over => return None,
                }
                continue;
            }
            // Seen before it is looked at: a replay that is asked for from here on wakes.
            self.turns.borrow_and_update();
            if self.attempts == Attempts::default() && self.common.feed.take_replay(self.id) {
                self.replay().await?;
                continue;
            }
            match self.next().await? {
                Some(queued) => self.deliver(&queued).await?,
                None => {
                    if let Woken::Over = self.wait(None).await? {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits for a line that has its configuration.
    async fn until_ready(&mut self) -> Option<()> {
        loop {
            // The watches are marked as seen before they are judged: what changes from here on wakes.
            let line = {
                let now = self.status.borrow_and_update();
                (now.state == ReportedState::Active).then_some(now.started_at)
            };
            let configured = *self.configured.borrow_and_update();
            if line.is_some_and(|line| line == configured) {
                return (!self.stop.is_cancelled()).then_some(());
            }
            let (status, configured) = (&mut self.status, &mut self.configured);
            let changed = async {
                tokio::select! {
                    changed = status.changed() => changed.is_ok(),
                    changed = configured.changed() => changed.is_ok(),
                }
            };
            self.stop
                .run_until_cancelled(changed)
                .await?
                .then_some(())?;
        }
    }

    /// Waits until something changes, or until then.
    async fn wait(&mut self, due: Option<Instant>) -> Option<Woken> {
        let woken = async {
            let woken = |changed: Result<(), _>| match changed {
                Ok(()) => Woken::Changed,
                Err(watch::error::RecvError { .. }) => Woken::Over,
            };
            tokio::select! {
                changed = self.status.changed() => woken(changed),
                changed = self.configured.changed() => woken(changed),
                changed = self.turns.changed(), if due.is_none() => woken(changed),
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await },
                    if due.is_some() => Woken::Due,
            }
        };
        self.stop.run_until_cancelled(woken).await
    }

    /// The event whose turn it is; inner `None`: there is none now.
    async fn next(&mut self) -> Option<Option<Arc<Queued>>> {
        loop {
            let floor = self.common.floor.load(Ordering::SeqCst);
            if self.position() < floor - 1 {
                self.attempts.forget();
                self.pass(floor - 1);
            }
            let position = self.position();
            while let Some(next) = self.ahead.front() {
                if next.event.seq > position {
                    return Some(Some(Arc::clone(next)));
                }
                self.ahead.pop_front();
            }
            match self.common.feed.look(position, &self.names) {
                Look::Event(queued) => return Some(Some(queued)),
                Look::UpTo(seq) => {
                    self.pass(seq);
                    return Some(None);
                }
                Look::Soon => return Some(None),
                Look::Behind => {}
            }
            let read = self.common.store.events_after(position, &self.names, BATCH);
            match self.stop.run_until_cancelled(read).await? {
                Ok((events, looked)) if events.is_empty() => {
                    self.pass(looked);
                    if looked <= position {
                        return Some(None);
                    }
                }
                Ok((events, _)) => {
                    let queued = events.into_iter().map(|event| Arc::new(Queued::new(event)));
                    self.ahead.extend(queued);
                }
                Err(error) => {
                    tracing::warn!(id = %self.id, %error, "events cannot be read; tried again");
                    self.pause().await?;
                }
            }
        }
    }

    /// One attempt, and what follows from it.
    async fn deliver(&mut self, queued: &Queued) -> Option<()> {
        let outcome = match queued.params() {
            Ok(params) => self.attempt(params).await?,
            Err(why) => Outcome::Impossible(why),
        };
        let (id, event) = (self.id, &queued.event);
        match &outcome {
            Outcome::Taken => metrics::counter!("jackfield_events_delivered_total").increment(1),
            Outcome::NotSent => {}
            Outcome::Refused(why) | Outcome::Broken(why) | Outcome::Impossible(why) => {
                metrics::counter!("jackfield_events_refused_total").increment(1);
                tracing::warn!(%id, event = event.name, seq = event.seq, why, "an event was not taken");
            }
        }
        let unsent = outcome == Outcome::NotSent;
        let act = self.attempts.on(outcome, &self.common.config);
        let made = self.attempts.made();
        self.progress.attempts.store(made, Ordering::SeqCst);
        match act {
            Act::Advance => self.done(event.seq),
            Act::WaitFor(delay) => self.due = Some(Instant::now() + delay),
            // The status may still speak of the line that is gone; it will change.
            Act::WhenActive if unsent => {
                let changed = self.stop.run_until_cancelled(self.status.changed());
                changed.await?.ok()?;
            }
            Act::WhenActive => {}
            Act::Park { attempts, reason } => self.park(queued, attempts, reason).await?,
        }
        Some(())
    }

    /// Calls the plugin.
    async fn attempt(&self, params: &RawValue) -> Option<Outcome> {
        let session = &self.session;
        let call = observe::call(session, Event::NAME, Some(params), CallOptions::default());
        let patience = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_ACK).await;
        };
        tokio::select! {
            biased;
            answer = call => Some(outcome(answer)),
            () = patience => None,
        }
    }

    async fn park(&mut self, queued: &Queued, attempts: u32, reason: String) -> Option<()> {
        let event = &queued.event;
        let parked = Parked {
            seq: event.seq,
            name: event.name.clone(),
            payload: event.payload.clone(),
            published_at: event.published_at,
            attempts: attempts.into(),
            reason,
            parked_at: SystemTime::now(),
            to_replay: false,
        };
        while let Err(error) = self.common.store.park(self.id, &parked).await {
            tracing::warn!(id = %self.id, %error, "an event cannot be parked; tried again");
            self.pause().await?;
        }
        metrics::counter!("jackfield_events_parked_total").increment(1);
        tracing::warn!(id = %self.id, event = event.name, seq = event.seq, attempts, "an event is parked");
        self.done(event.seq);
        Some(())
    }

    /// Tries parked events again, each once, in order.
    async fn replay(&mut self) -> Option<()> {
        let (id, store) = (self.id, &self.common.store);
        let asked = match store.to_replay(id, BATCH).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%id, %error, "parked events cannot be read; tried again");
                self.common.feed.put_replay(id);
                return self.pause().await;
            }
        };
        if asked.len() >= BATCH as usize {
            // There may be more.
            self.common.feed.put_replay(id);
        }
        for parked in asked {
            let outcome = match params(&parked.name, &parked.payload) {
                Ok(params) => self.attempt(&params).await?,
                Err(why) => Outcome::Impossible(why),
            };
            let written = match outcome {
                Outcome::Taken => {
                    metrics::counter!("jackfield_events_delivered_total").increment(1);
                    store.unpark(id, parked.seq).await.map(|_| ())
                }
                Outcome::NotSent => {
                    self.common.feed.put_replay(id);
                    let changed = self.stop.run_until_cancelled(self.status.changed());
                    return changed.await?.ok();
                }
                Outcome::Refused(why) | Outcome::Broken(why) | Outcome::Impossible(why) => {
                    metrics::counter!("jackfield_events_refused_total").increment(1);
                    store.replay_failed(id, parked.seq, &short(why)).await
                }
            };
            if let Err(error) = written {
                tracing::warn!(%id, seq = parked.seq, %error, "what became of a parked event is not written");
                self.common.feed.put_replay(id);
                return self.pause().await;
            }
        }
        Some(())
    }

    /// The event is done with.
    fn done(&mut self, seq: i64) {
        self.progress.position.fetch_max(seq, Ordering::SeqCst);
        self.noted = self.position();
        self.common.cursors.note(self.id, self.noted);
    }

    /// Nothing up to here was for it.
    fn pass(&mut self, seq: i64) {
        self.progress.position.fetch_max(seq, Ordering::SeqCst);
        if self.position() - self.noted >= PASSED {
            self.done(seq);
        }
    }

    fn position(&self) -> i64 {
        self.progress.position.load(Ordering::SeqCst)
    }

    async fn pause(&self) -> Option<()> {
        self.stop
            .run_until_cancelled(tokio::time::sleep(AGAIN))
            .await
    }
}
