//! All deliveries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jackfield::wire::manifest::Transport;
use jackfield::{InstallationId, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cursors::Cursors;
use super::feed::Feed;
use super::follower::{Common, Follower, Progress};
use super::retention;
use crate::config::Events;
use crate::store::{Record, Store};

/// Who gets events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    common: Arc<Common>,
    followed: Arc<Followed>,
    tracker: TaskTracker,
    /// Of the followers alone: cursors are written when they have ended.
    followers: TaskTracker,
    gone: CancellationToken,
}

/// Who follows now.
#[derive(Debug, Default)]
pub(super) struct Followed {
    by_id: Mutex<HashMap<InstallationId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    names: Arc<[String]>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// How far an installation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Events that are published and not done with, of those it consumes (counted up to 1000).
    pub(crate) waiting: u64,
    /// The attempts so far at the event that is next.
    pub(crate) attempts: u32,
}

/// How far waiting events are counted.
const COUNTED: u64 = 1000;

impl Deliveries {
    /// Starts what all share: the reader of events, the writer of cursors, and the task that forgets
    /// old events. They end with `gone`; the writer last, when every follower has ended.
    pub(crate) fn new(
        store: Store,
        config: Events,
        tracker: TaskTracker,
        gone: CancellationToken,
    ) -> Self {
        let common = Arc::new(Common {
            store,
            config,
            feed: Feed::new(),
            cursors: Cursors::default(),
            floor: AtomicI64::new(0),
        });
        let followers = TaskTracker::new();
        let followed = Arc::new(Followed::default());
        let (shared, stop) = (Arc::clone(&common), gone.clone());
        tracker.spawn(async move { shared.feed.run(&shared.store, &stop).await });
        let (shared, stop, all) = (Arc::clone(&common), gone.clone(), followers.clone());
        tracker.spawn(async move {
            let ended = async {
                all.close();
                all.wait().await;
            };
            shared.cursors.run(&shared.store, &stop, ended).await;
        });
        let (shared, stop, who) = (Arc::clone(&common), gone.clone(), Arc::clone(&followed));
        tracker.spawn(async move { retention::run(&shared, &who, &stop).await });
        Self {
            inner: Arc::new(Inner {
                common,
                followed,
                tracker,
                followers,
                gone,
            }),
        }
    }

    /// From now on this session gets what its record has not had yet. A second call for the same
    /// installation takes the place of the first (another session after an upgrade) and goes on
    /// where that one ends. Returns at once.
    ///
    /// Events flow while the session is active and `configured` holds the
    /// [`started_at`](jackfield::Status::started_at) of its line; when its sender is gone, the session
    /// is over. A plugin that serves gRPC, or consumes no events, gets none.
    pub(crate) fn follow(
        &self,
        record: &Record,
        session: Session,
        configured: watch::Receiver<Option<SystemTime>>,
    ) {
        let inner = &*self.inner;
        let manifest = session.manifest();
        let names: Arc<[String]> = manifest.events_consumed.as_slice().into();
        let follows = manifest.transport == Transport::WebSocket && !names.is_empty();
        let mut followed = inner.followed.lock();
        let before = followed.remove(&record.id);
        if let Some(before) = &before {
            before.stop.cancel();
        }
        if !follows || inner.gone.is_cancelled() {
            return;
        }
        inner.common.feed.add_names(&names);
        let progress = Arc::new(Progress::default());
        progress
            .position
            .store(record.event_cursor, Ordering::SeqCst);
        let stop = inner.gone.child_token();
        let follower = Follower::new(
            session,
            Arc::clone(&names),
            configured,
            Arc::clone(&inner.common),
            Arc::clone(&progress),
            stop.clone(),
        );
        let task = follower.run(async move { before?.ended().await });
        let task = inner.tracker.spawn(inner.followers.track_future(task));
        let entry = Entry {
            names,
            progress,
            stop,
            task,
        };
        followed.insert(record.id, entry);
    }

    /// It gets nothing any more. Returns when its task has ended and its cursor is written; an event
    /// that is out has a second to be acknowledged. When this is dropped half-way, both happen all the
    /// same.
    pub(crate) async fn unfollow(&self, id: InstallationId) {
        let Some(entry) = self.inner.followed.lock().remove(&id) else {
            return;
        };
        entry.stop.cancel();
        let common = &self.inner.common;
        let Some(position) = entry.ended().await else {
            return;
        };
        // The writer would do it within moments; whoever reads the record next wants it now.
        if let Err(error) = common.store.advance(&[(id, position)]).await {
            tracing::warn!(%id, %error, "a cursor is not written; tried again");
            common.cursors.note(id, position);
        }
    }

    /// Nobody gets anything any more; an event that is out has a second to be acknowledged. For a
    /// server that is about to stop its plugins: what is acknowledged before that is not delivered
    /// again by the next one.
    pub(crate) async fn drain(&self) {
        let entries: Vec<_> = self.inner.followed.lock().drain().collect();
        for (_, entry) in &entries {
            entry.stop.cancel();
        }
        for (_, entry) in entries {
            entry.ended().await;
        }
    }

    /// Something was published, or is to be replayed: look again.
    pub(crate) fn wake(&self) {
        self.inner.common.feed.ring_bell();
    }

    /// How far an installation is. Where the database does not answer, nothing waits.
    pub(crate) async fn lag(&self, id: InstallationId) -> Lag {
        let store = &self.inner.common.store;
        if let Some(found) = self.inner.followed.get(id) {
            return found.lag(&self.inner.common).await;
        }
        let Ok(Some(record)) = store.record(id).await else {
            return Lag::default();
        };
        if record.manifest.transport != Transport::WebSocket {
            return Lag::default();
        }
        let names = &record.manifest.events_consumed;
        let waiting = store.count_events(record.event_cursor, i64::MAX, names);
        Lag {
            waiting: count(waiting.await.unwrap_or_default()),
            attempts: 0,
        }
    }

    /// Forgets old events now, as it happens every ten minutes.
    #[cfg(test)]
    pub(super) async fn sweep(&self) -> Result<(), crate::store::StoreError> {
        retention::sweep(&self.inner.common, &self.inner.followed).await
    }
}

/// One follower, as it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) names: Arc<[String]>,
    pub(super) progress: Arc<Progress>,
}

impl Found {
    pub(super) async fn lag(&self, common: &Common) -> Lag {
        // Before the position: what is acknowledged meanwhile is not counted twice.
        let newest = common.store.newest_event().await.unwrap_or_default();
        let position = self.progress.position.load(Ordering::SeqCst);
        let waiting = match common.feed.count(position, newest, &self.names) {
            Some(waiting) => waiting.min(COUNTED),
            None => {
                let waiting = common.store.count_events(position, i64::MAX, &self.names);
                count(waiting.await.unwrap_or_default())
            }
        };
        Lag {
            waiting,
            attempts: self.progress.attempts.load(Ordering::SeqCst),
        }
    }
}

impl Followed {
    pub(super) fn get(&self, id: InstallationId) -> Option<Found> {
        self.lock().get(&id).map(Entry::found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstallationId, Entry>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn found(&self) -> Found {
        Found {
            names: Arc::clone(&self.names),
            progress: Arc::clone(&self.progress),
        }
    }

    /// Where it was when it ended; `None` when it never began, because a server that stops took its
    /// task away.
    async fn ended(self) -> Option<i64> {
        let ended = self.task.await;
        ended
            .is_ok()
            .then(|| self.progress.position.load(Ordering::SeqCst))
    }
}

fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default().min(COUNTED)
}
