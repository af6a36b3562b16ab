//! What the registry keeps in memory of an installation: whose turn it is, and what is loaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jackfield::InstallationId;
use jackfield::package::Digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::store::Version;

/// One installation.
///
/// Whoever changes its state does so in its turn. Waiting for a plugin may take minutes: it is done
/// between turns, or in one that ends when somebody wants the plugin stopped.
#[derive(Debug)]
pub(super) struct Slot {
    state: Arc<Semaphore>,
    settings: Arc<Semaphore>,
    /// Counts changes that make it pointless to wait for what was before.
    changes: watch::Sender<u64>,
    /// Counts those who want it stopped or removed, from when they ask.
    halts: watch::Sender<u64>,
    loaded: Mutex<Loaded>,
}

/// What is loaded of it.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Why nothing is.
    pub(super) problem: Option<String>,
    /// The version that counts, where it was looked up already.
    pub(super) package: Option<Version>,
    /// Ends what accompanies the session.
    pub(super) companion: CancellationToken,
    /// Which line of the session has its configuration.
    pub(super) configured: Option<watch::Receiver<Option<SystemTime>>>,
    /// What it was told last.
    pub(super) told: Option<Told>,
}

/// A configuration that was delivered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: SystemTime,
    pub(super) config: Digest,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Mutex<HashMap<InstallationId, Arc<Slot>>>,
}

impl Slots {
    /// The slot of an installation, made when it is not there.
    pub(super) fn get(&self, id: InstallationId) -> Arc<Slot> {
        Arc::clone(self.all().entry(id).or_default())
    }

    /// The installation is gone. Who waits for a turn gets it, and finds that out.
    pub(super) fn forget(&self, id: InstallationId) {
        self.all().remove(&id);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<InstallationId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Waits for the turn to change its state.
    pub(super) async fn turn(&self) -> Turn {
        take(&self.state).await
    }

    /// Waits for the turn to configure it.
    pub(super) async fn settings(&self) -> Turn {
        take(&self.settings).await
    }

    /// Something is done to it now that leads elsewhere than what was asked for before.
    pub(super) fn change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Somebody wants it stopped: who holds the turn and waits for the plugin ends its wait.
    pub(super) fn halt(&self) {
        self.halts.send_modify(|count| *count += 1);
    }

    /// Changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Stops that are asked for from now on.
    pub(super) fn halts(&self) -> watch::Receiver<u64> {
        self.halts.subscribe()
    }

    pub(super) fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            state: Arc::new(Semaphore::new(1)),
            settings: Arc::new(Semaphore::new(1)),
            changes: watch::Sender::new(0),
            halts: watch::Sender::new(0),
            loaded: Mutex::default(),
        }
    }
}

async fn take(semaphore: &Arc<Semaphore>) -> Turn {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    Turn {
        _permit: permit.expect("it is never closed"),
    }
}

/// Who puts archives on the shelf, and who takes away what nobody uses: an archive must not go
/// between the moment when it is found there and the moment when a version says that it uses it.
#[derive(Debug)]
pub(super) struct Shelf {
    permits: Arc<Semaphore>,
}

/// Those who put archives on the shelf at once.
const HANDS: u32 = 64;

impl Default for Shelf {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(HANDS as usize)),
        }
    }
}

impl Shelf {
    /// While archives come, beside others.
    pub(super) async fn fill(&self) -> Turn {
        take(&self.permits).await
    }

    /// While archives go, alone.
    pub(super) async fn clear(&self) -> Turn {
        let permits = Arc::clone(&self.permits).acquire_many_owned(HANDS).await;
        Turn {
            _permit: permits.expect("it is never closed"),
        }
    }
}
