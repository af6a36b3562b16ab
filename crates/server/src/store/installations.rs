//! Rows of installations.

use jackfield::{ActiveState, InstallationId, Manifest, TokenHash};

use super::{NewRecord, Record, Records, Store, StoreError};

impl Store {
    /// Writes a new installation, with version 1 when it is a package; returns it as it stands.
    pub(crate) async fn insert(&self, _new: NewRecord) -> Result<Record, StoreError> {
        todo!()
    }

    /// One installation.
    pub(crate) async fn record(&self, _id: InstallationId) -> Result<Option<Record>, StoreError> {
        todo!()
    }

    /// All of them, oldest first.
    pub(crate) async fn records(&self) -> Result<Records, StoreError> {
        todo!()
    }

    /// What is wanted from now on. `false`: there is no such installation.
    pub(crate) async fn set_wanted(
        &self,
        _id: InstallationId,
        _wanted: ActiveState,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// The manifest of an external plugin. `false`: there is no such installation.
    pub(crate) async fn set_manifest(
        &self,
        _id: InstallationId,
        _manifest: &Manifest,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// The token of an external plugin. `false`: there is no such installation.
    pub(crate) async fn set_token(
        &self,
        _id: InstallationId,
        _token: TokenHash,
        _prefix: &str,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// What an administrator granted. `false`: there is no such installation.
    pub(crate) async fn set_granted(
        &self,
        _id: InstallationId,
        _granted: &[String],
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Makes the next access token the one that counts; returns its number. `None`: there is no such
    /// installation.
    pub(crate) async fn next_access_generation(
        &self,
        _id: InstallationId,
    ) -> Result<Option<i64>, StoreError> {
        todo!()
    }

    /// Takes an installation away, with its versions and parked events. Says which archives nobody
    /// uses any more. `None`: there is no such installation.
    pub(crate) async fn remove(
        &self,
        _id: InstallationId,
    ) -> Result<Option<Vec<jackfield::package::Digest>>, StoreError> {
        todo!()
    }
}
