//! All deliveries.

use std::sync::Arc;

use jackfield::{InstallationId, Session};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Events;
use crate::store::{Record, Store};

/// Who gets events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    _inner: Arc<()>,
}

/// How far an installation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Events that are published and not done with, of those it consumes (counted up to 1000).
    pub(crate) waiting: u64,
    /// The attempts so far at the event that is next.
    pub(crate) attempts: u32,
}

impl Deliveries {
    /// Starts what all share: the writer of cursors, and the task that forgets old events.
    pub(crate) fn new(
        _store: Store,
        _config: Events,
        _tracker: TaskTracker,
        _gone: CancellationToken,
    ) -> Self {
        todo!()
    }

    /// From now on this session gets what its record has not had yet. A second call for the same
    /// installation takes the place of the first (another session after an upgrade).
    pub(crate) fn follow(&self, _record: &Record, _session: Session) {
        todo!()
    }

    /// It gets nothing any more. Returns when its task has ended and its cursor is written.
    pub(crate) async fn unfollow(&self, _id: InstallationId) {
        todo!()
    }

    /// Something was published, or is to be replayed: look again.
    pub(crate) fn wake(&self) {
        todo!()
    }

    /// How far an installation is.
    pub(crate) async fn lag(&self, _id: InstallationId) -> Lag {
        todo!()
    }
}
