//! What the host is told to load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jackfield_package::Package;
use jackfield_wire::{InstallationId, Manifest, Mode};

use crate::token::TokenHash;

/// All that the host needs to know of an installation. It never asks anybody for more.
#[derive(Clone)]
pub struct Spec {
    pub(crate) id: InstallationId,
    pub(crate) origin: Origin,
}

/// Where the plugin comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    Supervised {
        package: Arc<Package>,
        env: BTreeMap<String, String>,
    },
    External {
        manifest: Arc<Manifest>,
        token: TokenHash,
    },
}

impl Spec {
    /// A package that the host runs as a process of its own.
    #[must_use]
    pub fn supervised(id: InstallationId, package: impl Into<Arc<Package>>) -> Self {
        Self {
            id,
            origin: Origin::Supervised {
                package: package.into(),
                env: BTreeMap::new(),
            },
        }
    }

    /// A program that somebody else runs, which dials in with the token of this hash. See
    /// [`Token::external`](crate::Token::external).
    #[must_use]
    pub fn external(id: InstallationId, manifest: Manifest, token: TokenHash) -> Self {
        Self {
            id,
            origin: Origin::External {
                manifest: Arc::new(manifest),
                token,
            },
        }
    }

    /// Adds a variable to the environment of a supervised plugin, over those of
    /// [`HostBuilder::env`](crate::HostBuilder::env). Of no effect on an external one. The
    /// variables by which a plugin finds the host cannot be replaced.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        if let Origin::Supervised { env, .. } = &mut self.origin {
            env.insert(key.into(), value.into());
        }
        self
    }

    /// The installation.
    #[must_use]
    pub fn id(&self) -> InstallationId {
        self.id
    }

    /// Supervised or external.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.origin {
            Origin::Supervised { .. } => Mode::Supervised,
            Origin::External { .. } => Mode::External,
        }
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        match &self.origin {
            Origin::Supervised { package, .. } => package.manifest(),
            Origin::External { manifest, .. } => manifest,
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("id", &self.id)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
