//! Plugins come.

use jackfield::wire::manifest::Transport;
use jackfield::{ActiveState, InstallationId, Manifest, RuntimeProvider, Token};
use serde_json::Value;

use super::arrival::Arrival;
use super::registry::chain;
use super::{InstallError, Installed, Registry};
use crate::store::{NewRecord, Origin, Record};

/// How an archive comes.
pub(crate) enum Upload {
    /// A file that was written while it was received: see [`Packages::incoming`](crate::packages::Packages::incoming).
    File(tempfile::NamedTempFile),
    /// From this address.
    Url(String),
}

/// What is taken, and from whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acceptance {
    /// Who installs it.
    pub(crate) by: String,
    /// SHA-256 in hex that the archive must have.
    pub(crate) checksum: Option<String>,
    /// Whether what the manifest asks for is granted at once. Only an administrator may say so.
    pub(crate) grant: bool,
}

/// Characters of an external plugin's token that are shown, to tell tokens apart.
const PREFIX: usize = 10;

impl Registry {
    /// A supervised plugin, inactive.
    pub(crate) async fn install(
        &self,
        upload: Upload,
        acceptance: Acceptance,
    ) -> Result<Installed, InstallError> {
        let registry = self.clone();
        self.finish(async move {
            let id = InstallationId::new();
            let source = upload.source();
            let done = registry.install_package(id, upload, &acceptance).await;
            let target = id.to_string();
            let detail = done.as_ref().map_or(String::new(), |installed| {
                let manifest = &installed.record.manifest;
                format!("{} {}, {source}", manifest.id, manifest.version)
            });
            let by = &acceptance.by;
            registry
                .note(by, "install", &target, done.as_ref(), &detail)
                .await;
            done
        })
        .await
    }

    /// An external plugin, active: it may dial in with this token, which is shown here and never
    /// again.
    pub(crate) async fn install_external(
        &self,
        manifest: &Value,
        acceptance: Acceptance,
    ) -> Result<(Installed, Token), InstallError> {
        let (registry, manifest) = (self.clone(), manifest.clone());
        self.finish(async move {
            let id = InstallationId::new();
            let done = registry.expect_external(id, &manifest, &acceptance).await;
            let target = id.to_string();
            let by = &acceptance.by;
            registry
                .note(by, "install", &target, done.as_ref(), "external")
                .await;
            done
        })
        .await
    }

    async fn install_package(
        &self,
        id: InstallationId,
        upload: Upload,
        acceptance: &Acceptance,
    ) -> Result<Installed, InstallError> {
        let parts = self.parts();
        if parts.host.runtime_provider() == RuntimeProvider::None {
            return Err(InstallError::Disabled);
        }
        let arrival = self.receive(upload, acceptance.checksum.as_deref()).await?;
        let Arrival {
            file,
            digest,
            size,
            manifest,
            source,
        } = arrival;
        let record = {
            let _shelf = self.inner.shelf.fill().await;
            parts.packages.put(digest, file).await?;
            let origin = Origin::Package {
                digest,
                size,
                source,
            };
            let new = new_record(id, manifest, origin, acceptance);
            parts.store.insert(new).await
        };
        let loaded = match record {
            Ok(record) => self.begin(record).await,
            Err(error) => Err(error.into()),
        };
        if loaded.is_err() {
            self.undo(id).await;
        }
        loaded
    }

    async fn expect_external(
        &self,
        id: InstallationId,
        manifest: &Value,
        acceptance: &Acceptance,
    ) -> Result<(Installed, Token), InstallError> {
        let manifest = Manifest::check_value(manifest).into_result()?;
        if manifest.transport == Transport::Grpc {
            return Err(InstallError::ExternalGrpc);
        }
        let token = Token::external();
        let origin = Origin::External {
            token: token.hash(),
            prefix: prefix(&token),
        };
        let new = new_record(id, manifest, origin, acceptance);
        let record = self.parts().store.insert(new).await?;
        match self.begin(record).await {
            Ok(installed) => Ok((installed, token)),
            Err(error) => {
                self.undo(id).await;
                Err(error)
            }
        }
    }

    /// A session for what was just written.
    async fn begin(&self, record: Record) -> Result<Installed, InstallError> {
        let slot = self.slot(record.id);
        let _turn = slot.turn().await;
        let session = self.load(&slot, &record).await?;
        if record.wanted == ActiveState::Active {
            // One that has ended was removed by somebody who is quicker.
            let _ = session.set_active_state(ActiveState::Active).await;
        }
        Ok(self.installed(record).await?)
    }

    /// Takes away what an installation that failed has left. What cannot be taken away now is
    /// taken away when the server starts.
    async fn undo(&self, id: InstallationId) {
        let parts = self.parts();
        parts.deliveries.unfollow(id).await;
        // A folder that stays is taken away when the server starts.
        let _ = parts.host.uninstall(id).await;
        if let Err(error) = self.clear(id).await {
            let error = chain(&error);
            tracing::warn!(%id, error, "an installation that failed leaves something");
        }
        self.inner.slots.forget(id);
    }
}

/// What is written for it.
fn new_record(
    id: InstallationId,
    manifest: Manifest,
    origin: Origin,
    acceptance: &Acceptance,
) -> NewRecord {
    let wanted = match origin {
        Origin::External { .. } => ActiveState::Active,
        Origin::Package { .. } => ActiveState::Inactive,
    };
    let asked = manifest
        .access
        .iter()
        .flat_map(|access| &access.permissions);
    let granted = asked.filter(|_| acceptance.grant).cloned().collect();
    NewRecord {
        id,
        manifest,
        origin,
        wanted,
        granted,
        added_by: acceptance.by.clone(),
    }
}

/// What may be shown of a token.
pub(super) fn prefix(token: &Token) -> String {
    token.reveal().chars().take(PREFIX).collect()
}
