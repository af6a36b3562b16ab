//! Cursors on their way to the database, many in one transaction.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jackfield::InstallationId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How long the first one waits for others, and how many do not wait any longer.
const GATHER: (Duration, usize) = (Duration::from_millis(20), 500);
/// How long until the next try, when the database does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries when the server stops.
const LAST_TRIES: u32 = 3;

/// The newest cursor of each installation that is not written yet: one entry each, which is its bound.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    unwritten: Mutex<HashMap<InstallationId, i64>>,
    some: Notify,
    many: Notify,
}

impl Cursors {
    /// It is so far; written within moments.
    pub(super) fn note(&self, id: InstallationId, seq: i64) {
        let mut unwritten = self.lock();
        let known = unwritten.entry(id).or_insert(seq);
        *known = seq.max(*known);
        let count = unwritten.len();
        drop(unwritten);
        self.some.notify_one();
        if count >= GATHER.1 {
            self.many.notify_one();
        }
    }

    /// Writes until the server stops, and then what is left when `followers` is ready.
    pub(super) async fn run(
        &self,
        store: &Store,
        stop: &CancellationToken,
        followers: impl Future<Output = ()>,
    ) {
        while stop
            .run_until_cancelled(self.some.notified())
            .await
            .is_some()
        {
            let (wait, _) = GATHER;
            let gathered = tokio::time::timeout(wait, self.many.notified());
            // Whichever comes first; the end of the server is a third.
            let _ = stop.run_until_cancelled(gathered).await;
            if !self.write(store).await {
                stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            }
        }
        followers.await;
        for left in (0..LAST_TRIES).rev() {
            if self.write(store).await {
                return;
            }
            if left > 0 {
                tokio::time::sleep(AGAIN / 10).await;
            }
        }
        let installations = self.lock().len();
        tracing::error!(
            installations,
            "the database does not take how far plugins are with their events: they get some of them again"
        );
    }

    /// Writes what there is. `false`: the database does not take it, and it is kept.
    async fn write(&self, store: &Store) -> bool {
        let taken = std::mem::take(&mut *self.lock());
        if taken.is_empty() {
            return true;
        }
        let cursors: Vec<_> = taken.into_iter().collect();
        let Err(error) = store.advance(&cursors).await else {
            return true;
        };
        tracing::warn!(%error, cursors = cursors.len(), "cursors are not written; tried again");
        for (id, seq) in cursors {
            self.note(id, seq);
        }
        false
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstallationId, i64>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
