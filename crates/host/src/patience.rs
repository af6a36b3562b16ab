//! Until when an answer is waited for, for many sessions with one timer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::later;

/// Looks at each of those that wait when their time is over. All have the same time, and whoever
/// is in the queue stays there until it is looked at: what was answered meanwhile costs nothing.
#[derive(Clone)]
pub(crate) struct Patience(Arc<Shared>);

/// Somebody who waits for an answer.
pub(crate) trait Waits: Send + Sync {
    /// Gives up what has waited until now. When to look again; `None` for not before it is
    /// [watched](Patience::watch) again.
    fn look(self: Arc<Self>, now: Instant) -> Option<Instant>;
}

struct Shared {
    after: Duration,
    tracker: TaskTracker,
    gone: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: BTreeMap<(Instant, u64), Weak<dyn Waits>>,
    serial: u64,
    runs: bool,
}

/// Longer than this is for ever.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Patience {
    /// The task runs on the tracker, while somebody waits and until `gone`.
    pub(crate) fn new(after: Duration, tracker: TaskTracker, gone: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            after,
            tracker,
            gone,
            state: Mutex::default(),
        }))
    }

    /// How long is waited.
    pub(crate) fn after(&self) -> Duration {
        self.0.after
    }

    /// Until when is waited from now on.
    pub(crate) fn until(&self) -> Instant {
        later(self.0.after)
    }

    /// Has somebody looked at then, which is no sooner than for all that are watched already.
    pub(crate) fn watch(&self, until: Instant, who: Weak<dyn Waits>, runtime: &Handle) {
        if self.0.after >= FOR_EVER {
            return;
        }
        let mut state = self.0.lock();
        state.insert(until, who);
        let starts = !std::mem::replace(&mut state.runs, true);
        drop(state);
        if starts {
            // Not under the lock: a runtime that is shutting down drops the task here and now, and
            // that takes the lock.
            let shared = Arc::clone(&self.0);
            let over = false;
            let look = look_at_all(Running { shared, over });
            let look = self.0.gone.clone().run_until_cancelled_owned(look);
            self.0.tracker.spawn_on(look, runtime);
        }
    }
}

async fn look_at_all(mut running: Running) {
    let shared = Arc::clone(&running.shared);
    while let Some(due) = shared.due() {
        sleep_until(due).await;
        let now = Instant::now();
        // Not under the lock: those that are looked at may ask to be watched.
        for who in shared.take(now) {
            if let Some(waits) = who.upgrade()
                && let Some(again) = waits.look(now)
            {
                shared.lock().insert(again, who);
            }
        }
    }
    running.over = true;
}

/// The task's hold on what it looks at: when it goes, however it goes, whoever comes next starts
/// another.
struct Running {
    shared: Arc<Shared>,
    /// Nobody waited any more. Another task may run already.
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.shared.lock().runs = false;
        }
    }
}

impl Shared {
    /// When the first is due. Decided under the lock: whoever comes after the last starts anew.
    fn due(&self) -> Option<Instant> {
        let mut state = self.lock();
        let due = state.queue.first_key_value().map(|((due, _), _)| *due);
        state.runs = due.is_some();
        due
    }

    fn take(&self, now: Instant) -> Vec<Weak<dyn Waits>> {
        let mut state = self.lock();
        let later = state.queue.split_off(&(now, u64::MAX));
        std::mem::replace(&mut state.queue, later)
            .into_values()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, until: Instant, who: Weak<dyn Waits>) {
        self.serial += 1;
        self.queue.insert((until, self.serial), who);
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patience").field(&self.0.after).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Says when it was looked at, and when to look again.
    struct Waiter {
        looked: Mutex<Vec<u64>>,
        again: Mutex<Vec<u64>>,
        begun: Instant,
    }

    fn waiter(begun: Instant, again: &[u64]) -> Arc<Waiter> {
        Arc::new(Waiter {
            looked: Mutex::default(),
            again: Mutex::new(again.to_vec()),
            begun,
        })
    }

    impl Waits for Waiter {
        fn look(self: Arc<Self>, now: Instant) -> Option<Instant> {
            let seconds = (now - self.begun).as_secs();
            self.looked.lock().unwrap().push(seconds);
            let again = self.again.lock().unwrap().pop()?;
            Some(self.begun + Duration::from_secs(again))
        }
    }

    fn patience(after: Duration) -> (Patience, TaskTracker, CancellationToken) {
        let (tracker, gone) = (TaskTracker::new(), CancellationToken::new());
        let patience = Patience::new(after, tracker.clone(), gone.clone());
        (patience, tracker, gone)
    }

    fn weak(waiter: &Arc<Waiter>) -> Weak<dyn Waits> {
        let weak: Weak<Waiter> = Arc::downgrade(waiter);
        weak
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_looked_at_when_its_time_is_over_by_one_task() {
        let (patience, tracker, _gone) = patience(Duration::from_secs(30));
        let begun = Instant::now();
        let first = waiter(begun, &[]);
        let busy = waiter(begun, &[90, 55]);
        let left = waiter(begun, &[]);
        for waiter in [&first, &busy, &left] {
            patience.watch(patience.until(), weak(waiter), &Handle::current());
        }
        drop(left);
        sleep(Duration::from_secs(10)).await;
        let second = waiter(begun, &[]);
        patience.watch(patience.until(), weak(&second), &Handle::current());
        assert_eq!(tracker.len(), 1);
        sleep(Duration::from_secs(100)).await;
        assert_eq!(*first.looked.lock().unwrap(), [30]);
        assert_eq!(*second.looked.lock().unwrap(), [40]);
        assert_eq!(*busy.looked.lock().unwrap(), [30, 55, 90]);
        assert_eq!(tracker.len(), 0, "nobody waits, and nothing runs");
        patience.watch(patience.until(), weak(&first), &Handle::current());
        sleep(Duration::from_secs(100)).await;
        assert_eq!(*first.looked.lock().unwrap(), [30, 140]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_host_and_does_not_run_for_ever() {
        let (forever, tracker, _gone) = patience(Duration::MAX);
        let waiter = waiter(Instant::now(), &[]);
        forever.watch(forever.until(), weak(&waiter), &Handle::current());
        assert_eq!(tracker.len(), 0);
        let (patience, tracker, gone) = patience(Duration::from_secs(30));
        patience.watch(patience.until(), weak(&waiter), &Handle::current());
        assert_eq!(tracker.len(), 1);
        gone.cancel();
        tracker.close();
        tracker.wait().await;
        assert!(waiter.looked.lock().unwrap().is_empty());
    }

    /// Asks for patience when it is dropped.
    struct Asks(Patience, Arc<Waiter>, Handle);

    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.watch(self.0.until(), weak(&self.1), &self.2);
        }
    }

    /// A task that is spawned on a runtime that is shutting down is dropped right away. Here that
    /// left the belief that there is a task, and nobody started another.
    #[test]
    fn a_runtime_that_ends_meanwhile_takes_nothing_but_its_task_along() {
        let (patience, tracker, _gone) = patience(Duration::from_secs(30));
        let ending = runtime();
        let waiter = waiter(Instant::now(), &[]);
        let asks = Asks(
            patience.clone(),
            Arc::clone(&waiter),
            ending.handle().clone(),
        );
        ending.spawn(async move {
            let _asks = asks;
            std::future::pending::<()>().await;
        });
        drop(ending);
        assert!(!patience.0.lock().runs);
        let next = runtime();
        patience.watch(patience.until(), weak(&waiter), next.handle());
        assert_eq!(tracker.len(), 1);
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }
}
