//! What the tests stand on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield::wire::methods::EventParams;
use jackfield::{
    ActiveState, Host, HostBuilder, InstallationId, Manifest, Policy, ReportedState, Session, Spec,
    Token,
};
use jackfield_plugin::Plugin;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Events;
use crate::events::Deliveries;
use crate::secret::Key;
use crate::store::{NewRecord, Origin, Publication, Record, Store};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PUBLISHED: &str = "EventThreadPublished";
pub(crate) const DELETED: &str = "EventThreadDeleted";

/// A server without its HTTP.
pub(crate) struct Rig {
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) key: Key,
    pub(crate) deliveries: Deliveries,
    pub(crate) tasks: TaskTracker,
    tracker: TaskTracker,
    gone: CancellationToken,
    _temporary: Option<tempfile::TempDir>,
}

/// An external plugin that is installed and loaded.
pub(crate) struct Installed {
    pub(crate) session: Session,
    pub(crate) configured: watch::Sender<Option<SystemTime>>,
    pub(crate) url: String,
    pub(crate) token: String,
}

/// A plugin that runs in this process.
pub(crate) struct Running {
    task: JoinHandle<()>,
    pub(crate) got: watch::Receiver<Vec<i64>>,
}

/// What a plugin does with an event, by its number and how often it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    Refuse,
    /// It never answers.
    Hang,
}

pub(crate) type Script = Arc<dyn Fn(i64, usize) -> Answer + Send + Sync>;

/// Takes everything.
pub(crate) fn willing() -> Script {
    Arc::new(|_, _| Answer::Take)
}

/// Short delays.
pub(crate) fn quick() -> Events {
    Events {
        retry_delay: Duration::from_millis(5),
        retry_cap: Duration::from_millis(20),
        park_after: 3,
        ..Events::default()
    }
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, what).await;
    done.expect("it comes within a minute")
}

pub(crate) fn manifest(events: &[&str]) -> Value {
    json!({
        "id": "p", "author": "a", "name": "Plugin", "description": "d", "version": "1.0.0",
        "events_consumed": events,
    })
}

