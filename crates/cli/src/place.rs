//! Where a supervised plugin runs: here, or in a sandbox elsewhere.

#[cfg(feature = "sprites")]
mod sprites;

#[cfg(all(feature = "sprites", feature = "server"))]
pub(crate) use sprites::Sprites;

use jackfield::{InstallationId, RuntimeProvider};

use crate::setup::SetupError;

/// Options of commands that run a plugin.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceOptions {
    /// Where the plugin runs: `local`, a process of this machine, or `sprites`, a sandbox of the Sprites service, which
    /// needs SPRITES_API_KEY and an address that it can dial back
    #[arg(
        long,
        value_name = "PLACE",
        env = "PLUGIN_RUNTIME_PROVIDER",
        default_value = "local"
    )]
    runtime: RuntimeProvider,
    /// Where a plugin elsewhere dials back, if that is not where the host listens: `https://plugins.example.org`
    #[arg(long, value_name = "URL", env = "PUBLIC_API_ADDRESS")]
    public_url: Option<String>,
    /// Another address of the Sprites service
    #[cfg(feature = "sprites")]
    #[arg(long, value_name = "URL", env = "SPRITES_API_URL", hide = true)]
    sprites_url: Option<String>,
}

/// Where, with all that it takes.
#[derive(Debug)]
pub(crate) enum Place {
    /// A process of this machine.
    Here,
    /// A sandbox.
    #[cfg(feature = "sprites")]
    Sprites(sprites::Sprites),
}

impl PlaceOptions {
    /// Looks at everything that is needed, before anything is started. `keep` is the folder that outlives the command,
    /// if there is one.
    pub(crate) fn place(self, keep: Option<&std::path::Path>) -> Result<Place, SetupError> {
        match self.runtime {
            RuntimeProvider::Local => Ok(Place::Here),
            #[cfg(feature = "sprites")]
            RuntimeProvider::Sprites => {
                sprites::Sprites::new(self.public_url.as_deref(), self.sprites_url, keep)
                    .map(Place::Sprites)
            }
            other => Err(SetupError::NoPlace(other)),
        }
    }
}

impl Place {
    /// Gives back what costs money, where nothing of the plugin was to be kept.
    pub(crate) async fn leave(self, id: InstallationId) -> Result<(), SetupError> {
        match self {
            Self::Here => Ok(()),
            #[cfg(feature = "sprites")]
            Self::Sprites(sprites) => sprites.leave(id).await,
        }
    }
}
