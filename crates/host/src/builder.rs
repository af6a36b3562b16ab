//! How a host comes to be.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jackfield_rpc::{Call, Heart, Methods};
use jackfield_wire::{Fault, Method, RuntimeProvider};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::Doors;
use crate::host::{Host, Inner};
use crate::listen;
use crate::log::LogLimits;
use crate::patience::Patience;
use crate::policy::Policy;
use crate::runtime::{LocalRuntime, Runtime};
use crate::session::Session;

/// Makes a [`Host`]. By default: supervised plugins run locally, the plugins' door listens on a
/// free port of 127.0.0.1, plugins may call nothing but what the contract has built in.
pub struct HostBuilder {
    data: PathBuf,
    provider: RuntimeProvider,
    runtime: Option<Arc<dyn Runtime>>,
    policy: Policy,
    log_limits: LogLimits,
    env: BTreeMap<String, String>,
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    methods: Methods<Session>,
}

/// Why a host could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}", path.display())]
    Data {
        /// The folder, or what in it is in the way.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another host uses the data folder.
    #[error("the data folder {} is in use by another host{}; stop it, or choose another folder", path.display(), by(*pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that uses it, where it says so.
        pid: Option<u32>,
    },
    /// The plugins' door cannot listen there.
    #[error("cannot listen on {address} for plugins")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime is not in this program.
    #[error(
        "the runtime `{0}` is not built into this program: hand it to `HostBuilder::runtime`, or use `local` or `none`"
    )]
    NoRuntime(RuntimeProvider),
    /// The address under which plugins find the host makes no sense.
    #[error(
        "{0:?} is not an address for plugins to dial: http, https, ws or wss with a host is expected"
    )]
    PublicUrl(String),
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What answers a call of a plugin: an `async fn(Call<Session>, M::Params) -> Result<M::Output,
/// Fault>`, or a closure like it whose parameters are typed.
pub trait Handler<M: Method>: Send + Sync + 'static {
    /// Answers one call.
    fn handle(
        &self,
        call: Call<Session>,
        params: M::Params,
    ) -> impl Future<Output = Result<M::Output, Fault>> + Send + 'static + use<Self, M>;
}

impl<M, F, Answer> Handler<M> for F
where
    M: Method,
    F: Fn(Call<Session>, M::Params) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<M::Output, Fault>> + Send + 'static,
{
    fn handle(
        &self,
        call: Call<Session>,
        params: M::Params,
    ) -> impl Future<Output = Result<M::Output, Fault>> + Send + 'static + use<M, F, Answer> {
        self(call, params)
    }
}

impl HostBuilder {
    pub(crate) fn new() -> Self {
        Self {
            data: PathBuf::from("jackfield-data"),
            provider: RuntimeProvider::default(),
            runtime: None,
            policy: Policy::default(),
            log_limits: LogLimits::default(),
            env: BTreeMap::new(),
            listen: None,
            public_url: None,
            methods: Methods::new(),
        }
    }

