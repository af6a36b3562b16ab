//! The server: started, run, drained.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield::{BuildError, Host, InstallationId, Token};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::{self, Application};
use crate::config::Config;
use crate::events::Deliveries;
use crate::listen::Front;
use crate::observe;
use crate::packages::{Packages, PackagesError};
use crate::registry::{Jobs, Parts, Registry};
use crate::routes::{self, App, PREFIX};
use crate::secret::{self, Key};
use crate::store::{ApiToken, Hold, OpenError, Permission, Store, StoreError};

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    administrator: Option<String>,
    grace: Duration,
    app: App,
    front: Front,
    /// Everything that is not a connection.
    tracker: TaskTracker,
    /// Cancelled when another server has taken the database.
    lost: CancellationToken,
    /// Until the last word is written.
    hold: Arc<Hold>,
    /// Held for its drop: whoever does not run the server to its end leaves nothing behind either.
    ends: Ends,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Plugins that did not stop within the grace and were killed.
    pub killed: Vec<InstallationId>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder, or the key in it, cannot be used.
    #[error("cannot use {}", path.display())]
    Data {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database is a newer server's.
    #[error(
        "the database has schema {found}, and this server knows schemas up to {known}: run the newer server again, or restore a backup"
    )]
    NewerDatabase {
        /// The schema that is there.
        found: i64,
        /// The newest one that is known.
        known: i64,
    },
    /// The database cannot be opened or brought up to date.
    #[error("the database cannot be used")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store of packages cannot be used.
    #[error("the store of packages cannot be used")]
    Packages(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The host cannot be made: the data folder is in use by another, for one.
    #[error(transparent)]
    Host(#[from] BuildError),
}

/// Cancelled in this order at a drain, all at once when the server is dropped.
#[derive(Debug, Default)]
struct Ends {
    /// No new requests, streams end.
    draining: CancellationToken,
    /// Tasks end.
    gone: CancellationToken,
}

/// Time for what has to be written at the end, beyond the grace.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Time for a plugin's last lines and the end of its session, beyond its own grace.
const AFTER_STOP: Duration = Duration::from_secs(2);
/// The name of the first token.
const ADMINISTRATOR: &str = "administrator";

impl Server {
    /// Binds, opens the registry and the host, listens, and begins to activate what is wanted.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let ends = Ends::default();
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let base = config
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", dialable(address)));

        let key = open_key(&config.data)?;
        let url = database_url(&config);
        let store = Store::open(&url).await.map_err(|error| match error {
            OpenError::Newer { found, known } => StartError::NewerDatabase { found, known },
            other => StartError::Database(other.into()),
        })?;
        let hold = Hold::take(&url).await;
        let hold = Arc::new(hold.map_err(|error| StartError::Database(error.into()))?);
        let packages = open_packages(&config).await?;

        let application = Application::new(store.clone(), key.clone(), config.policy.max_message);
        let host = build_host(&config, &base, &store, &key, &application).await?;
        let administrator = administrator(&store, config.new_administrator).await?;
        // The host has the data folder to itself now, and nobody tries anything out yet.
        let trials = store.forget_trials().await;
        trials.map_err(|error| StartError::Database(error.into()))?;

        let tracker = TaskTracker::new();
        let deliveries = Deliveries::new(
            store.clone(),
            config.events.clone(),
            tracker.clone(),
            ends.gone.clone(),
        );
        let grace = config.grace;
        let registry = Registry::new(Parts {
            config,
            host,
            store,
            packages,
            key,
            deliveries,
            jobs: Jobs::default(),
            draining: ends.draining.clone(),
            tracker: tracker.clone(),
            gone: ends.gone.clone(),
        });

        let app = App::new(registry, application, ends.draining.clone());
        let router = routes::router(&app);
        let front = Front::new(
            app.clone(),
            router,
            ends.draining.clone(),
            ends.gone.child_token(),
        );
        tracker.spawn(front.clone().accept(listener));
        let lost = CancellationToken::new();
        tracker.spawn({
            let (gone, lost, hold) = (ends.gone.clone(), lost.clone(), Arc::clone(&hold));
            async move {
                if gone.run_until_cancelled(hold.keep()).await.is_some() {
                    lost.cancel();
                }
            }
        });
        observe::install();
        let registry = app.registry().clone();
        tracker.spawn(observe::upkeep(registry, ends.gone.clone()));
        tracker.spawn({
            let (app, gone) = (app.clone(), ends.gone.clone());
            async move {
                gone.run_until_cancelled(resume(&app)).await;
            }
        });
        tracing::info!(%address, "listening");
        Ok(Self {
            address,
            administrator,
            grace,
            app,
            front,
            tracker,
            lost,
            hold,
            ends,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An administrator token that was made at this start, to be told once: at the first start, and
    /// when [`Config::new_administrator`] asks for one.
    #[must_use]
    pub fn administrator_token(&self) -> Option<&str> {
        self.administrator.as_deref()
    }

    /// Serves until `stop` is ready, or until another server has taken the database; then drains: no new
    /// requests, those under way finished, plugins stopped, events' cursors written, all within
    /// [`Config::grace`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Ended {
        tokio::select! {
            () = stop => {}
            () = self.lost.cancelled() => {}
        }
        let deadline = Instant::now() + self.grace;
        tracing::info!(grace = ?self.grace, "draining");
        self.ends.draining.cancel();
        // Requests first, which may wait for a plugin. Events too: what is acknowledged now is not
        // delivered again after the restart.
        let policy = &self.app.config().policy;
        let requests = deadline - reserve(self.grace, policy.stop_grace);
        let events = tokio::time::timeout_at(deadline, self.app.deliveries().drain());
        let ((), events) = tokio::join!(self.front.quiet(requests), events);
        if events.is_err() {
            tracing::warn!("deliveries of events do not end");
        }
        // A request that is still there may wait for what ends now, and a plugin may be asking for
        // something before it goes.
        let host = &self.app.registry().parts().host;
        let left = deadline.saturating_duration_since(Instant::now());
        let (shutdown, ()) = tokio::join!(host.shutdown(left), self.front.drained(deadline));
        for id in &shutdown.killed {
            tracing::warn!(%id, "a plugin did not stop within the grace and was killed");
        }
        self.ends.gone.cancel();
        self.tracker.close();
        if tokio::time::timeout(LAST_WORDS, self.tracker.wait())
            .await
            .is_err()
        {
            tracing::error!(tasks = self.tracker.len(), "tasks of the server do not end");
        }
        let closed = tokio::time::timeout(LAST_WORDS, self.app.store().close()).await;
        if closed.is_err() {
            tracing::error!("the database does not let itself be closed");
        }
        drop(self.hold);
        Ended {
            killed: shutdown.killed,
        }
    }
}

/// How much of the grace belongs to the plugins, whatever requests are under way.
fn reserve(grace: Duration, stop_grace: Duration) -> Duration {
    stop_grace.saturating_add(AFTER_STOP).min(grace / 2)
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.draining.cancel();
        self.gone.cancel();
    }
}

/// Loads what is installed. While the database is away it is tried again: the server says that it
/// is not ready until then.
async fn resume(app: &App) {
    let mut delay = Duration::from_millis(500);
    while let Err(error) = app.registry().resume().await {
        tracing::error!(%error, "what is installed cannot be loaded; trying again");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(Duration::from_secs(15));
    }
    app.set_loaded();
    tracing::info!("every plugin is loaded");
}

fn open_key(data: &Path) -> Result<Key, StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Data { path, source }
    };
    std::fs::create_dir_all(data).map_err(failed(data))?;
    Key::open(data).map_err(failed(&data.join("key")))
}

