//! A plugin: where it dials, and what it does when it is called.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jackfield_rpc::{Methods, RawJson};
use jackfield_wire::methods::{Configure, Event, EventParams, Ping, Pong, Taken};
use jackfield_wire::{Fault, Method, env};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::Call;
use crate::error::{HandlerError, RunError, SetupError};
use crate::events::Events;
use crate::host::{Host, Shared};
use crate::run;
use crate::shortcut::Shortcut;
use crate::stop::Signals;

/// A plugin, built by saying what it does, and then [run](Self::run).
#[must_use = "a plugin does nothing until it is run"]
pub struct Plugin {
    /// With the token in it: never shown.
    pub(crate) url: String,
    /// In place of the first dial.
    pub(crate) shortcut: Option<Shortcut>,
    pub(crate) grace: Duration,
    pub(crate) shared: Arc<Shared>,
    pub(crate) methods: Methods<Arc<Shared>>,
    pub(crate) events: Events,
}

impl Plugin {
    /// The plugin of the environment it was started in: dials `JACKFIELD_RPC_URL`, else
    /// `STORYDEN_RPC_URL`.
    ///
    /// Where the host has handed down a connected socket (`JACKFIELD_RPC_FD`, on Linux), that is
    /// the first line in place of a dial. It is taken here and closed under its number, so that
    /// programs which the plugin starts do not have it; whatever else stands under that number is
    /// left alone.
    ///
    /// # Errors
    /// [`SetupError::NoUrl`] when there is no URL and no such socket.
    pub fn from_env() -> Result<Self, SetupError> {
        let url = url(|name| std::env::var(name).ok());
        // The socket is for the plugin that the host started, not for another one that that starts.
        let external = url.as_deref().is_some_and(run::is_external);
        let shortcut = if external { None } else { Shortcut::take() };
        let plugin = match (url, &shortcut) {
            (Some(url), _) => Self::new(url),
            (None, Some(_)) => Self::new(String::new()),
            (None, None) => return Err(SetupError::NoUrl),
        };
        Ok(Self { shortcut, ..plugin })
    }

    /// A plugin that dials `url`, which a host has given out:
    /// `ws://host:port/rpc?plugin_id=…&token=…`.
    pub fn new(url: impl Into<String>) -> Self {
        let state_dir = std::env::var_os(env::STATE_DIR).filter(|dir| !dir.is_empty());
        let methods = Methods::new().method::<Ping, _, _>(
            async |call: jackfield_rpc::Call<Arc<Shared>>, _params| {
                Ok(Pong {
                    pong: true,
                    status: Some("healthy".to_owned()),
                    uptime_seconds: Some(call.context.uptime().as_secs_f64()),
                })
            },
        );
        Self {
            url: url.into(),
            shortcut: None,
            grace: Duration::from_secs(2),
            shared: Arc::new(Shared::new(state_dir.map(PathBuf::from))),
            methods,
            events: Events::default(),
        }
        .on_configure(async |_host: Host, _config: Value| Ok(()))
    }

    /// What to do when an event of this name happened. `P` is its payload, any type that
    /// deserializes from it; a payload that does not fit is answered with -32602.
    ///
    /// Events are handled one at a time in the order in which they came. An error is answered with
    /// -32000 and `handler error: …`; the host may log it. Events that nobody handles are
    /// acknowledged.
    pub fn on_event<P, F, Fut>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(Host, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.events.on(event.into(), handler);
        self
    }

