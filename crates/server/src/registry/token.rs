//! Tokens of plugins.

use jackfield::{InstallationId, Token};

use super::{NotFound, Registry, TokenError};
use crate::store::StoreError;

impl Registry {
    /// A new token for an external plugin, shown here and never again. Whoever is connected with the
    /// old one is disconnected.
    pub(crate) async fn rotate_token(&self, _id: InstallationId) -> Result<Token, TokenError> {
        todo!()
    }

    /// A new access token for a plugin: the old one is worthless from then on.
    pub(crate) async fn rotate_access(
        &self,
        _id: InstallationId,
    ) -> Result<Result<(), NotFound>, StoreError> {
        todo!()
    }

    /// What is granted from now on; what the manifest does not ask for is ignored.
    pub(crate) async fn grant(
        &self,
        _id: InstallationId,
        _granted: Vec<String>,
    ) -> Result<Result<Vec<String>, NotFound>, StoreError> {
        todo!()
    }
}
