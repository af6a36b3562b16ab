//! What every route shares.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::TokenCache;
use crate::calls::Application;
use crate::config::Config;
use crate::events::Deliveries;
use crate::registry::{Jobs, Registry};
use crate::store::Store;

/// The state of all routes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    application: Application,
    tokens: TokenCache,
    /// Cancelled when the server begins to drain: streams end, `/ready` says no.
    draining: CancellationToken,
    /// Every installation is loaded: who dials in is known or unknown for certain.
    loaded: watch::Sender<bool>,
    openapi: std::sync::OnceLock<Bytes>,
}

impl App {
    pub(crate) fn new(
        registry: Registry,
        application: Application,
        draining: CancellationToken,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry,
                application,
                tokens: TokenCache::default(),
                draining,
                loaded: watch::Sender::new(false),
                openapi: std::sync::OnceLock::new(),
            }),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn application(&self) -> &Application {
        &self.inner.application
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.registry.parts().config
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.registry.parts().store
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.inner.registry.parts().deliveries
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.inner.registry.parts().jobs
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.inner.registry.parts().tracker
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.inner.tokens
    }

    /// Cancelled when the server begins to drain.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.inner.draining
    }

    /// Every installation is loaded.
    pub(crate) fn is_loaded(&self) -> bool {
        *self.inner.loaded.borrow()
    }

    pub(crate) fn set_loaded(&self) {
        self.inner.loaded.send_replace(true);
    }

    /// Waits until every installation is loaded.
    pub(crate) async fn until_loaded(&self) {
        let mut loaded = self.inner.loaded.subscribe();
        // Its sender is held by `self`.
        let _ = loaded.wait_for(|loaded| *loaded).await;
    }

    /// The description of the API, as it is served; set once, when the routes are made.
    pub(crate) fn openapi(&self) -> &std::sync::OnceLock<Bytes> {
        &self.inner.openapi
    }
}
