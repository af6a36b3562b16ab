//! What to spawn, and how.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jackfield_process::Signal;
use jackfield_wire::{Level, env};

use crate::client::PluginClient;
use crate::endpoint::{KeepAlive, Settings};
use crate::error::SpawnError;
use crate::plugin::Plugin;
use crate::record::Record;
use crate::start;

pub(crate) type Sink = Arc<dyn Fn(Record) + Send + Sync>;

/// A plugin to spawn: FTL's `plugin.Spawn`, with its parameters and options as methods.
#[derive(Clone)]
#[must_use = "nothing runs before `spawn`"]
pub struct Spawn {
    pub(crate) name: String,
    pub(crate) module: String,
    pub(crate) executable: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) allowed: Vec<String>,
    pub(crate) default_level: Option<Level>,
    pub(crate) log_level: Level,
    pub(crate) start_timeout: Duration,
    pub(crate) working_folder: bool,
    pub(crate) stop_signal: Signal,
    pub(crate) grace: Duration,
    pub(crate) settings: Settings,
    pub(crate) sink: Option<Sink>,
}

impl Spawn {
    /// A plugin of this name (for logs: the scope of its records) and executable: a path, or a name on the `PATH`.
    /// A relative path with a slash starts at the [`folder`](Self::folder).
    pub fn new(name: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            module: String::new(),
            executable: executable.into(),
            folder: PathBuf::from("."),
            args: Vec::new(),
            env: Vec::new(),
            allowed: env::ALLOWED.map(str::to_owned).to_vec(),
            default_level: None,
            log_level: Level::Info,
            start_timeout: Duration::from_secs(30),
            working_folder: true,
            stop_signal: Signal::Interrupt,
            grace: Duration::from_secs(10),
            settings: Settings::default(),
            sink: None,
        }
    }

    /// The module that the plugin works for: stands in its records. Default: empty.
    pub fn module(mut self, module: impl Into<String>) -> Self {
        self.module = module.into();
        self
    }

    /// The folder to run in. Relative to the current folder of this process, which is also the default.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// One more argument. FTL passes none.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the plugin's environment; the last one counts. Stronger than everything else, `FTL_BIND` and
    /// `LOG_LEVEL` included: whoever sets `FTL_BIND` must know that the plugin is waited for where it was before.
    /// FTL's `WithEnvars`.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets more variables.
    pub fn envs<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        envs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let envs = envs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        self.env.extend(envs);
        self
    }

    /// Which variables of this process the plugin gets, too, a `*` at the end standing for any ending.
    /// Default: [`jackfield_wire::env::ALLOWED`]. FTL gives all: `["*"]`.
    pub fn inherit_env<I: IntoIterator<Item: Into<String>>>(mut self, allow: I) -> Self {
        self.allowed = allow.into_iter().map(Into::into).collect();
        self
    }

    /// The level of lines that are not JSON, of both outputs. Default: [`Level::Error`] for standard error,
    /// [`Level::Info`] for standard output. JSON lines say theirs, or are [`Level::Info`].
    pub fn default_level(mut self, level: Level) -> Self {
        self.default_level = Some(level);
        self
    }

    /// How much the host logs; default [`Level::Info`]. The plugin is told `LOG_LEVEL=DEBUG` for all but
    /// [`Level::Trace`], since records are filtered where they arrive.
    pub fn log_level(mut self, level: Level) -> Self {
        self.log_level = level;
        self
    }

    /// How long the plugin may take until it is ready. Default: 30 s. FTL's `WithStartTimeout`.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Makes no folder `.ftl` in the folder, and nothing in it: for a file system that is read-only. `FTL_WORKING_DIR`
    /// is set all the same. FTL's `WithNoWorkingDir`.
    pub fn no_working_folder(mut self) -> Self {
        self.working_folder = false;
        self
    }

    /// How long [`Plugin::stop`] lets the plugin finish what it does, from the signal to the kill. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The signal by which [`Plugin::stop`] begins. Default: [`Signal::Interrupt`], which build tools pass on to their
    /// children where they do not pass on a terminate. Goes to the plugin's whole process group.
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// The longest message, in bytes: [`Settings::max_message_size`]. Default: 64 MiB.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.settings.max_message_size = bytes;
        self
    }

    /// How long calls may take that do not say so themselves: [`Settings::default_timeout`]. Default: no limit.
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.default_timeout = Some(timeout);
        self
    }

    /// Whether requests are compressed: [`Settings::gzip`]. Default: no.
    pub fn gzip(mut self, wanted: bool) -> Self {
        self.settings.gzip = wanted;
        self
    }

    /// How a connection is found to be dead. Default: [`KeepAlive::default`].
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.settings.keep_alive = keep_alive;
        self
    }

    /// Gets every record of the plugin's output, in its order, before the first ping and up to the last line of all.
    ///
    /// Called on a thread of the runtime, so it should not block; while it does, the plugin waits when it writes. A
    /// panic in it costs that record. Default: none; records go to `tracing` (target `jackfield_grpc::plugin`) in any
    /// case.
    pub fn on_record(mut self, sink: impl Fn(Record) + Send + Sync + 'static) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Runs it, and waits until it is ready: until its `Ping` answers, and with no `not_ready`.
    ///
    /// A program that ends at once since it cannot listen on a held port gets three more tries, within the same time,
    /// each with a new port that is not held. Must be called inside a tokio runtime with I/O and time enabled. Cancel
    /// safe: dropped before it is ready, the process is killed.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]. Nothing of the plugin runs any more when it is returned, and all its records have been
    /// given to the sink.
    pub async fn spawn<C: PluginClient>(self) -> Result<Plugin<C>, SpawnError> {
        start::spawn(self).await
    }
}

impl fmt::Debug for Spawn {
    /// The values of the environment are left out: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.env.iter().map(|(key, _)| key).collect();
        f.debug_struct("Spawn")
            .field("name", &self.name)
            .field("module", &self.module)
            .field("executable", &self.executable)
            .field("folder", &self.folder)
            .field("args", &self.args)
            .field("env", &keys)
            .field("start_timeout", &self.start_timeout)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
