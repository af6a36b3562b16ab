//! The newest events, read once for all who follow.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield::InstallationId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::queued::Queued;
use crate::store::{Store, StoreError};

/// How many events are kept in memory, and how many bytes.
const KEPT: (usize, usize) = (1024, 32 << 20);
/// How many are read at once.
const BATCH: u32 = 64;
/// How long until the next try, when the database does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// The newest events of all names that anybody follows.
///
/// One task reads; followers look, and wait for its next turn. Who is further behind than this
/// reaches reads the database itself, until it has caught up.
#[derive(Debug)]
pub(super) struct Feed {
    ring: Mutex<Ring>,
    bell: Notify,
    turns: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    names: BTreeSet<String>,
    /// Names came: what is here may lack events that have them.
    stale: bool,
    /// All events after this and up to `to` that have one of the names are here.
    after: i64,
    to: i64,
    events: VecDeque<Arc<Queued>>,
    bytes: usize,
    /// Whose parked events are to be tried again.
    replays: HashSet<InstallationId>,
}

/// What a follower finds.
#[derive(Debug)]
pub(super) enum Look {
    /// Its next event.
    Event(Arc<Queued>),
    /// Nothing for it up to this number.
    UpTo(i64),
    /// It is further behind than what is kept here.
    Behind,
    /// It is being read just now: wait for the next turn.
    Soon,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::new(Ring {
                names: BTreeSet::new(),
                stale: true,
                after: 0,
                to: 0,
                events: VecDeque::new(),
                bytes: 0,
                replays: HashSet::new(),
            }),
            bell: Notify::new(),
            turns: watch::Sender::new(0),
        }
    }

    /// Somebody follows these.
    pub(super) fn add_names(&self, names: &[String]) {
        let mut ring = self.lock();
        for name in names {
            if !ring.names.contains(name) {
                ring.names.insert(name.clone());
                ring.stale = true;
            }
        }
        drop(ring);
        // Also for what lies parked and was asked for while nobody followed.
        self.ring_bell();
    }

    /// There is something new: read.
    pub(super) fn ring_bell(&self) {
        self.bell.notify_one();
    }

    /// Has everybody look again, with nothing new read.
    pub(super) fn turn(&self) {
        self.turns.send_modify(|turn| *turn += 1);
    }

    /// Changes whenever it is worth looking again.
    pub(super) fn turns(&self) -> watch::Receiver<u64> {
        self.turns.subscribe()
    }

    /// The first event after this number that has one of these names.
    pub(super) fn look(&self, after: i64, names: &[String]) -> Look {
        let ring = self.lock();
        if ring.stale {
            return Look::Soon;
        }
        if after < ring.after {
            return Look::Behind;
        }
        ring.events_after(after)
            .find(|queued| names.contains(&queued.event.name))
            .map_or(Look::UpTo(ring.to), |queued| {
                Look::Event(Arc::clone(queued))
            })
    }

    /// How many events there are after this number that have one of these names, where all of them
    /// are here, up to the newest one.
    pub(super) fn count(&self, after: i64, newest: i64, names: &[String]) -> Option<u64> {
        let ring = self.lock();
        if ring.stale || after < ring.after || ring.to < newest {
            return None;
        }
        let count = ring
            .events_after(after)
            .filter(|queued| names.contains(&queued.event.name))
            .count();
        Some(count as u64)
    }

    /// Whether its parked events are to be tried again; says so once.
    pub(super) fn take_replay(&self, id: InstallationId) -> bool {
        self.lock().replays.remove(&id)
    }

    /// They are to be tried again later.
    pub(super) fn put_replay(&self, id: InstallationId) {
        self.lock().replays.insert(id);
    }

    /// Reads whenever the bell rings, until the server stops.
    pub(super) async fn run(&self, store: &Store, stop: &CancellationToken) {
        while stop
            .run_until_cancelled(self.bell.notified())
            .await
            .is_some()
        {
            if let Err(error) = self.read(store).await {
                tracing::warn!(%error, "events cannot be read; tried again");
                stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                self.ring_bell();
            }
            self.turn();
        }
    }

    async fn read(&self, store: &Store) -> Result<(), StoreError> {
        let replays = store.with_replays().await?;
        self.lock().replays.extend(replays);
        loop {
            let (names, stale, to) = {
                let ring = self.lock();
                let names: Vec<String> = ring.names.iter().cloned().collect();
                (names, ring.stale, ring.to)
            };
            if names.is_empty() {
                return Ok(());
            }
            let from = if stale {
                let newest = store.newest_event().await?;
                (newest - i64::try_from(KEPT.0).unwrap_or_default()).max(0)
            } else {
                to
            };
            let (events, looked) = store.events_after(from, &names, BATCH).await?;
            let all = events.len() < BATCH as usize;
            let mut ring = self.lock();
            if ring.names.len() != names.len() {
                // More names came meanwhile: from the beginning.
                continue;
            }
            if stale {
                ring.begin(from);
            }
            for event in events {
                ring.push(Queued::new(event));
            }
            ring.to = looked.max(ring.to);
            if all {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn begin(&mut self, after: i64) {
        self.stale = false;
        self.events.clear();
        self.bytes = 0;
        (self.after, self.to) = (after, after);
    }

    fn push(&mut self, queued: Queued) {
        self.bytes += queued.bytes();
        self.events.push_back(Arc::new(queued));
        while self.events.len() > KEPT.0 || (self.bytes > KEPT.1 && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.after = oldest.event.seq;
        }
    }

    fn events_after(&self, after: i64) -> impl Iterator<Item = &Arc<Queued>> {
        let first = self
            .events
            .partition_point(|queued| queued.event.seq <= after);
        self.events.iter().skip(first)
    }
}
