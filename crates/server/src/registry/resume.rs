//! What was installed before this server started.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use jackfield::{ActiveState, InstallationId, Mode, ReportedState, Session};
use tokio::sync::Semaphore;

use super::Registry;
use super::registry::chain;
use crate::store::{Record, StoreError};

/// Packages that are opened at once.
const OPENED: usize = 4;

impl Registry {
    /// Loads every installation, and activates those that are wanted, so many at once; returns when
    /// all are loaded, while they go on starting. Removes what a killed server left: archives that
    /// nobody uses, folders of installations that are gone; but nothing under a database that is new. May be called again where it failed.
    pub(crate) async fn resume(&self) -> Result<(), StoreError> {
        let records = self.parts().store.records().await?;
        for row in &records.unreadable {
            tracing::error!(id = row.id, why = row.why, "an installation cannot be read");
        }
        let mut there: HashSet<String> = HashSet::new();
        there.extend(records.records.iter().map(|record| record.id.to_string()));
        there.extend(records.unreadable.iter().map(|row| row.id.clone()));
        if self.parts().store.is_fresh() {
            // Whoever lost a database, or named another one, wants to find everything else again.
            tracing::info!("the database is new: packages and folders that lie there already stay");
        } else {
            self.sweep_folders(&there).await?;
            self.sweep_archives().await?;
        }

        let starts = Arc::new(Semaphore::new(
            self.parts().config.parallel_activations.max(1),
        ));
        let load = |record| self.wake_up(record, &starts);
        stream::iter(records.records)
            .for_each_concurrent(OPENED, load)
            .await;
        Ok(())
    }

    /// Loads one installation. What cannot be loaded is told, and stays listed with its problem.
    async fn wake_up(&self, record: Record, starts: &Arc<Semaphore>) {
        let id = record.id;
        let slot = self.slot(id);
        let _turn = slot.turn().await;
        let loaded = async {
            // Requests are answered already: it may be another one by now, or none.
            match self.parts().store.record(id).await? {
                Some(record) => Ok(Some((self.load(&slot, &record).await?, record))),
                None => Ok(None),
            }
        };
        let (session, record) = match loaded.await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return,
            Err(error) => {
                let error: super::StateError = error;
                return tracing::error!(%id, error = chain(&error), "a plugin cannot be loaded");
            }
        };
        match (record.wanted, record.mode) {
            (ActiveState::Inactive, _) => {}
            (ActiveState::Active, Mode::External) => {
                // One that has ended was so by a host that shuts down.
                let _ = session.set_active_state(ActiveState::Active).await;
            }
            (ActiveState::Active, Mode::Supervised) => {
                let start = self.clone().start_when_due(session, Arc::clone(starts));
                let gone = self.parts().gone.clone();
                self.parts()
                    .tracker
                    .spawn(gone.run_until_cancelled_owned(start));
            }
        }
    }

    /// Starts a plugin when others have started, if it is wanted then.
    async fn start_when_due(self, session: Session, starts: Arc<Semaphore>) {
        let id = session.id();
        let _start = starts.acquire().await.expect("it is never closed");
        {
            let slot = self.slot(id);
            let _turn = slot.turn().await;
            let wanted = self.parts().store.record(id).await;
            let wanted = wanted.map(|record| record.map(|record| record.wanted));
            if let Ok(None | Some(ActiveState::Inactive)) = wanted {
                return;
            }
            // An upgrade may have put another session in its place, and started that.
            if session.set_active_state(ActiveState::Active).await.is_err() {
                return;
            }
        }
        // Its first attempt is over one way or the other; further ones take nobody's place.
        let mut status = session.status();
        let over = status.wait_for(|now| {
            !matches!(
                now.state,
                ReportedState::Starting | ReportedState::Connecting
            )
        });
        let limit = self.parts().config.activation_deadline;
        let _ = tokio::time::timeout(limit, over).await;
    }

    /// Removes folders of installations that are not there.
    async fn sweep_folders(&self, there: &HashSet<String>) -> Result<(), StoreError> {
        let folder = self.parts().config.data.join("plugins");
        let names = self.blocking(move || names_in(&folder)).await;
        let names = names.unwrap_or_else(|error| {
            tracing::warn!(%error, "the folders of plugins cannot be looked through");
            Vec::new()
        });
        for name in names.iter().filter(|name| !there.contains(*name)) {
            let Ok(id) = name.parse::<InstallationId>() else {
                continue;
            };
            let slot = self.slot(id);
            let turn = slot.turn().await;
            // It may have come since.
            if self.parts().store.record(id).await?.is_some() {
                continue;
            }
            tracing::info!(%id, "removing what is left of an installation");
            if let Err(failure) = self.parts().host.uninstall(id).await {
                tracing::warn!(%id, error = failure.message, "something of it stays");
            }
            drop(turn);
            self.inner.slots.forget(id);
        }
        Ok(())
    }

    /// Removes archives that no version uses.
    async fn sweep_archives(&self) -> Result<(), StoreError> {
        let _shelf = self.inner.shelf.clear().await;
        let there = match self.parts().packages.list().await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(error = chain(&error), "packages cannot be looked through");
                return Ok(());
            }
        };
        let used = self.parts().store.digests_in_use().await?;
        let unused = there.into_iter().filter(|digest| !used.contains(digest));
        self.discard(unused).await;
        Ok(())
    }
}

/// The names in a folder; none where it is not there.
fn names_in(folder: &std::path::Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: io::Result<Vec<_>> = names.collect();
    Ok(names?.into_iter().flatten().collect())
}
