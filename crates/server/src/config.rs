//! What an operator can choose.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jackfield::runtime::Runtime;
use jackfield::{LogLimits, Policy, RuntimeProvider};

/// Everything that a server can be told. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept that is not kept elsewhere: database, packages, plugins' folders,
    /// keys. Made when it is not there. One server at a time.
    pub data: PathBuf,
    /// Where to listen. Default 127.0.0.1:7411; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The database: `sqlite:…` or `postgres://…`. Default: `jackfield.db` in the data folder.
    pub database: Option<String>,
    /// Where packages are kept: `s3://bucket/prefix` or `file:///folder`. Default: `packages` in the
    /// data folder.
    pub packages: Option<String>,
    /// Options of the package store, by the names that the `AWS_…` variables have, in lower case
    /// (`aws_access_key_id`, `aws_endpoint`, `aws_allow_http`, …). The command line fills in what
    /// its environment has.
    pub packages_options: Vec<(String, String)>,
    /// How plugins and clients reach this server, when that is not the address it listens on:
    /// `https://plugins.example.org`.
    pub public_url: Option<String>,
    /// The application's own API, which plugins are told of with the key that `access_get` gives
    /// them. Default: this server.
    pub application_url: Option<String>,
    /// Where supervised plugins run. Default: here.
    pub runtime_provider: RuntimeProvider,
    /// A place of the embedder's own, instead of that.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// How patient the host is with plugins.
    pub policy: Policy,
    /// How much of the plugins' logs is kept.
    pub log_limits: LogLimits,
    /// Variables for every plugin's environment.
    pub plugin_env: Vec<(String, String)>,
    /// How long everything may take to stop. Default 20 s.
    pub grace: Duration,
    /// How long a blocking request waits for a plugin to become active. Default 5 min.
    pub activation_deadline: Duration,
    /// How many plugins are started at once when the server starts. Default 8.
    pub parallel_activations: usize,
    /// The largest package, bytes. Default 50 MiB.
    pub max_package: u64,
    /// How many versions of a plugin are kept, the one that counts included. Default 5.
    pub keep_versions: usize,
    /// Events.
    pub events: Events,
    /// Where traces and figures go: the base address of an OTLP collector over HTTP,
    /// `http://localhost:4318`. Default: nowhere.
    pub otlp: Option<String>,
    /// Addresses that are private may be downloaded from. For tests, and for installations whose
    /// packages lie in their own network. Default no.
    pub allow_private_downloads: bool,
    /// Another administrator token is made and told, for those who lost theirs. Default no.
    pub new_administrator: bool,
}

/// How long events are kept, and how stubbornly they are delivered.
#[derive(Debug, Clone)]
pub struct Events {
    /// How old an event may become before a plugin that was down misses it. Default 7 days.
    pub max_age: Duration,
    /// How many events are kept. Default 100,000.
    pub max_count: u64,
    /// The delay after the first refusal; doubles from then on. Default 1 s.
    pub retry_delay: Duration,
    /// The longest delay. Default 60 s.
    pub retry_cap: Duration,
    /// After how many refusals an event is parked. Default 5.
    pub park_after: u32,
}

impl Config {
    /// The defaults, over this data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: (Ipv4Addr::LOCALHOST, 7411).into(),
            database: None,
            packages: None,
            packages_options: Vec::new(),
            public_url: None,
            application_url: None,
            runtime_provider: RuntimeProvider::Local,
            runtime: None,
            policy: Policy::default(),
            log_limits: LogLimits::default(),
            plugin_env: Vec::new(),
            grace: Duration::from_secs(20),
            activation_deadline: Duration::from_secs(300),
            parallel_activations: 8,
            max_package: 50 << 20,
            keep_versions: 5,
            events: Events::default(),
            otlp: None,
            allow_private_downloads: false,
            new_administrator: false,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_count: 100_000,
            retry_delay: Duration::from_secs(1),
            retry_cap: Duration::from_secs(60),
            park_after: 5,
        }
    }
}
