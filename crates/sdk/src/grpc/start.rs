//! From the command line to the exit code.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use connectrpc::{CompressionRegistry, ConnectRpcService, DeadlinePolicy, GzipProvider, Limits};
use connectrpc_reflection::{ReflectionError, Reflector};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::config::{self, Told, Untold};
use super::door::{Door, Open};
use super::guard::Guard;
use super::health::{self, Stage};
use super::listen::{self, Listener};
use super::log::{self, Level};
use super::parent;
use super::serve;
use super::services::Services;
use super::stopping::Stopping;
use super::token::Token;
use crate::stop::Signals;

const EXIT_FAILED: u8 = 1;
const EXIT_FLAGS: u8 = 80;
/// The same as hosts take from plugins unless told otherwise.
const MESSAGE: usize = 64 << 20;
const GRACE: Duration = Duration::from_secs(5);
/// The five bytes in front of each message.
const ENVELOPE: usize = 5;

/// Runs a plugin: reads its configuration, constructs it, serves what it registers, until a signal or the end of its
/// parent. Give what it returns back from `main`.
///
/// The same as `Start::new(name).run(constructor, register)`, which see.
pub fn start<C, P, E>(
    name: impl Into<String>,
    constructor: impl AsyncFnOnce(C) -> Result<P, E>,
    register: impl FnOnce(Arc<P>, Services) -> Services,
) -> ExitCode
where
    C: clap::Args,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    Start::new(name).run(constructor, register)
}

/// A plugin about to be run, with its settings.
#[derive(Debug)]
#[must_use = "nothing happens before `run`"]
pub struct Start {
    name: String,
    version: Option<String>,
    descriptors: Vec<Cow<'static, [u8]>>,
    grace: Duration,
    max_message_size: usize,
    gzip: bool,
    stopping: Stopping,
}

