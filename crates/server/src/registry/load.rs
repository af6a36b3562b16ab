//! Records become sessions.

use std::sync::Arc;
use std::time::SystemTime;

use jackfield::package::{Limits, OpenError, Package};
use jackfield::wire::manifest::Transport;
use jackfield::{InstallationId, LoadError, Mode, Session, Spec};
use tokio::sync::watch;

use super::registry::{Registry, chain};
use super::slot::Slot;
use crate::packages::PackagesError;
use crate::store::{Record, StoreError, Version};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unloadable {
    #[error("the host does not take it")]
    Load(#[from] LoadError),
    #[error("its package cannot be opened")]
    Package(#[from] OpenError),
    #[error("Plugin file not found in storage")]
    Packages(#[from] PackagesError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// The session of an installation: the one that is there, or a new one, inactive. To be called in
    /// the installation's turn.
    pub(super) async fn load(
        &self,
        slot: &Arc<Slot>,
        record: &Record,
    ) -> Result<Session, Unloadable> {
        if let Some(session) = self.parts().host.session(record.id) {
            return Ok(session);
        }
        let loaded = async {
            let spec = self.spec(slot, record).await?;
            Ok(self.parts().host.load(spec)?)
        };
        let loaded: Result<Session, Unloadable> = loaded.await;
        slot.loaded().problem = loaded.as_ref().err().map(|error| chain(error));
        let session = loaded?;
        self.accompany(slot, &session);
        self.follow(slot, record, &session);
        Ok(session)
    }

    /// What the host has to know of a record.
    pub(super) async fn spec(&self, slot: &Slot, record: &Record) -> Result<Spec, Unloadable> {
        let broken = |what: &str| StoreError::Row {
            what: format!("installation {}: {what}", record.id),
        };
        match record.mode {
            Mode::External => {
                let token = record.token.as_ref().ok_or_else(|| broken("no token"))?;
                Ok(Spec::external(record.id, record.manifest.clone(), token.0))
            }
            Mode::Supervised => {
                let version = self.version(slot, record).await?;
                let version = version.ok_or_else(|| broken("no version counts"))?;
                self.spec_of(record.id, &version).await
            }
        }
    }

    /// What the host has to know of a version.
    pub(super) async fn spec_of(
        &self,
        id: InstallationId,
        version: &Version,
    ) -> Result<Spec, Unloadable> {
        let file = self.parts().packages.file(version.digest).await?;
        // It was small enough when it came.
        let archive_bytes = self.parts().config.max_package.max(version.size);
        let limits = limits(archive_bytes);
        let package = self.blocking(move || Package::open(&file, &limits)).await?;
        Ok(Spec::supervised(id, package))
    }

    /// Something that blocks its thread.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.parts().tracker.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// A session in place of the one that is there, with the plugin stopped.
    pub(super) async fn reload(&self, slot: &Arc<Slot>, spec: Spec) -> Result<Session, LoadError> {
        slot.loaded().companion.cancel();
        let reloaded = self.parts().host.upgrade(spec).await;
        slot.loaded().problem = reloaded.as_ref().err().map(|error| chain(error));
        let session = reloaded?;
        self.accompany(slot, &session);
        Ok(session)
    }

    /// Begins to deliver the configuration on each line of a session.
    fn accompany(&self, slot: &Arc<Slot>, session: &Session) {
        let (sender, configured) = watch::channel(None::<SystemTime>);
        let companion = self.parts().gone.child_token();
        {
            let mut loaded = slot.loaded();
            loaded.companion.cancel();
            loaded.companion = companion.clone();
            loaded.configured = Some(configured);
        }
        let task = self
            .clone()
            .configure_lines(Arc::clone(slot), session.clone(), sender);
        self.parts()
            .tracker
            .spawn(companion.run_until_cancelled_owned(task));
    }

    /// Begins to deliver events to a session that counts.
    pub(super) fn follow(&self, slot: &Slot, record: &Record, session: &Session) {
        if session.manifest().transport == Transport::Grpc {
            return;
        }
        // Not under its lock.
        let configured = slot.loaded().configured.clone();
        if let Some(configured) = configured {
            let deliveries = &self.parts().deliveries;
            deliveries.follow(record, session.clone(), configured);
        }
    }
}

/// The usual limits, but for the size of the archive.
pub(super) fn limits(archive_bytes: u64) -> Limits {
    Limits {
        archive_bytes,
        ..Limits::default()
    }
}
