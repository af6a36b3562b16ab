//! Versions of a package.

use jackfield::InstallationId;
use jackfield::package::Digest;

use super::{Store, StoreError, Version};

impl Store {
    /// All that are kept, oldest first.
    pub(crate) async fn versions(&self, _id: InstallationId) -> Result<Vec<Version>, StoreError> {
        todo!()
    }

    /// Writes a new version, which does not count yet; its number is the next one, whatever stands in
    /// `version.number`. `None`: there is no such installation.
    pub(crate) async fn add_version(
        &self,
        _id: InstallationId,
        _version: Version,
    ) -> Result<Option<Version>, StoreError> {
        todo!()
    }

    /// Makes a version the one that counts: pointer and manifest in one step. `false`: there is no
    /// such installation or version.
    pub(crate) async fn set_current(
        &self,
        _id: InstallationId,
        _number: i64,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Forgets one version that does not count. Says which archive nobody uses any more.
    pub(crate) async fn forget_version(
        &self,
        _id: InstallationId,
        _number: i64,
    ) -> Result<Option<Digest>, StoreError> {
        todo!()
    }

    /// Forgets the oldest versions but `keep`; never the one that counts. Says which archives nobody
    /// uses any more.
    pub(crate) async fn prune_versions(
        &self,
        _id: InstallationId,
        _keep: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        todo!()
    }

    /// Every archive that some version uses: what else lies in the package store is left over from a
    /// server that was killed.
    pub(crate) async fn digests_in_use(
        &self,
    ) -> Result<std::collections::HashSet<Digest>, StoreError> {
        todo!()
    }
}
