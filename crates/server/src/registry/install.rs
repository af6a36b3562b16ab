//! Plugins come.

use jackfield::Token;
use serde_json::Value;

use super::{InstallError, Installed, Registry};

/// How an archive comes.
pub(crate) enum Upload {
    /// A file that was written while it was received: see [`Packages::incoming`](crate::packages::Packages::incoming).
    File(tempfile::NamedTempFile),
    /// From this address.
    Url(String),
}

/// What is taken, and from whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acceptance {
    /// Who installs it.
    pub(crate) by: String,
    /// SHA-256 in hex that the archive must have.
    pub(crate) checksum: Option<String>,
    /// Whether what the manifest asks for is granted at once. Only an administrator may say so.
    pub(crate) grant: bool,
}

impl Registry {
    /// A supervised plugin, inactive.
    pub(crate) async fn install(
        &self,
        _upload: Upload,
        _acceptance: Acceptance,
    ) -> Result<Installed, InstallError> {
        todo!()
    }

    /// An external plugin, active: it may dial in with this token, which is shown here and never
    /// again.
    pub(crate) async fn install_external(
        &self,
        _manifest: &Value,
        _acceptance: Acceptance,
    ) -> Result<(Installed, Token), InstallError> {
        todo!()
    }
}