/// Why a plugin ended that nobody asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "the log level {0:?} is none of default, trace, debug, info, warn and error (in LOG_LEVEL or --log-level)"
    )]
    Level(String),
    #[error("start makes a runtime of its own: call it from a `main` that is not async")]
    Runtime,
    #[error("no runtime can be made")]
    NoRuntime(#[source] io::Error),
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
    #[error("cannot listen on {at}")]
    Listen {
        at: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Constructor(Box<dyn Error + Send + Sync>),
    #[error("the constructor panicked: {0}")]
    Panicked(String),
    #[error("registering panicked: {0}")]
    Register(String),
    #[error("two handlers were given for the path {0}")]
    Twice(String),
    #[error("the descriptors for reflection cannot be read")]
    Descriptors(#[source] ReflectionError),
}

impl Start {
    /// Under this name, which is the scope of its log records and stands in its answers while it starts.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            descriptors: Vec::new(),
            grace: GRACE,
            max_message_size: MESSAGE,
            gzip: true,
            stopping: Stopping::default(),
        }
    }

    /// What `--version` says: `env!("CARGO_PKG_VERSION")`. A configuration with `#[command(version)]` does the same.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds a compiled `FileDescriptorSet` for reflection, with all that it imports: protox's `encode_file_descriptor_set`,
    /// `protoc --include_imports --descriptor_set_out`. Several may be added. Without any, reflection lists the
    /// services, but cannot describe them.
    pub fn descriptors(mut self, set: impl Into<Cow<'static, [u8]>>) -> Self {
        self.descriptors.push(set.into());
        self
    }

    /// How long calls in flight may take to end once the plugin was asked to. 5 s unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The most bytes that one message of a request may have, unpacked. Larger ones are answered RESOURCE_EXHAUSTED.
    /// 64 MiB unless set.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Whether messages may be packed with gzip, where the other side can: they may unless set otherwise.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Tells when the plugin is asked to end; for its own tasks and endless streams.
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// Reads the configuration `C`, constructs the plugin from it and serves what `register` adds, until a signal.
    ///
    /// The constructor runs beside the server, which answers `Ping` with `not_ready` for as long. It may block. Its
    /// failure, and a panic in it, end the program with exit code 1 and a message on stderr, causes included. Use `()` for
    /// a plugin without a configuration of its own.
    ///
    /// Flags and environment that every plugin has: `--bind` (`FTL_BIND`), `--log-level` (`LOG_LEVEL`; `info` unless
    /// set, which is also what `default` means), and `--log-json`, `--log-timestamps`, `--log-color`, which are
    /// accepted and change nothing. A configuration must not define them again.
    ///
    /// Not within a runtime: it makes its own, with a thread for each core.
    pub fn run<C, P, E>(
        self,
        constructor: impl AsyncFnOnce(C) -> Result<P, E>,
        register: impl FnOnce(Arc<P>, Services) -> Services,
    ) -> ExitCode
    where
        C: clap::Args,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        parent::watch();
        let inherited = listen::inherited();
        let told = config::read::<C>(
            self.version.clone(),
            inherited.is_some(),
            std::env::args_os(),
        );
        let told = match told {
            Ok(told) => told,
            Err(Untold::Asked(help)) => {
                // Whoever does not read it has not asked.
                drop(help.print());
                return ExitCode::SUCCESS;
            }
            Err(Untold::Wrong(why)) => return failed(&why, EXIT_FLAGS),
        };
        match self.within_runtime(told, inherited, constructor, register) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failed(&log::with_causes(&failure), EXIT_FAILED),
        }
    }

    fn within_runtime<C, P, E>(
        self,
        told: Told<C>,
        inherited: Option<std::os::fd::OwnedFd>,
        constructor: impl AsyncFnOnce(C) -> Result<P, E>,
        register: impl FnOnce(Arc<P>, Services) -> Services,
    ) -> Result<(), Failure>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let level = Level::read(&told.level).ok_or_else(|| Failure::Level(told.level.clone()))?;
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(Failure::Runtime);
        }
        log::install(&self.name, level);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::NoRuntime)?;
        let ended = runtime.block_on(async {
            // Before anything else is to be seen of the plugin.
            let signals = Signals::listen().map_err(Failure::Signals)?;
            let listener = match (inherited, &told.bind) {
                (Some(socket), _) => Listener::over(socket).map_err(|source| Failure::Listen {
                    at: "the inherited socket".to_owned(),
                    source,
                })?,
                (None, Some(bind)) => bind.listen().await.map_err(|source| Failure::Listen {
                    at: bind.to_string(),
                    source,
                })?,
                (None, None) => unreachable!("the flags say where, or a socket was inherited"),
            };
            self.serve(listener, signals, told.own, constructor, register)
                .await
        });
        // What the plugin's code blocks threads with is not waited for.
        runtime.shutdown_background();
        ended
    }

    async fn serve<C, P, E>(
        self,
        listener: Listener,
        signals: Signals,
        config: C,
        constructor: impl AsyncFnOnce(C) -> Result<P, E>,
        register: impl FnOnce(Arc<P>, Services) -> Services,
    ) -> Result<(), Failure>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        tracing::debug!(at = %listener, "Listening");
        let (stage, stages) = watch::channel(Stage::Starting);
        let door = Arc::new(Door::new(&self.name, Token::from_env(), stages.clone()));
        let tasks = TaskTracker::new();
        // It ends when stopping, which `drained` waits for.
        tasks.spawn(serve::accept(
            listener,
            door.clone(),
            self.stopping.clone(),
            tasks.clone(),
        ));
        // On a task of its own: a constructor that blocks must not keep signals from being heard.
        TaskTracker::new().spawn(on_signals(signals, self.stopping.clone(), stages.clone()));

        let plugin = AssertUnwindSafe(constructor(config))
            .catch_unwind()
            .await
            .map_err(|panic| Failure::Panicked(log::panic_message(&*panic)))?
            .map_err(|error| Failure::Constructor(error.into()))?;
        let services = std::panic::catch_unwind(AssertUnwindSafe(|| {
            register(Arc::new(plugin), Services::default())
        }))
        .map_err(|panic| Failure::Register(log::panic_message(&*panic)))?;
        if let Some(path) = services.twice.first() {
            return Err(Failure::Twice(path.clone()));
        }
        #[cfg(feature = "profiling")]
        let services = {
            let mut services = services;
            if door.is_guarded() {
                super::profile::mount(&mut services.paths, &self.stopping);
            }
            services
        };
        let names: Arc<[String]> = services.names().into();
        door.open(self.opened(services, &names, stages.clone())?);
        stage.send_replace(Stage::Ready(names));
        tracing::debug!("Ready");

        self.stopping.requested().await;
        stage.send_replace(Stage::Draining);
        tasks.close();
        if tokio::time::timeout(self.grace, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                grace = ?self.grace,
                "Calls were still in flight when the grace was over; they are cut off"
            );
        }
        Ok(())
    }

    fn opened(
        &self,
        services: Services,
        names: &[String],
        stages: watch::Receiver<Stage>,
    ) -> Result<Open, Failure> {
        let mut reflector =
            Reflector::from_descriptor_set_bytes(&[]).map_err(Failure::Descriptors)?;
        for set in &self.descriptors {
            reflector
                .add_descriptor_set_bytes(set)
                .map_err(Failure::Descriptors)?;
        }
        let router = health::add(services.router, stages);
        let router = connectrpc_reflection::install(router, reflector.with_services(names));
        let compression = if self.gzip {
            CompressionRegistry::new().register(GzipProvider::default())
        } else {
            CompressionRegistry::new()
        };
        let limits = Limits::default()
            .with_max_message_size(self.max_message_size)
            .with_max_request_body_size(self.max_message_size.saturating_add(ENVELOPE));
        let mut rpc = ConnectRpcService::new(Guard(router))
            .with_limits(limits)
            .with_compression(compression)
            .with_deadline_policy(DeadlinePolicy::new().with_enforce_on_streams(true));
        for interceptor in services.interceptors {
            rpc = rpc.with_interceptor_arc(interceptor);
        }
        Ok(Open {
            rpc,
            paths: services.paths,
        })
    }
}

/// The first asks to stop; the second does not ask. Before the plugin is ready there is nothing to be drained.
async fn on_signals(mut signals: Signals, stopping: Stopping, stages: watch::Receiver<Stage>) {
    signals.received().await;
    if *stages.borrow() == Stage::Starting {
        std::process::exit(0);
    }
    tracing::debug!("Asked to end by a signal");
    stopping.request();
    signals.received().await;
    std::process::exit(0);
}

/// Says why, as plain text, which hosts log as an error.
fn failed(why: &str, code: u8) -> ExitCode {
    log::write_line(&format!("{}: error: {why}", config::program()));
    ExitCode::from(code)
}