    /// What to do when something happened that has no handler of its own.
    pub fn on_any_event<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Host, EventParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.events.on_any(handler);
        self
    }

    /// What to do with a new configuration. `P` is all of it, any type that deserializes from it.
    /// A configuration that does not fit, and an error, are answered with `ok: false`, and the
    /// reason is logged. Without this every configuration is acknowledged.
    pub fn on_configure<P, F, Fut>(mut self, handler: F) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(Host, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.methods = self
            .methods
            .method::<Configure, _, _>(move |call, config| {
                let handler = Arc::clone(&handler);
                async move {
                    let taken = match serde_json::from_value(Value::Object(config)) {
                        Ok(config) => handler(Call::new(call).host, config).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(error) = &taken {
                        run::note(&format!("the configuration was not taken: {error}"));
                    }
                    Ok(Taken { ok: taken.is_ok() })
                }
            })
            .in_order(Configure::NAME);
        self
    }

    /// What to answer when the host calls `M`: one of [`methods`](crate::methods), or a method of
    /// the application's own. Calls run beside each other; one that panics is answered with an
    /// error. Methods that the plugin does not have are answered with -32601.
    pub fn method<M, Fut>(
        mut self,
        handler: impl Fn(Call, M::Params) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        M: Method,
        Fut: Future<Output = Result<M::Output, Fault>> + Send + 'static,
    {
        self.methods = self
            .methods
            .method::<M, _, _>(move |call, params| handler(Call::new(call), params));
        self
    }

    /// What to answer when the host calls a method of this name, in JSON on both sides: for names
    /// that are known only while the plugin runs, and for large values that are only passed on.
    /// `None` stands for parameters that were missing or `null`. An answer that is an object gets
    /// the method's name put in, where it has no `method` of its own.
    ///
    /// As [`method`](Self::method) otherwise.
    pub fn raw_method<Fut>(
        mut self,
        name: impl Into<String>,
        handler: impl Fn(Call, Option<RawJson>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<RawJson, Fault>> + Send + 'static,
    {
        self.methods = self
            .methods
            .raw(name, move |call, params| handler(Call::new(call), params));
        self
    }

    /// How long handlers that run may go on when the plugin is asked to stop. 2 s; hosts kill
    /// after 3 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The host, for what the plugin does by itself and not because it was called.
    #[must_use]
    pub fn host(&self) -> Host {
        Host::on_any_line(Arc::clone(&self.shared))
    }

    /// The plugin's own folder, from `JACKFIELD_STATE_DIR`; upgrades keep it. `None` where the
    /// host gives none.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.host().state_dir()
    }

    /// Dials, and runs until it is asked to stop by an interrupt or terminate signal, or until
    /// the host has hung up.
    ///
    /// A supervised plugin has one line: when its host hangs up it has done its work, and whether it
    /// is started again is the host's business. An external one (its token begins with `sdprt_`)
    /// dials again whenever the line was lost, after 250 ms and then ever more slowly, up to 10 s,
    /// until it is turned away for good.
    ///
    /// # Errors
    /// See [`RunError`]. Being asked to stop is none, nor is the host's ordinary hanging up.
    pub async fn run(self) -> Result<(), RunError> {
        let mut signals = Signals::listen().map_err(RunError::Signals)?;
        self.run_until(signals.received()).await
    }

    /// As [`run`](Self::run), until `stop` is ready; signals are the caller's business.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        run::run(self.with_events(), stop).await
    }

    fn with_events(mut self) -> Self {
        let events = Arc::new(std::mem::take(&mut self.events));
        self.methods = self
            .methods
            .method::<Event, _, _>(move |call, event| {
                let events = Arc::clone(&events);
                async move {
                    events.tell(Call::new(call).host, event).await?;
                    Ok(Taken { ok: true })
                }
            })
            .in_order(Event::NAME);
        self
    }
}

fn url(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    [env::RPC_URL, env::STORYDEN_RPC_URL]
        .into_iter()
        .filter_map(var)
        .find(|url| !url.trim().is_empty())
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("methods", &self.methods)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_comes_from_the_first_variable_that_is_set() {
        let with = |ours: Option<&str>, theirs: Option<&str>| {
            let (ours, theirs) = (ours.map(str::to_owned), theirs.map(str::to_owned));
            url(move |name| match name {
                "JACKFIELD_RPC_URL" => ours.clone(),
                "STORYDEN_RPC_URL" => theirs.clone(),
                _ => None,
            })
        };
        assert_eq!(with(Some("a"), Some("b")).as_deref(), Some("a"));
        assert_eq!(with(None, Some("b")).as_deref(), Some("b"));
        assert_eq!(with(Some(" "), Some("b")).as_deref(), Some("b"));
        assert_eq!(with(None, None), None);
        let says = format!("{:?}", SetupError::NoUrl);
        assert!(says.contains("jackfield run ."), "{says}");
    }

    #[test]
    fn the_token_is_not_shown() {
        let plugin = Plugin::new("ws://localhost/rpc?token=sdprt_secret");
        assert!(!format!("{plugin:?} {:?}", plugin.host()).contains("secret"));
    }
}
