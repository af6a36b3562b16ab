//! One version in place of another: on trial first, where the plugin is wanted.

use std::sync::Arc;
use std::time::Duration;

use jackfield::rpc::{CallError, CallOptions};
use jackfield::wire::manifest::Transport;
use jackfield::wire::methods::Ping;
use jackfield::{ActiveState, Session, Spec};
use tokio::sync::watch;

use super::registry::chain;
use super::slot::Slot;
use super::wait::{Enough, until_active};
use super::{InstallError, NotFound, Progress, Registry, StateError, UpgradeError};
use crate::store::{Record, StoreError, Version};

/// Time to answer a ping.
const PING: Duration = Duration::from_secs(10);
/// What a fault says of a method that a plugin does not know.
const NO_SUCH_METHOD: i64 = -32601;

impl Registry {
    /// Makes a version the one that counts. To be called in the installation's turn; `halts` end the
    /// trial. Events wait until it counts, or the one before is back.
    pub(super) async fn switch(
        &self,
        slot: &Arc<Slot>,
        record: &Record,
        version: &Version,
        halts: watch::Receiver<u64>,
        progress: &Progress,
    ) -> Result<(), UpgradeError> {
        progress.say("opening the package");
        // Before anything is stopped.
        let spec = self.spec_of(record.id, version).await;
        let spec = spec.map_err(InstallError::from)?;
        self.parts().deliveries.unfollow(record.id).await;
        let tried = self.try_out(slot, record, version, spec, halts.clone(), progress);
        match tried.await {
            Ok(session) => {
                slot.loaded().package = Some(version.clone());
                self.follow_anew(slot, record, &session).await;
                Ok(())
            }
            Err(why) => {
                progress.say("bringing back the version before");
                self.bring_back(slot, record, halts, progress).await;
                Err(UpgradeError::BroughtBack {
                    number: version.number,
                    why: Box::new(why),
                })
            }
        }
    }

    async fn try_out(
        &self,
        slot: &Arc<Slot>,
        record: &Record,
        version: &Version,
        spec: Spec,
        halts: watch::Receiver<u64>,
        progress: &Progress,
    ) -> Result<Session, StateError> {
        progress.say("stopping");
        let session = self.reload(slot, spec).await?;
        if record.wanted == ActiveState::Active {
            self.start(&session, halts, true, progress).await?;
            progress.say("asking whether it is well");
            let limit = PING.min(self.parts().config.policy.call_deadline);
            ping(&session, limit).await?;
        }
        let store = &self.parts().store;
        let there = store.set_current(record.id, version.number).await?;
        there.then_some(session).ok_or(NotFound(record.id).into())
    }

    /// Starts a session and waits until it is active.
    async fn start(
        &self,
        session: &Session,
        halts: watch::Receiver<u64>,
        on_trial: bool,
        progress: &Progress,
    ) -> Result<(), StateError> {
        // Somebody wanted it stopped before it came to this.
        if halts.has_changed().unwrap_or(true) {
            return Err(StateError::Overtaken);
        }
        let started = session.set_active_state(ActiveState::Active).await;
        started.map_err(|_| self.ended())?;
        let limit = self.parts().config.activation_deadline;
        let enough = Enough {
            overtaken: halts,
            draining: &self.parts().draining,
            on_trial,
        };
        until_active(session, limit, enough, progress).await
    }

    /// The version that counts is loaded again, and started if the plugin is wanted.
    async fn bring_back(
        &self,
        slot: &Arc<Slot>,
        record: &Record,
        halts: watch::Receiver<u64>,
        progress: &Progress,
    ) {
        let back = async {
            let spec = match self.spec(slot, record).await {
                Ok(spec) => spec,
                Err(error) => {
                    // What was on trial must not run in its place.
                    self.parts().host.unload(record.id).await;
                    slot.loaded().companion.cancel();
                    slot.loaded().problem = Some(chain(&error));
                    return Err(error.into());
                }
            };
            let session = self.reload(slot, spec).await?;
            self.follow_anew(slot, record, &session).await;
            if record.wanted == ActiveState::Active {
                self.start(&session, halts, false, progress).await?;
            }
            Ok(())
        };
        let back: Result<(), StateError> = back.await;
        if let Err(error) = back {
            let (id, error) = (record.id, chain(&error));
            tracing::warn!(%id, error, "the version before is back, and not active");
        }
    }

    /// Begins to deliver events again, from where the plugin is now.
    async fn follow_anew(&self, slot: &Slot, record: &Record, session: &Session) {
        let fresh = self.parts().store.record(record.id).await;
        let missing = |error: Option<StoreError>| {
            let error = error.as_ref().map(|error| chain(error));
            let error = error.unwrap_or_else(|| "the row is gone".to_owned());
            tracing::warn!(id = %record.id, error, "events go on from where they were");
        };
        match fresh {
            Ok(Some(fresh)) => return self.follow(slot, &fresh, session),
            Ok(None) => missing(None),
            Err(error) => missing(Some(error)),
        }
        // Better twice than never.
        let mut record = record.clone();
        record.manifest = session.manifest().clone();
        self.follow(slot, &record, session);
    }
}

/// Whether it answers. A plugin that does not know the question has answered.
async fn ping(session: &Session, limit: Duration) -> Result<(), StateError> {
    if session.manifest().transport == Transport::Grpc {
        // It was asked already: that is how it became active.
        return Ok(());
    }
    let options = CallOptions {
        deadline: Some(limit),
        ..CallOptions::default()
    };
    match session.call_with::<Ping>(&None, options).await {
        Ok(_) => Ok(()),
        Err(jackfield::CallError::Call(CallError::Refused(fault)))
            if fault.code == NO_SUCH_METHOD =>
        {
            Ok(())
        }
        Err(error) => Err(StateError::NoPing(error)),
    }
}
