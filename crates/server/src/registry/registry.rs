//! The registry: what its operations share.

use std::sync::Arc;

use jackfield::{Host, InstallationId};
use tokio_util::task::TaskTracker;

use super::{Installed, Jobs, NotFound};
use crate::config::Config;
use crate::events::Deliveries;
use crate::packages::Packages;
use crate::secret::Key;
use crate::store::{Store, StoreError};

/// All installations. Cheap to clone.
///
/// Operations on one installation wait for each other, operations on different ones do not. Each is
/// safe to drop half-way: what it has begun is finished by a task of the registry's.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(super) inner: Arc<Parts>,
}

/// What a registry is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) packages: Packages,
    pub(crate) key: Key,
    pub(crate) deliveries: Deliveries,
    pub(crate) jobs: Jobs,
    pub(crate) tracker: TaskTracker,
}

impl Registry {
    pub(crate) fn new(_parts: Parts) -> Self {
        todo!()
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.inner
    }

    /// Loads every installation, and activates those that are wanted, so many at once; returns when
    /// all are loaded, while they go on starting. Removes what a killed server left: archives that
    /// nobody uses, folders of installations that are gone.
    pub(crate) async fn resume(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// One installation. (Outer error: the database; inner: there is none.)
    pub(crate) async fn get(
        &self,
        _id: InstallationId,
    ) -> Result<Result<Installed, NotFound>, StoreError> {
        todo!()
    }

    /// All of them, oldest first; and those that cannot be read, as `(id, why)`.
    pub(crate) async fn list(&self) -> Result<(Vec<Installed>, Vec<(String, String)>), StoreError> {
        todo!()
    }
}
