//! Wanted or not.

use jackfield::InstallationId;
use jackfield_wire::ActiveState;

use super::{Installed, Progress, Registry, StateError};

impl Registry {
    /// Wanted or not, and waits until it is so. Wanted is written before anything is done; a plugin
    /// that fails stays wanted only if it was before.
    pub(crate) async fn set_active_state(
        &self,
        _id: InstallationId,
        _wanted: ActiveState,
        _progress: Progress,
    ) -> Result<Installed, StateError> {
        todo!()
    }

    /// Stops it and starts it. One that is not wanted is activated.
    pub(crate) async fn restart(
        &self,
        _id: InstallationId,
        _progress: Progress,
    ) -> Result<Installed, StateError> {
        todo!()
    }
}
