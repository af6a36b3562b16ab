//! Where a plugin serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::channel::Channel;
use crate::client::PluginClient;

/// Where a plugin serves, proven to be itself. Cheap to clone.
///
/// Does not keep the plugin alive: when its process has ended, calls fail with `UNAVAILABLE`. FTL gives a URL here; one
/// that anybody may dial cannot be had for a plugin that took the socket it was handed.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    uri: Uri,
    port: Option<u16>,
    channel: Channel,
    settings: Settings,
}

/// How clients over an endpoint behave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The longest message that a client takes, and with tonic gives, in bytes. Default: 64 MiB. FTL has no limit.
    pub max_message_size: usize,
    /// How long a call may take that does not say so itself, a stream to its end included. Passed on to the plugin as
    /// if the caller had said so. Default: `None`, no limit, as in FTL.
    pub default_timeout: Option<Duration>,
    /// Whether requests are compressed with gzip. Default: no. Compressed answers are understood in any case, if the
    /// client can.
    pub gzip: bool,
    /// How a connection is found to be dead. Default: [`KeepAlive::default`].
    pub keep_alive: KeepAlive,
}

/// HTTP/2 pings, by which a plugin is noticed that is there but does not run: stopped by a signal, or stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long a connection may be silent before it is asked. Default: 10 s. `None`: it is never asked.
    pub interval: Option<Duration>,
    /// How long the answer may take; then the connection is closed, and its calls fail with `UNAVAILABLE`.
    /// Default: 10 s.
    pub timeout: Duration,
    /// Whether it is asked while no call is open, too. Default: no: some servers take that for an attack.
    pub while_idle: bool,
}

impl Endpoint {
    pub(crate) fn new(uri: Uri, port: Option<u16>, channel: Channel, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                uri,
                port,
                channel,
                settings,
            }),
        }
    }

    /// What clients take for their base URL: `http://127.0.0.1:<port>/`, or `http://localhost/` for a plugin that serves
    /// on the socket it was handed. Calls go to the plugin by way of the [channel](Self::channel) alone.
    pub fn uri(&self) -> &Uri {
        &self.inner.uri
    }

    /// The port that the plugin listens on; `None` when it serves on the socket it was handed.
    ///
    /// Who dials it by himself does without the proof that it is the plugin's, and without the token.
    pub fn port(&self) -> Option<u16> {
        self.inner.port
    }

    /// The connection to the plugin, which all clients of this endpoint share.
    pub fn channel(&self) -> Channel {
        self.inner.channel.clone()
    }

    /// A client of another service on the same endpoint; FTL's "extra clients". Connects to nothing, pings nothing.
    pub fn client<C: PluginClient>(&self) -> C {
        C::over(self)
    }

    /// How clients are to behave.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("uri", &self.inner.uri)
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_size: 64 * 1024 * 1024,
            default_timeout: None,
            gzip: false,
            keep_alive: KeepAlive::default(),
        }
    }
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            interval: Some(Duration::from_secs(10)),
            timeout: Duration::from_secs(10),
            while_idle: false,
        }
    }
}
