//! Plugins go.

use jackfield::package::Digest;
use jackfield::rpc::CallOptions;
use jackfield::{InstallationId, RawJson, ReportedState};
use serde_json::value::RawValue;

use super::registry::chain;
use super::{CallError, NotFound, Registry, RemoveError};
use crate::observe;
use crate::store::StoreError;

impl Registry {
    /// Stops it, and takes away everything: rows, archives, folder, logs, what a remote place keeps;
    /// its access token is worthless from then on.
    pub(crate) async fn remove(&self, id: InstallationId, by: &str) -> Result<(), RemoveError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let done = registry.take_away(id).await;
            let target = id.to_string();
            registry
                .note(&by, "remove", &target, done.as_ref(), "")
                .await;
            done
        })
        .await
    }

    async fn take_away(&self, id: InstallationId) -> Result<(), RemoveError> {
        let parts = self.parts();
        self.there(id).await?;
        let slot = self.slot(id);
        slot.halt();
        let _turn = slot.turn().await;
        slot.change();
        self.there(id).await?;
        parts.deliveries.unfollow(id).await;
        // With its rows it is gone: of a server that is killed before this nothing is changed, and
        // what one leaves that is killed later, the next one takes away when it starts.
        if let Err(error) = self.clear(id).await {
            if let (Ok(Some(record)), Some(session)) =
                (parts.store.record(id).await, parts.host.session(id))
            {
                self.follow(&slot, &record, &session);
            }
            return Err(error.into());
        }
        slot.loaded().companion.cancel();
        let left = parts.host.uninstall(id).await;
        self.inner.slots.forget(id);
        left.map_err(|failure| RemoveError::Left(Box::new(failure)))
    }

    /// Whether it can be removed; one whose row cannot be read can.
    async fn there(&self, id: InstallationId) -> Result<(), RemoveError> {
        match self.parts().store.record(id).await {
            Ok(Some(_)) | Err(StoreError::Row { .. }) => Ok(()),
            Ok(None) => Err(NotFound(id).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes away rows, and archives that nobody uses then.
    pub(super) async fn clear(&self, id: InstallationId) -> Result<(), StoreError> {
        let _shelf = self.inner.shelf.clear().await;
        let unused = self.parts().store.remove(id).await?;
        self.discard(unused.unwrap_or_default()).await;
        Ok(())
    }

    /// Takes away archives. To be called while nobody puts any there. One that stays is taken away
    /// when the server starts.
    pub(super) async fn discard(&self, archives: impl IntoIterator<Item = Digest>) {
        for digest in archives {
            if let Err(error) = self.parts().packages.remove(digest).await {
                let error = chain(&error);
                tracing::warn!(%digest, error, "an archive that nobody uses stays");
            }
        }
    }

    /// Calls a method of the plugin's.
    pub(crate) async fn call(
        &self,
        id: InstallationId,
        method: &str,
        params: Option<&RawValue>,
        options: CallOptions,
    ) -> Result<RawJson, CallError> {
        match self.parts().host.session(id) {
            Some(session) => Ok(observe::call(&session, method, params, options).await?),
            None => {
                let record = self.parts().store.record(id).await?;
                record.ok_or(NotFound(id))?;
                Err(jackfield::CallError::NotActive(ReportedState::Inactive).into())
            }
        }
    }
}
