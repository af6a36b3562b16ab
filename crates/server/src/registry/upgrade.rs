//! Other versions.

use jackfield::{InstallationId, Manifest};
use serde_json::Value;

use super::{
    Acceptance, Installed, ManifestError, NotFound, PackageError, Progress, Registry, UpgradeError,
    Upload,
};
use crate::store::{StoreError, Version};

impl Registry {
    /// Another package for an installation. When it is wanted: the old one is stopped, the new one is
    /// started, and counts from when it has connected and answered a ping; if it does not, the old
    /// one is started again and nothing has changed.
    pub(crate) async fn upgrade(
        &self,
        _id: InstallationId,
        _upload: Upload,
        _acceptance: Acceptance,
        _progress: Progress,
    ) -> Result<Installed, UpgradeError> {
        todo!()
    }

    /// To a version that is kept, or to the one before this one; as [`upgrade`](Self::upgrade).
    pub(crate) async fn rollback(
        &self,
        _id: InstallationId,
        _number: Option<i64>,
        _progress: Progress,
    ) -> Result<Installed, UpgradeError> {
        todo!()
    }

    /// The manifest of an external plugin, which has to dial in anew: its line is closed with 1000...
    pub(crate) async fn set_manifest(
        &self,
        _id: InstallationId,
        _manifest: &Value,
    ) -> Result<Installed, ManifestError> {
        todo!()
    }

    /// All versions that are kept, oldest first.
    pub(crate) async fn versions(
        &self,
        _id: InstallationId,
    ) -> Result<Result<Vec<Version>, NotFound>, StoreError> {
        todo!()
    }

    /// The archive of a version, or of the one that counts, as a file; and its manifest.
    pub(crate) async fn package(
        &self,
        _id: InstallationId,
        _number: Option<i64>,
    ) -> Result<(std::path::PathBuf, Manifest), PackageError> {
        todo!()
    }
}
