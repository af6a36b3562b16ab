//! The configuration of an installation. Secrets come sealed and go sealed.

use jackfield::InstallationId;
use serde_json::{Map, Value};

use super::{Store, StoreError};

impl Store {
    /// Replaces it. `false`: there is no such installation.
    pub(crate) async fn set_config(
        &self,
        _id: InstallationId,
        _config: &Map<String, Value>,
    ) -> Result<bool, StoreError> {
        todo!()
    }
}
