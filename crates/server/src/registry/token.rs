//! Tokens of plugins.

use std::sync::Arc;

use jackfield::wire::manifest::Transport;
use jackfield::{ActiveState, InstallationId, LoadError, Manifest, Mode, Spec, Token, TokenHash};
use serde_json::Value;

use super::install::prefix;
use super::slot::Slot;
use super::{Installed, ManifestError, NotFound, Registry, TokenError};
use crate::store::{Record, StoreError};

impl Registry {
    /// A new token for an external plugin, shown here and never again. Whoever is connected with the
    /// old one is disconnected.
    pub(crate) async fn rotate_token(
        &self,
        id: InstallationId,
        by: &str,
    ) -> Result<Token, TokenError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let done = registry.new_token(id).await;
            let target = id.to_string();
            registry
                .note(&by, "token.rotate", &target, done.as_ref(), "")
                .await;
            done
        })
        .await
    }

    async fn new_token(&self, id: InstallationId) -> Result<Token, TokenError> {
        let slot = self.slot_of::<TokenError>(id).await?;
        let _turn = slot.turn().await;
        let record = self.record::<TokenError>(id).await?;
        if record.mode == Mode::Supervised {
            return Err(TokenError::Supervised);
        }
        let token = Token::external();
        let store = &self.parts().store;
        let there = store.set_token(id, token.hash(), &prefix(&token)).await?;
        if !there {
            return Err(NotFound(id).into());
        }
        self.dial_anew(&slot, &record, record.manifest.clone(), token.hash())
            .await?;
        Ok(token)
    }

    /// The manifest of an external plugin, which has to dial in anew: its line is closed with 1000.
    /// Its token stays.
    pub(crate) async fn set_manifest(
        &self,
        id: InstallationId,
        manifest: &Value,
        by: &str,
    ) -> Result<Installed, ManifestError> {
        let (registry, by, manifest) = (self.clone(), by.to_owned(), manifest.clone());
        self.finish(async move {
            let done = registry.new_manifest(id, &manifest).await;
            let target = id.to_string();
            let detail = done
                .as_ref()
                .map_or("", |done| &done.record.manifest.version);
            registry
                .note(&by, "manifest", &target, done.as_ref(), detail)
                .await;
            done
        })
        .await
    }

    async fn new_manifest(
        &self,
        id: InstallationId,
        manifest: &Value,
    ) -> Result<Installed, ManifestError> {
        let slot = self.slot_of::<ManifestError>(id).await?;
        let _turn = slot.turn().await;
        let record = self.record::<ManifestError>(id).await?;
        let (Mode::External, Some((token, _))) = (record.mode, &record.token) else {
            return Err(ManifestError::Supervised);
        };
        let manifest = Manifest::check_value(manifest).into_result()?;
        if manifest.transport == Transport::Grpc {
            return Err(ManifestError::ExternalGrpc);
        }
        if !self.parts().store.set_manifest(id, &manifest).await? {
            return Err(NotFound(id).into());
        }
        self.dial_anew(&slot, &record, manifest, *token).await?;
        Ok(self.get(id).await??)
    }

    /// Closes the line of an external plugin, and lets it in again as what it is from now on.
    async fn dial_anew(
        &self,
        slot: &Arc<Slot>,
        record: &Record,
        manifest: Manifest,
        token: TokenHash,
    ) -> Result<(), LoadError> {
        let spec = Spec::external(record.id, manifest.clone(), token);
        let session = self.reload(slot, spec).await?;
        let mut record = record.clone();
        record.manifest = manifest;
        self.follow(slot, &record, &session);
        // One that has ended was so by a host that shuts down.
        let _ = session.set_active_state(ActiveState::Active).await;
        Ok(())
    }

    /// A new access token for a plugin: the old one is worthless from then on.
    pub(crate) async fn rotate_access(
        &self,
        id: InstallationId,
        by: &str,
    ) -> Result<Result<(), NotFound>, StoreError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let generation = registry.parts().store.next_access_generation(id).await?;
            let done = generation.map(|_| ()).ok_or(NotFound(id));
            let target = id.to_string();
            registry
                .note(&by, "access.rotate", &target, done.as_ref(), "")
                .await;
            Ok(done)
        })
        .await
    }

    /// What is granted from now on; what the manifest does not ask for is ignored.
    pub(crate) async fn grant(
        &self,
        id: InstallationId,
        granted: Vec<String>,
        by: &str,
    ) -> Result<Result<Vec<String>, NotFound>, StoreError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let store = &registry.parts().store;
            let done = match store.record(id).await? {
                None => Err(NotFound(id)),
                Some(record) => {
                    let asked = record.manifest.access.map(|access| access.permissions);
                    let mut allowed = asked.unwrap_or_default();
                    allowed.retain(|permission| granted.contains(permission));
                    let there = store.set_granted(id, &allowed).await?;
                    there.then_some(allowed).ok_or(NotFound(id))
                }
            };
            let detail = done.as_ref().map_or(String::new(), |done| done.join(" "));
            let target = id.to_string();
            registry
                .note(&by, "access.grant", &target, done.as_ref(), &detail)
                .await;
            Ok(done)
        })
        .await
    }

    /// The slot of an installation that is there.
    async fn slot_of<E>(&self, id: InstallationId) -> Result<Arc<Slot>, E>
    where
        E: From<NotFound> + From<StoreError>,
    {
        self.record::<E>(id).await?;
        Ok(self.slot(id))
    }
}
