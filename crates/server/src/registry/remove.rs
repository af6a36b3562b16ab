//! Plugins go.

use jackfield::InstallationId;
use jackfield::rpc::CallOptions;
use serde_json::value::RawValue;

use super::{CallError, Registry, RemoveError};

impl Registry {
    /// Stops it, and takes away everything: rows, archives, folder, logs, what a remote place keeps;
    /// its access token is worthless from then on.
    pub(crate) async fn remove(&self, _id: InstallationId) -> Result<(), RemoveError> {
        todo!()
    }

    /// Calls a method of the plugin's.
    pub(crate) async fn call(
        &self,
        _id: InstallationId,
        _method: &str,
        _params: Option<&RawValue>,
        _options: CallOptions,
    ) -> Result<Box<RawValue>, CallError> {
        todo!()
    }
}
