//! The registry: what its operations share.

use std::sync::Arc;

use jackfield::rpc::trace;
use jackfield::{Host, InstallationId, Mode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::slot::{Shelf, Slot, Slots};
use super::{Installed, Jobs, NotFound};
use crate::config::Config;
use crate::events::Deliveries;
use crate::packages::Packages;
use crate::secret::Key;
use crate::store::{Record, Store, StoreError, Version};

/// All installations. Cheap to clone.
///
/// Operations on one installation wait for each other, operations on different ones do not. Each is
/// safe to drop half-way: what it has begun is finished by a task of the registry's.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) slots: Slots,
    pub(super) shelf: Shelf,
}

/// What a registry is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    /// Over the data folder of `config`.
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) packages: Packages,
    pub(crate) key: Key,
    pub(crate) deliveries: Deliveries,
    pub(crate) jobs: Jobs,
    /// Cancelled when the server begins to drain: nobody waits for a plugin to come up any more.
    pub(crate) draining: CancellationToken,
    /// Where operations run. They end when the host has shut down.
    pub(crate) tracker: TaskTracker,
    /// Ends what accompanies sessions.
    pub(crate) gone: CancellationToken,
}

impl Registry {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                slots: Slots::default(),
                shelf: Shelf::default(),
            }),
        }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// One installation. (Outer error: the database; inner: there is none.)
    pub(crate) async fn get(
        &self,
        id: InstallationId,
    ) -> Result<Result<Installed, NotFound>, StoreError> {
        match self.parts().store.record(id).await? {
            Some(record) => Ok(Ok(self.installed(record).await?)),
            None => Ok(Err(NotFound(id))),
        }
    }

    /// All of them, oldest first; and those that cannot be read, as `(id, why)`.
    pub(crate) async fn list(&self) -> Result<(Vec<Installed>, Vec<(String, String)>), StoreError> {
        let records = self.parts().store.records().await?;
        let mut installed = Vec::with_capacity(records.records.len());
        for record in records.records {
            installed.push(self.installed(record).await?);
        }
        let unreadable = records.unreadable.into_iter();
        Ok((installed, unreadable.map(|row| (row.id, row.why)).collect()))
    }

    /// A record with what is.
    pub(super) async fn installed(&self, record: Record) -> Result<Installed, StoreError> {
        let session = self.parts().host.session(record.id);
        let slot = self.slot(record.id);
        let package = match record.mode {
            Mode::External => None,
            Mode::Supervised => self.version(&slot, &record).await?,
        };
        let problem = slot.loaded().problem.clone();
        Ok(Installed {
            status: session
                .as_ref()
                .map(|session| session.status().borrow().clone()),
            problem,
            package,
            session,
            record,
        })
    }

    /// The version that counts; `None` for an external plugin, or where it is gone.
    pub(super) async fn version(
        &self,
        slot: &Slot,
        record: &Record,
    ) -> Result<Option<Version>, StoreError> {
        let Some(number) = record.version else {
            return Ok(None);
        };
        let known = slot.loaded().package.clone();
        if let Some(known) = known.filter(|known| known.number == number) {
            return Ok(Some(known));
        }
        let mut versions = self.parts().store.versions(record.id).await?.into_iter();
        let found = versions.find(|version| version.number == number);
        slot.loaded().package.clone_from(&found);
        Ok(found)
    }

    /// The record of an installation that has to be there.
    pub(super) async fn record<E>(&self, id: InstallationId) -> Result<Record, E>
    where
        E: From<NotFound> + From<StoreError>,
    {
        let record = self.parts().store.record(id).await?;
        Ok(record.ok_or(NotFound(id))?)
    }

    pub(super) fn slot(&self, id: InstallationId) -> Arc<Slot> {
        self.inner.slots.get(id)
    }

    /// Runs an operation to its end, also when nobody waits for it any more.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> T {
        // What it asks of plugins belongs to the request that began it.
        let operation = trace::within(trace::current(), operation);
        let operation = operation.instrument(tracing::Span::current());
        match self.parts().tracker.spawn(operation).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only when the runtime goes, and whoever waits with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Writes into the audit log what came of an operation.
    pub(super) async fn note<T, E: std::error::Error>(
        &self,
        by: &str,
        action: &str,
        target: &str,
        outcome: Result<T, &E>,
        detail: &str,
    ) {
        let why = outcome.err().map(|error| chain(error));
        let entry = why.as_deref().map_or(Ok(detail), Err);
        let written = self.parts().store.audit(by, action, target, entry).await;
        if let Err(error) = written {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                by,
                action,
                target,
                error,
                "an entry of the audit log is lost"
            );
        }
    }
}

/// An error with everything that led to it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some repeat their source.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
