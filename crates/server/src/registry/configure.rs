//! Configuration: checked, delivered, stored.

use jackfield::InstallationId;
use serde_json::{Map, Value};

use super::{ConfigureError, NotFound, Registry};
use crate::store::StoreError;

impl Registry {
    /// Replaces the configuration: checked against the schema, delivered if the plugin is connected
    /// (30 s; `ok: false` stores nothing), stored. While it is down it is stored, and delivered when
    /// it connects. A secret field that is left out keeps its value; `null` takes it away.
    pub(crate) async fn configure(
        &self,
        _id: InstallationId,
        _config: Map<String, Value>,
        _must_be_connected: bool,
    ) -> Result<Map<String, Value>, ConfigureError> {
        todo!()
    }

    /// What is configured; of secrets only that they are set.
    pub(crate) async fn configuration(
        &self,
        _id: InstallationId,
    ) -> Result<Result<Map<String, Value>, NotFound>, StoreError> {
        todo!()
    }
}
