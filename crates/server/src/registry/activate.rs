//! Wanted or not.

use jackfield::{ActiveState, InstallationId, Mode, RuntimeProvider};

use super::wait::{Enough, until_active};
use super::{Installed, Progress, Registry, StateError};
use crate::store::Record;

impl Registry {
    /// Wanted or not, and waits until it is so. Wanted is written before anything is done; a plugin
    /// that fails stays wanted only if it was before.
    pub(crate) async fn set_active_state(
        &self,
        id: InstallationId,
        wanted: ActiveState,
        by: &str,
        progress: Progress,
    ) -> Result<Installed, StateError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let (action, done) = match wanted {
                ActiveState::Active => {
                    let done = registry.activate(id, false, &progress).await;
                    ("activate", done)
                }
                ActiveState::Inactive => ("deactivate", registry.deactivate(id, &progress).await),
            };
            let target = id.to_string();
            registry.note(&by, action, &target, done.as_ref(), "").await;
            done
        })
        .await
    }

    /// Stops it and starts it. One that is not wanted is activated.
    pub(crate) async fn restart(
        &self,
        id: InstallationId,
        by: &str,
        progress: Progress,
    ) -> Result<Installed, StateError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let done = registry.activate(id, true, &progress).await;
            let target = id.to_string();
            registry
                .note(&by, "restart", &target, done.as_ref(), "")
                .await;
            done
        })
        .await
    }

    async fn activate(
        &self,
        id: InstallationId,
        anew: bool,
        progress: &Progress,
    ) -> Result<Installed, StateError> {
        let record = self.startable(id).await?;
        let slot = self.slot(record.id);
        progress.say("waiting for its turn");
        let turn = slot.turn().await;
        // It may have become another one meanwhile, or none.
        let before = self.startable(id).await?;
        let store = &self.parts().store;
        if before.wanted == ActiveState::Inactive {
            store.set_wanted(id, ActiveState::Active).await?;
        }
        let begun = async {
            progress.say("opening its package");
            let session = self.load(&slot, &before).await?;
            if anew {
                slot.change();
                progress.say("stopping");
                let stopped = session.set_active_state(ActiveState::Inactive).await;
                stopped.map_err(|_| self.ended())?;
            }
            let started = session.set_active_state(ActiveState::Active).await;
            started.map_err(|_| self.ended())?;
            Ok(session)
        };
        let begun = begun.await;
        let changes = slot.changes();
        // Others may have their turn while the plugin comes up, to stop it for one.
        drop(turn);
        let done = match begun {
            Ok(session) => {
                let limit = self.parts().config.activation_deadline;
                let enough = Enough {
                    overtaken: changes.clone(),
                    draining: &self.parts().draining,
                    on_trial: false,
                };
                until_active(&session, limit, enough, progress).await
            }
            Err(error) => Err(error),
        };
        // What goes on trying stays wanted, and what others did meanwhile is theirs.
        let given_up = matches!(
            done,
            Err(StateError::Failed(_)
                | StateError::Load(_)
                | StateError::Package(_)
                | StateError::Packages(_))
        );
        if given_up && before.wanted == ActiveState::Inactive {
            let _turn = slot.turn().await;
            if !changes.has_changed().unwrap_or(true) {
                store.set_wanted(id, ActiveState::Inactive).await?;
            }
        }
        done?;
        Ok(self.get(id).await??)
    }

    async fn deactivate(
        &self,
        id: InstallationId,
        progress: &Progress,
    ) -> Result<Installed, StateError> {
        self.startable(id).await?;
        let slot = self.slot(id);
        slot.halt();
        progress.say("waiting for its turn");
        let _turn = slot.turn().await;
        slot.change();
        self.startable(id).await?;
        let store = &self.parts().store;
        store.set_wanted(id, ActiveState::Inactive).await?;
        if let Some(session) = self.parts().host.session(id) {
            progress.say("stopping");
            // One that has ended is as inactive as can be.
            let _ = session.set_active_state(ActiveState::Inactive).await;
        }
        Ok(self.get(id).await??)
    }

    /// The record of a plugin that can be started and stopped here.
    async fn startable(&self, id: InstallationId) -> Result<Record, StateError> {
        let record = self.record::<StateError>(id).await?;
        if record.mode == Mode::External {
            return Err(StateError::External);
        }
        if self.parts().host.runtime_provider() == RuntimeProvider::None {
            return Err(StateError::Disabled);
        }
        Ok(record)
    }
}
