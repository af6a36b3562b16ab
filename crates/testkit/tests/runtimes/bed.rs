//! A host with its place, and looking into that place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jackfield::{HostBuilder, InstallationId, Policy, Session};
use jackfield_sprites::{SpritesRuntime, Timing};
use jackfield_testkit::sprites::{Service, Settings};
use jackfield_testkit::{TestHost, alive_with, bench_host, eventually, quick};

pub(crate) const RIG: &str = env!("CARGO_BIN_EXE_rig");

/// Where plugins live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Local,
    Sprites,
}

/// A host over a place.
pub(crate) struct Bed {
    pub(crate) host: TestHost,
    pub(crate) service: Option<Service>,
    pub(crate) runtime: Option<Arc<SpritesRuntime>>,
}

impl Place {
    pub(crate) async fn bed(self) -> Bed {
        self.bed_with(|policy| policy).await
    }

    pub(crate) async fn bed_with(self, policy: impl FnOnce(Policy) -> Policy) -> Bed {
        let policy = policy(quick());
        match self {
            Self::Local => Bed {
                host: bench_host(|builder| builder.policy(policy)).await,
                service: None,
                runtime: None,
            },
            Self::Sprites => remote(policy).await,
        }
    }
}

/// A host whose plugins live in the stand-in of the service.
pub(crate) async fn remote(policy: Policy) -> Bed {
    let service = Service::with(Settings {
        after_disconnect: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    let runtime = runtime(&service);
    let set_up = |builder: HostBuilder| builder.policy(policy).runtime(Arc::clone(&runtime) as _);
    let host = bench_host(set_up).await;
    Bed {
        host,
        service: Some(service),
        runtime: Some(runtime),
    }
}

/// A runtime over the service, in a hurry.
pub(crate) fn runtime(service: &Service) -> Arc<SpritesRuntime> {
    let mut timing = Timing::default();
    timing.ping = Duration::from_millis(200);
    timing.silence = Duration::from_millis(700);
    timing.check = Duration::from_millis(500);
    timing.search = Duration::from_secs(3);
    timing.orphaned = Duration::from_secs(5);
    timing.kill = Duration::from_secs(5);
    let path = std::env::var("PATH").unwrap_or_default();
    let runtime = SpritesRuntime::builder(service.api_key())
        .base_url(service.base_url())
        // The processes are this machine's own.
        .env("PATH", path)
        .timing(timing)
        .build();
    Arc::new(runtime.expect("a runtime"))
}

impl Bed {
    /// Where the plugin's own folder really is.
    pub(crate) fn state_folder(&self, id: InstallationId) -> PathBuf {
        match (&self.service, &self.runtime) {
            (Some(service), Some(runtime)) => {
                let sprite = service.folder(&runtime.sprite_name(id));
                sprite.join("home/sprite/jackfield/state")
            }
            _ => self.host.folder().join(format!("plugins/{id}/state")),
        }
    }

    /// Waits until no process of the plugin is left, wherever it lives.
    pub(crate) async fn nothing_runs(&self, session: &Session) {
        let id = session.id().to_string();
        eventually(Duration::from_secs(10), "nothing of it runs", || {
            alive_with(&id).is_empty()
        })
        .await;
    }

    /// What it wrote into a file of its state folder.
    pub(crate) fn state(&self, session: &Session, file: &str) -> Option<String> {
        let folder = self.state_folder(session.id());
        std::fs::read_to_string(Path::new(&folder).join(file)).ok()
    }
}
