//! Configuration: checked, delivered, stored.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield::package::Digest;
use jackfield::rpc::{CallError, CallOptions};
use jackfield::wire::manifest::Transport;
use jackfield::wire::methods::Configure;
use jackfield::{InstallationId, ReportedState, Session};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::registry::chain;
use super::settings::{self, Configuration};
use super::slot::{Slot, Told};
use super::{ConfigureError, NotFound, Registry, effective};
use crate::store::StoreError;

/// Time to take a configuration.
const DEADLINE: Duration = Duration::from_secs(30);

impl Registry {
    /// Replaces the configuration: checked against the schema, delivered if the plugin is connected
    /// (30 s; `ok: false` stores nothing), stored. While it is down it is stored, and delivered when
    /// it connects. A secret field that is left out keeps its value; `null` takes it away.
    pub(crate) async fn configure(
        &self,
        id: InstallationId,
        config: Map<String, Value>,
        must_be_connected: bool,
        by: &str,
    ) -> Result<Configuration, ConfigureError> {
        let (registry, by) = (self.clone(), by.to_owned());
        self.finish(async move {
            let done = registry.set_config(id, config, must_be_connected).await;
            let target = id.to_string();
            registry
                .note(&by, "configure", &target, done.as_ref(), "")
                .await;
            done
        })
        .await
    }

    async fn set_config(
        &self,
        id: InstallationId,
        config: Map<String, Value>,
        must_be_connected: bool,
    ) -> Result<Configuration, ConfigureError> {
        let parts = self.parts();
        self.record::<ConfigureError>(id).await?;
        let slot = self.slot(id);
        // A turn of its own: a plugin that does not become active without its configuration can be
        // configured while somebody waits for it to become active.
        let _turn = slot.settings().await;
        let record = self.record::<ConfigureError>(id).await?;
        let manifest = &record.manifest;
        let plain = settings::merged(&parts.key, id, manifest, config, &record.config);
        let plain = plain.map_err(ConfigureError::Invalid)?;
        let problems = settings::problems(manifest, &plain);
        if !problems.is_empty() {
            return Err(ConfigureError::Invalid(problems));
        }
        match parts.host.session(id).filter(takes_configuration) {
            Some(session) => {
                let mut told = plain.clone();
                settings::fill_in(manifest, &mut told);
                deliver(&slot, &session, &told).await?;
            }
            None if must_be_connected => return Err(ConfigureError::NotConnected),
            None => {}
        }
        let stored = settings::sealing(&parts.key, id, manifest, plain);
        if !parts.store.set_config(id, &stored).await? {
            return Err(NotFound(id).into());
        }
        Ok(settings::shown(manifest, &stored))
    }

    /// What is configured; of secrets only that they are set.
    pub(crate) async fn configuration(
        &self,
        id: InstallationId,
    ) -> Result<Result<Configuration, NotFound>, StoreError> {
        let record = self.parts().store.record(id).await?;
        let shown = record.map(|record| settings::shown(&record.manifest, &record.config));
        Ok(shown.ok_or(NotFound(id)))
    }

    /// Delivers what is stored on each line that opens, and says on which it was. For as long as the
    /// session is: the task is cancelled with it.
    pub(super) async fn configure_lines(
        self,
        slot: Arc<Slot>,
        session: Session,
        configured: watch::Sender<Option<SystemTime>>,
    ) {
        let mut status = session.status();
        loop {
            let line = {
                let now = status.borrow_and_update();
                let open = now.state == ReportedState::Active;
                now.started_at.filter(|_| open)
            };
            if line.is_some() && *configured.borrow() != line {
                self.configure_line(&slot, &session).await;
                configured.send_replace(line);
            } else if status.changed().await.is_err() {
                return;
            }
        }
    }

    /// A plugin that refuses is a plugin that runs on with what it has: that is told, and no more.
    async fn configure_line(&self, slot: &Slot, session: &Session) {
        let id = session.id();
        if session.manifest().transport == Transport::Grpc {
            return;
        }
        let _turn = slot.settings().await;
        let stored = match self.parts().store.record(id).await {
            Ok(record) => record.map(|record| record.config).unwrap_or_default(),
            Err(error) => {
                let error = chain(&error);
                return tracing::error!(%id, error, "a plugin is not told its configuration");
            }
        };
        if stored.is_empty() {
            return;
        }
        let config = match effective(&self.parts().key, id, session.manifest(), &stored) {
            Ok(config) => config,
            Err(error) => {
                let error = chain(&error);
                return tracing::error!(%id, error, "a plugin is not told its configuration");
            }
        };
        let told = slot.loaded().told.take();
        if told.is_some_and(|told| told.of(&config) && told.ended(session)) {
            return tracing::debug!(%id, "a plugin that began anew with its configuration has it");
        }
        if let Err(error) = deliver(slot, session, &config).await {
            let error = chain(&error);
            tracing::warn!(%id, error, "a plugin did not take its configuration when it connected");
        }
    }
}

impl Told {
    fn now(config: &Map<String, Value>) -> Self {
        Self {
            at: SystemTime::now(),
            config: digest(config),
        }
    }

    fn of(&self, config: &Map<String, Value>) -> bool {
        self.config == digest(config)
    }

    /// Whether the process ended by itself and well since: some plugins take a configuration by
    /// being started again. To tell them once more would end them for ever.
    fn ended(&self, session: &Session) -> bool {
        session.history().iter().any(|change| {
            let code = change.error.as_ref().and_then(|e| e.details.exit_code);
            change.at >= self.at && code == Some(0)
        })
    }
}

fn digest(config: &Map<String, Value>) -> Digest {
    Digest::of(json!(config).to_string().as_bytes())
}

/// Whether there is a line now that a configuration can be delivered on.
fn takes_configuration(session: &Session) -> bool {
    let connected = session.status().borrow().state == ReportedState::Active;
    connected && session.manifest().transport == Transport::WebSocket
}

async fn deliver(
    slot: &Slot,
    session: &Session,
    config: &Map<String, Value>,
) -> Result<(), ConfigureError> {
    slot.loaded().told = Some(Told::now(config));
    let options = CallOptions {
        deadline: Some(DEADLINE),
        ..CallOptions::default()
    };
    match session.call_with::<Configure>(config, options).await {
        Ok(taken) if taken.ok => Ok(()),
        Ok(_) => Err(ConfigureError::Refused(
            "it answered `ok: false`".to_owned(),
        )),
        Err(jackfield::CallError::Call(CallError::Refused(fault))) => {
            Err(ConfigureError::Refused(fault.message))
        }
        Err(error) => Err(ConfigureError::NoAnswer(chain(&error))),
    }
}