    /// The folder for packages, state and logs; made if it is not there. One host at a time uses
    /// it. Default: `jackfield-data` in the working folder.
    #[must_use]
    pub fn data_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = folder.into();
        self
    }

    /// Where supervised plugins live. Default: [`RuntimeProvider::Local`].
    #[must_use]
    pub fn runtime_provider(mut self, provider: RuntimeProvider) -> Self {
        self.provider = provider;
        self
    }

    /// A runtime from another crate, instead of one of the built-in ones.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.provider = runtime.provider();
        self.runtime = Some(runtime);
        self
    }

    /// Deadlines, delays and limits. Default: [`Policy::default`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How much of each plugin's output is kept. Default: [`LogLimits::default`].
    #[must_use]
    pub fn log_limits(mut self, limits: LogLimits) -> Self {
        self.log_limits = limits;
        self
    }

    /// Adds a variable to the environment of every supervised plugin. Of the host's own
    /// environment they get [`ALLOWED`](jackfield_wire::env::ALLOWED) and nothing else.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Where the plugins' door listens. Default: a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// The address under which supervised plugins find the host, where that is not where it
    /// listens: behind a proxy, or when the application mounts the door in a server of its own
    /// (then, without [`HostBuilder::listen`], the host does not listen at all). `https` becomes
    /// `wss`, the path is replaced by `/rpc`.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Registers a method that plugins may call. The handler is told which session calls; it runs
    /// beside all others, and a panic in it is an error of that call alone. What is not
    /// registered is answered with -32601.
    #[must_use]
    pub fn method<M: Method>(mut self, handler: impl Handler<M>) -> Self {
        self.methods = self
            .methods
            .method::<M, _, _>(move |call, params| handler.handle(call, params));
        self
    }

    /// Registers methods from a table, raw ones among them.
    #[must_use]
    pub fn methods(mut self, extend: impl FnOnce(Methods<Session>) -> Methods<Session>) -> Self {
        self.methods = extend(self.methods);
        self
    }

    /// Takes the data folder, ends what an earlier host left behind there, binds the door and
    /// begins to listen.
    ///
    /// # Errors
    /// When the folder cannot be used or is in use, when the address is taken, when the runtime
    /// is not there.
    pub async fn build(self) -> Result<Host, BuildError> {
        if self.runtime.is_none() && self.provider == RuntimeProvider::Sprites {
            return Err(BuildError::NoRuntime(self.provider));
        }
        let data = {
            let data = self.data.clone();
            tokio::task::spawn_blocking(move || take_folder(&data)).await
        };
        let (data, lock) =
            data.unwrap_or_else(|panic| Err(Self::io(&self.data, io::Error::other(panic))))?;
        let runtime: Option<Arc<dyn Runtime>> = match (self.runtime, self.provider) {
            (Some(runtime), _) => Some(runtime),
            (None, RuntimeProvider::Local) => {
                let (folder, keep) = (data.clone(), self.policy.keep_packages);
                let local = tokio::task::spawn_blocking(move || LocalRuntime::new(folder, keep))
                    .await
                    .unwrap_or_else(|panic| Err(io::Error::other(panic)));
                Some(Arc::new(local.map_err(|error| Self::io(&data, error))?))
            }
            (None, RuntimeProvider::None | RuntimeProvider::Sprites) => None,
        };
        let local = runtime.as_ref().map(|runtime| runtime.provider());
        let prepared = if local == Some(RuntimeProvider::Local) {
            // Where that fails the first launch tries again, and says why.
            tokio::task::spawn_blocking(|| jackfield_process::prepare().ok())
                .await
                .unwrap_or_default()
        } else {
            None
        };
        let listener = match (self.listen, &self.public_url) {
            (None, Some(_)) => None,
            (address, _) => {
                let address = address.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
                let failed = |source| BuildError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                Some((listener, bound))
            }
        };
        let bound = listener.as_ref().map(|(_, bound)| *bound);
        let rpc_url = match (&self.public_url, bound) {
            (Some(url), _) => {
                listen::rpc_url(url).ok_or_else(|| BuildError::PublicUrl(without_secrets(url)))?
            }
            (None, Some(bound)) => format!("ws://{}/rpc", listen::dialable(bound)),
            (None, None) => unreachable!("without a public address the host listens"),
        };
        let (tracker, gone) = (TaskTracker::new(), CancellationToken::new());
        let patience = Patience::new(self.policy.call_deadline, tracker.clone(), gone.clone());
        let host = Host {
            inner: Arc::new(Inner {
                data,
                runtime,
                policy: Arc::new(self.policy),
                log_limits: self.log_limits,
                env: self.env,
                rpc_url,
                bound,
                methods: Arc::new(self.methods),
                doors: Arc::new(Doors::default()),
                sessions: Mutex::default(),
                loads: Mutex::default(),
                tracker,
                heart: Heart::new(),
                patience,
                gone,
                prepared: Mutex::new(prepared),
                _lock: lock,
            }),
        };
        if let Some((listener, _)) = listener {
            host.serve(listener);
        }
        Ok(host)
    }

    fn io(path: &Path, source: io::Error) -> BuildError {
        BuildError::Data {
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes the folder and locks it. The lock goes with the process, however that ends.
fn take_folder(folder: &Path) -> Result<(PathBuf, fs::File), BuildError> {
    let failed = |source| HostBuilder::io(folder, source);
    fs::create_dir_all(folder).map_err(failed)?;
    // Plugins get absolute paths: they may change their working folder.
    let folder = folder.canonicalize().map_err(failed)?;
    if folder.to_str().is_none() {
        let reason = "its path is not UTF-8, and plugins are told of it as text";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    let path = folder.join("lock");
    let mut lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {
            use std::io::Write as _;
            lock.set_len(0).map_err(failed)?;
            writeln!(lock, "{}", std::process::id()).map_err(failed)?;
            Ok((folder, lock))
        }
        Err(fs::TryLockError::WouldBlock) => Err(BuildError::InUse {
            path: folder,
            pid: fs::read_to_string(&path)
                .ok()
                .and_then(|pid| pid.trim().parse().ok()),
        }),
        Err(fs::TryLockError::Error(source)) => Err(HostBuilder::io(&path, source)),
    }
}

/// An address for an error message: what stands before an `@` is nobody's business.
fn without_secrets(url: &str) -> String {
    url.rsplit_once('@')
        .map_or_else(|| url.to_owned(), |(_, rest)| format!("…@{rest}"))
}

impl fmt::Debug for HostBuilder {
    /// Without the values of the environment: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("data", &self.data)
            .field("provider", &self.provider)
            .field("policy", &self.policy)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("data", &self.data)
            .field("runtime", &self.runtime)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
