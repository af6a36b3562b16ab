//! A registry over a temporary folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield::package::Digest;
use jackfield::rpc::CallOptions;
use jackfield::{Host, InstallationId, ReportedState, Status};
use jackfield_testkit::{packed, quick, within};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::{self, Application};
use crate::config::Config;
use crate::events::Deliveries;
use crate::packages::Packages;
use crate::registry::{Acceptance, Installed, Jobs, Parts, Registry, Upload};
use crate::secret::Key;
use crate::store::{Entry, EntryQuery, Store};

/// A registry, and what has to end with it.
pub(super) struct Bench {
    pub(super) registry: Registry,
    tracker: TaskTracker,
    gone: CancellationToken,
}

impl Bench {
    /// Over this folder, with the usual choices.
    pub(super) async fn open(data: &Path) -> Self {
        Self::with(data, |_| {}).await
    }

    pub(super) async fn with(data: &Path, choose: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(data);
        config.policy = quick();
        config.policy.restarts = 1;
        config.allow_private_downloads = true;
        choose(&mut config);
        let key = Key::open(data).unwrap();
        let url = format!("sqlite:{}", data.join("test.db").display());
        let store = Store::open(&url).await.unwrap();
        let packages = Packages::open(None, &[], data).await.unwrap();
        let application = Application::new(store.clone(), key.clone(), config.policy.max_message);
        let host = Host::builder()
            .data_folder(data)
            .policy(config.policy.clone())
            .runtime_provider(config.runtime_provider)
            .methods(|table| {
                let (store, key) = (store.clone(), key.clone());
                calls::methods(table, store, key, application, "http://app".to_owned())
            })
            .build()
            .await
            .unwrap();
        let tracker = TaskTracker::new();
        let gone = CancellationToken::new();
        let deliveries = Deliveries::new(
            store.clone(),
            config.events.clone(),
            tracker.clone(),
            gone.clone(),
        );
        let registry = Registry::new(Parts {
            config,
            host,
            store,
            packages,
            key,
            deliveries,
            jobs: Jobs::default(),
            draining: CancellationToken::new(),
            tracker: tracker.clone(),
            gone: gone.clone(),
        });
        Self {
            registry,
            tracker,
            gone,
        }
    }

    /// The end as a server that drains does it.
    pub(super) async fn close(self) {
        let parts = self.registry.parts();
        parts.host.shutdown(Duration::from_secs(5)).await;
        self.gone.cancel();
        self.tracker.close();
        within(self.tracker.wait()).await;
        parts.store.close().await;
    }

    /// The end without a word to anybody: all that the process held is gone, and nothing is written.
    pub(super) async fn kill(self) {
        let Self {
            registry,
            tracker,
            gone,
        } = self;
        gone.cancel();
        tracker.close();
        within(tracker.wait()).await;
        drop(registry);
    }

    /// Installs the plugin with these orders.
    pub(super) async fn install(&self, version: &str, orders: &[&str]) -> Installed {
        let upload = self.upload(version, orders, json!({}));
        self.registry.install(upload, by("ann")).await.unwrap()
    }

    /// The plugin with these orders as somebody uploads it.
    pub(super) fn upload(&self, version: &str, orders: &[&str], extra: Value) -> Upload {
        self.file(&archive(version, orders, extra))
    }

    /// These bytes as somebody uploads them.
    pub(super) fn file(&self, bytes: &[u8]) -> Upload {
        let file = self.registry.parts().packages.incoming().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Upload::File(file)
    }

    pub(super) async fn get(&self, id: InstallationId) -> Installed {
        self.registry.get(id).await.unwrap().unwrap()
    }

    /// What the plugin has seen.
    pub(super) async fn seen(&self, id: InstallationId) -> Value {
        let answer = self.registry.call(id, "seen", None, CallOptions::default());
        serde_json::from_str(answer.await.unwrap().get()).unwrap()
    }

    /// What was written of it, oldest first: action, and whether it was done.
    pub(super) async fn audit(&self, id: InstallationId) -> Vec<Entry> {
        let query = EntryQuery {
            target: Some(id.to_string()),
            before: None,
            limit: 100,
        };
        let mut entries = self.registry.parts().store.entries(&query).await.unwrap();
        entries.reverse();
        entries
    }

    /// Waits for a reported state of the session that is there now.
    pub(super) async fn until(&self, id: InstallationId, state: ReportedState) -> Status {
        let session = self.registry.parts().host.session(id).unwrap();
        jackfield_testkit::until_state(&session, state).await
    }

    /// Waits until the line that is open has its configuration.
    pub(super) async fn configured(&self, id: InstallationId) {
        let session = self.registry.parts().host.session(id).unwrap();
        let line = session.status().borrow().started_at;
        let configured = self.registry.slot(id).loaded().configured.clone();
        let mut configured = configured.unwrap();
        within(configured.wait_for(|told| *told == line))
            .await
            .unwrap();
    }

    pub(super) async fn archives(&self) -> Vec<Digest> {
        self.registry.parts().packages.list().await.unwrap()
    }
}

/// The plugin's package.
pub(super) fn archive(version: &str, orders: &[&str], extra: Value) -> Vec<u8> {
    let mut args = vec!["plugin.py"];
    args.extend(orders);
    let mut manifest = jackfield_testkit::manifest(json!({
        "version": version, "command": "python3", "args": args,
    }));
    if let (Value::Object(manifest), Value::Object(extra)) = (&mut manifest, extra) {
        manifest.extend(extra);
    }
    let program = include_bytes!("plugin.py");
    packed(&manifest, &[("plugin.py", program)]).bytes.to_vec()
}

pub(super) fn by(name: &str) -> Acceptance {
    Acceptance {
        by: name.to_owned(),
        ..Acceptance::default()
    }
}

/// The state that is reported.
pub(super) fn state(installed: &Installed) -> ReportedState {
    installed.status.as_ref().unwrap().state
}

/// The folder that a host keeps for an installation.
pub(super) fn home(data: &Path, id: InstallationId) -> PathBuf {
    data.join("plugins").join(id.to_string())
}
