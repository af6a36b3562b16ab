//! How far each installation is with its events.

use jackfield::InstallationId;

use super::{Store, StoreError};

impl Store {
    /// Moves cursors forward, all in one transaction; never backward.
    pub(crate) async fn advance(
        &self,
        _cursors: &[(InstallationId, i64)],
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Counts events that an installation will never get.
    pub(crate) async fn add_missed(
        &self,
        _id: InstallationId,
        _count: i64,
    ) -> Result<(), StoreError> {
        todo!()
    }
}