impl Rig {
    pub(crate) async fn new(config: Events) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut rig = Self::over(temporary.path(), config).await;
        rig._temporary = Some(temporary);
        rig
    }

    pub(crate) async fn over(folder: &Path, config: Events) -> Self {
        Self::with(folder, config, |builder, _, _| builder).await
    }

    pub(crate) async fn with(
        folder: &Path,
        config: Events,
        with: impl FnOnce(HostBuilder, &Store, &Key) -> HostBuilder,
    ) -> Self {
        let database = format!("sqlite:{}", folder.join("test.db").display());
        let store = Store::open(&database).await.unwrap();
        let key = Key::open(folder).unwrap();
        let builder = Host::builder()
            .data_folder(folder.join("host"))
            .policy(Policy {
                probe: Duration::from_millis(300),
                ..Policy::default()
            });
        let host = with(builder, &store, &key).build().await.unwrap();
        let (tracker, gone) = (TaskTracker::new(), CancellationToken::new());
        let deliveries = Deliveries::new(store.clone(), config, tracker.clone(), gone.clone());
        Self {
            host,
            store,
            key,
            deliveries,
            tasks: TaskTracker::new(),
            tracker,
            gone,
            _temporary: None,
        }
    }

    /// An external plugin: written, loaded, wanted, followed.
    pub(crate) async fn install(&self, manifest: &Value) -> Installed {
        let manifest = Manifest::check_value(manifest).into_result().unwrap();
        let token = Token::external();
        let new = NewRecord {
            id: InstallationId::new(),
            manifest,
            origin: Origin::External {
                token: token.hash(),
                prefix: "sdprt_".to_owned(),
            },
            wanted: ActiveState::Active,
            granted: Vec::new(),
            added_by: "test".to_owned(),
        };
        let record = self.store.insert(new).await.unwrap();
        let installed = self.load(&record, token.reveal()).await;
        self.pass_gate(&installed);
        self.follow(&installed).await;
        installed
    }

    pub(crate) async fn load(&self, record: &Record, token: &str) -> Installed {
        let (hash, _) = record.token.clone().unwrap();
        let spec = Spec::external(record.id, record.manifest.clone(), hash);
        let session = self.host.load(spec).unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        let door = self.host.local_addr().unwrap();
        Installed {
            session,
            configured: watch::Sender::new(None),
            url: format!("ws://{door}/rpc?token={token}"),
            token: token.to_owned(),
        }
    }

    /// Every line is taken for configured, as the registry does it for an empty configuration.
    pub(crate) fn pass_gate(&self, installed: &Installed) {
        let mut status = installed.session.status();
        let configured = installed.configured.clone();
        self.tasks.spawn(async move {
            loop {
                let now = status.borrow_and_update().clone();
                if now.state == ReportedState::Active {
                    configured.send_replace(now.started_at);
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    pub(crate) async fn follow(&self, installed: &Installed) {
        let record = self.record(installed).await;
        let configured = installed.configured.subscribe();
        self.deliveries
            .follow(&record, installed.session.clone(), configured);
    }

    pub(crate) async fn record(&self, installed: &Installed) -> Record {
        let id = installed.session.id();
        self.store.record(id).await.unwrap().unwrap()
    }

    pub(crate) async fn publish(&self, name: &str, numbers: impl IntoIterator<Item = i64>) {
        for n in numbers {
            let payload = json!({"n": n, "text": "a b c"}).to_string();
            let published = self.store.publish(name, &payload, "test", None).await;
            assert!(matches!(published.unwrap(), Publication::New(_)));
            self.deliveries.wake();
        }
    }

    /// Starts a plugin that dials in; it notes the number of every event before it answers.
    pub(crate) fn run(&self, installed: &Installed, script: Script) -> Running {
        self.run_noting(installed, script, watch::Sender::new(Vec::new()))
    }

    pub(crate) fn run_noting(
        &self,
        installed: &Installed,
        script: Script,
        log: watch::Sender<Vec<i64>>,
    ) -> Running {
        let got = log.subscribe();
        let plugin = Plugin::new(&installed.url).on_any_event(move |_host, event: EventParams| {
            let (log, script) = (log.clone(), Arc::clone(&script));
            async move {
                let n = event.payload["n"].as_i64().unwrap();
                log.send_modify(|got| got.push(n));
                let times = log.borrow().iter().filter(|got| **got == n).count();
                match script(n, times) {
                    Answer::Take => Ok(()),
                    Answer::Refuse => Err("not this one".into()),
                    Answer::Hang => std::future::pending().await,
                }
            }
        });
        let task = self.tasks.spawn(async move {
            let ended = plugin.run_until(std::future::pending()).await;
            ended.unwrap();
        });
        Running { task, got }
    }

    /// The same installation, followed behind a gate that the test opens.
    pub(crate) async fn load_again(&self, installed: &Installed) -> Installed {
        let gated = Installed {
            session: installed.session.clone(),
            configured: watch::Sender::new(None),
            url: installed.url.clone(),
            token: installed.token.clone(),
        };
        self.follow(&gated).await;
        gated
    }

    /// Waits until nothing waits.
    pub(crate) async fn settled(&self, installed: &Installed) {
        let id = installed.session.id();
        within(async {
            while self.deliveries.lag(id).await.waiting > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Deliveries end, and all that belongs to them, while the plugins go on.
    pub(crate) async fn end_deliveries(&self) {
        self.gone.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// As the server ends.
    pub(crate) async fn stop(self) {
        self.stop_but(|_| async {}).await;
    }

    /// The same, with a last look into the database.
    pub(crate) async fn stop_but<F: Future<Output = ()>>(self, look: impl FnOnce(Store) -> F) {
        self.gone.cancel();
        self.host.shutdown(Duration::from_secs(5)).await;
        self.tracker.close();
        within(self.tracker.wait()).await;
        look(self.store.clone()).await;
        self.store.close().await;
    }
}

impl Running {
    /// Waits until it has had so many.
    pub(crate) async fn until(&mut self, count: usize) -> Vec<i64> {
        let got = within(self.got.wait_for(|got| got.len() >= count)).await;
        got.unwrap().clone()
    }

    /// Cuts the line, without a word.
    pub(crate) async fn cut(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}