fn database_url(config: &Config) -> String {
    config.database.clone().unwrap_or_else(|| {
        let path = config.data.join("jackfield.db");
        format!("sqlite:{}", path.display())
    })
}

async fn open_packages(config: &Config) -> Result<Packages, StartError> {
    let url = config.packages.as_deref();
    let opened = Packages::open(url, &config.packages_options, &config.data).await;
    opened.map_err(|error: PackagesError| StartError::Packages(error.into()))
}

async fn build_host(
    config: &Config,
    base: &str,
    store: &Store,
    key: &Key,
    application: &Application,
) -> Result<Host, BuildError> {
    let api = config.application_url.clone();
    let api = api.unwrap_or_else(|| base.to_owned());
    let mut builder = Host::builder()
        .data_folder(&config.data)
        .runtime_provider(config.runtime_provider)
        .policy(config.policy.clone())
        .log_limits(config.log_limits)
        .public_url(base)
        .methods(|table| {
            let (store, key) = (store.clone(), key.clone());
            calls::methods(table, store, key, application.clone(), api)
        });
    if let Some(runtime) = &config.runtime {
        builder = builder.runtime(runtime.clone());
    }
    for (name, value) in &config.plugin_env {
        builder = builder.env(name, value);
    }
    builder.build().await
}

/// Makes an administrator token where there is no token at all, or where one is asked for.
async fn administrator(store: &Store, wanted: bool) -> Result<Option<String>, StartError> {
    let failed = |error: StoreError| StartError::Database(error.into());
    if !wanted && !store.tokens().await.map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let token = secret::new_api_token();
    let row = ApiToken {
        id: InstallationId::new().to_string(),
        name: ADMINISTRATOR.to_owned(),
        prefix: token.chars().take(PREFIX).collect(),
        permissions: vec![Permission::Admin],
        created_at: SystemTime::now(),
        created_by: "server".to_owned(),
        expires_at: None,
        used_at: None,
    };
    let hash = Token::from_text(token.as_str()).hash();
    store.add_token(&row, hash).await.map_err(failed)?;
    let noted = store.audit("server", "token.create", &row.id, Ok(ADMINISTRATOR));
    noted.await.map_err(failed)?;
    Ok(Some(token))
}

/// Where a program on this machine reaches a listener: one that listens everywhere is dialed on the
/// loopback.
fn dialable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}
