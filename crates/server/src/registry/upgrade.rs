//! Other versions.

use std::time::SystemTime;

use jackfield::{InstallationId, Mode, RuntimeProvider};

use super::arrival::Arrival;
use super::registry::chain;
use super::{
    Acceptance, InstallError, Installed, NotFound, PackageError, Progress, Registry, UpgradeError,
    Upload,
};
use crate::store::{Record, StoreError, Version};

impl Registry {
    /// Another package for an installation. When it is wanted: the old one is stopped, the new one is
    /// started, and counts from when it has connected and answered a ping; if it does not, the old
    /// one is started again and nothing has changed.
    pub(crate) async fn upgrade(
        &self,
        id: InstallationId,
        upload: Upload,
        acceptance: Acceptance,
        progress: Progress,
    ) -> Result<Installed, UpgradeError> {
        let registry = self.clone();
        self.finish(async move {
            let source = upload.source();
            let taken = registry.take_version(id, upload, &acceptance, &progress);
            let done = taken.await;
            registry
                .note_version(&acceptance.by, "upgrade", id, &done, &source)
                .await;
            done
        })
        .await
    }

    /// To a version that is kept, or to the one that counted before this one; as
    /// [`upgrade`](Self::upgrade). What was rolled back from is not gone back to unless it is named.
    pub(crate) async fn rollback(
        &self,
        id: InstallationId,
        number: Option<i64>,
        by: &str,
        progress: Progress,
    ) -> Result<Installed, UpgradeError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let done = registry.return_to(id, number, &progress).await;
            registry.note_version(&by, "rollback", id, &done, "").await;
            done
        })
        .await
    }

    async fn take_version(
        &self,
        id: InstallationId,
        upload: Upload,
        acceptance: &Acceptance,
        progress: &Progress,
    ) -> Result<Installed, UpgradeError> {
        let parts = self.parts();
        let record = self.packaged(id).await?;
        let slot = self.slot(id);
        let halts = slot.halts();
        progress.say("receiving the package");
        let arrival = self.receive(upload, acceptance.checksum.as_deref()).await?;
        let Arrival {
            file,
            digest,
            size,
            manifest,
            source,
        } = arrival;
        if manifest.id != record.manifest.id {
            return Err(UpgradeError::OtherPlugin {
                wanted: record.manifest.id,
                found: manifest.id,
            });
        }
        progress.say("waiting for its turn");
        let _turn = slot.turn().await;
        slot.change();
        let record = self.packaged(id).await?;
        let version = {
            let _shelf = self.inner.shelf.fill().await;
            let put = parts.packages.put(digest, file).await;
            put.map_err(InstallError::from)?;
            let version = Version {
                number: 0,
                manifest,
                digest,
                size,
                source,
                added_at: SystemTime::now(),
                added_by: acceptance.by.clone(),
                place: None,
            };
            let added = parts.store.add_version(id, version).await?;
            added.ok_or(NotFound(id))?
        };
        if let Err(error) = self.switch(&slot, &record, &version, halts, progress).await {
            self.forget(id, version.number).await;
            return Err(error);
        }
        if acceptance.grant {
            let asked = version.manifest.access.map(|access| access.permissions);
            parts
                .store
                .set_granted(id, &asked.unwrap_or_default())
                .await?;
        }
        self.prune(id).await;
        Ok(self.get(id).await??)
    }

    async fn return_to(
        &self,
        id: InstallationId,
        number: Option<i64>,
        progress: &Progress,
    ) -> Result<Installed, UpgradeError> {
        self.packaged(id).await?;
        let slot = self.slot(id);
        let halts = slot.halts();
        progress.say("waiting for its turn");
        let _turn = slot.turn().await;
        slot.change();
        let record = self.packaged(id).await?;
        let versions = self.parts().store.versions(id).await?;
        let version = match number {
            Some(number) => versions
                .into_iter()
                .find(|version| version.number == number)
                .ok_or(UpgradeError::NoVersion(number))?,
            None => versions
                .into_iter()
                .filter(|version| Some(version.number) != record.version)
                .filter(|version| version.place > Some(0))
                .max_by_key(|version| version.place)
                .ok_or(UpgradeError::NothingEarlier)?,
        };
        if Some(version.number) != record.version {
            self.switch(&slot, &record, &version, halts, progress)
                .await?;
        }
        Ok(self.get(id).await??)
    }

    /// The record of a plugin that has packages.
    async fn packaged(&self, id: InstallationId) -> Result<Record, UpgradeError> {
        let record = self.record::<UpgradeError>(id).await?;
        if record.mode == Mode::External {
            return Err(UpgradeError::External);
        }
        if self.parts().host.runtime_provider() == RuntimeProvider::None {
            return Err(InstallError::Disabled.into());
        }
        Ok(record)
    }

    /// Forgets a version that never counted.
    async fn forget(&self, id: InstallationId, number: i64) {
        let _shelf = self.inner.shelf.clear().await;
        match self.parts().store.forget_version(id, number).await {
            Ok(unused) => self.discard(unused).await,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%id, number, error, "a version that never counted stays");
            }
        }
    }

    /// Forgets the oldest versions.
    async fn prune(&self, id: InstallationId) {
        let keep = self.parts().config.keep_versions.max(1);
        let _shelf = self.inner.shelf.clear().await;
        match self.parts().store.prune_versions(id, keep).await {
            Ok(unused) => self.discard(unused).await,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%id, error, "old versions stay");
            }
        }
    }

    async fn note_version(
        &self,
        by: &str,
        action: &str,
        id: InstallationId,
        done: &Result<Installed, UpgradeError>,
        source: &str,
    ) {
        let detail = done.as_ref().ok().and_then(|done| {
            let number = done.record.version?;
            let version = &done.record.manifest.version;
            Some(format!("version {number} ({version}) {source}"))
        });
        let detail = detail.unwrap_or_default();
        let target = id.to_string();
        self.note(by, action, &target, done.as_ref(), detail.trim_end())
            .await;
    }

    /// All versions that are kept, oldest first.
    pub(crate) async fn versions(
        &self,
        id: InstallationId,
    ) -> Result<Result<Vec<Version>, NotFound>, StoreError> {
        match self.parts().store.record(id).await? {
            Some(_) => Ok(Ok(self.parts().store.versions(id).await?)),
            None => Ok(Err(NotFound(id))),
        }
    }

    /// The archive of a version, or of the one that counts, as a file; and that version.
    pub(crate) async fn package(
        &self,
        id: InstallationId,
        number: Option<i64>,
    ) -> Result<(std::path::PathBuf, Version), PackageError> {
        let record = self.record::<PackageError>(id).await?;
        let number = match (record.version, number) {
            (None, _) => return Err(PackageError::External),
            (Some(_), Some(number)) | (Some(number), None) => number,
        };
        let versions = self.parts().store.versions(id).await?;
        let mut versions = versions.into_iter();
        let version = versions.find(|version| version.number == number);
        let version = version.ok_or(PackageError::NoVersion(number))?;
        let file = self.parts().packages.file(version.digest).await?;
        Ok((file, version))
    }
}
