//! A sandbox of the Sprites service.

use std::path::Path;
use std::sync::Arc;

use jackfield::runtime::Runtime as _;
use jackfield::{HostBuilder, InstallationId};
use jackfield_sprites::{SpritesRuntime, required};

use crate::setup::SetupError;

/// A sandbox of the Sprites service.
#[derive(Debug, Clone)]
pub(crate) struct Sprites {
    runtime: Arc<SpritesRuntime>,
    public_address: String,
    /// The sprite stays when the command ends.
    kept: bool,
}

impl Sprites {
    pub(crate) fn new(
        public_url: Option<&str>,
        service: Option<String>,
        keep: Option<&Path>,
    ) -> Result<Self, SetupError> {
        let key = std::env::var("SPRITES_API_KEY").ok();
        let settings = required(key.as_deref(), public_url)?;
        let mut runtime = SpritesRuntime::builder(settings.api_key);
        if let Some(url) = service {
            runtime = runtime.base_url(url);
        }
        if let Some(folder) = keep {
            runtime = runtime.pending_folder(folder.join("sprites"));
        }
        Ok(Self {
            runtime: Arc::new(runtime.build()?),
            public_address: settings.public_address,
            kept: keep.is_some(),
        })
    }

    pub(crate) fn set_up(&self, host: HostBuilder) -> HostBuilder {
        host.runtime(Arc::clone(&self.runtime) as _)
            .public_url(&self.public_address)
    }

    /// Itself, for a server.
    #[cfg(feature = "server")]
    pub(crate) fn runtime(&self) -> Arc<dyn jackfield::runtime::Runtime> {
        Arc::clone(&self.runtime) as _
    }

    /// Where plugins in it dial back.
    #[cfg(feature = "server")]
    pub(crate) fn public_address(&self) -> &str {
        &self.public_address
    }

    pub(super) async fn leave(&self, id: InstallationId) -> Result<(), SetupError> {
        if self.kept {
            return Ok(());
        }
        let left = self.runtime.unloaded(id).await;
        left.map_err(|failure| SetupError::Left {
            what: self.runtime.sprite_name(id),
            failure: Box::new(failure),
        })
    }
}
