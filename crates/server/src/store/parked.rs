//! Events that a plugin refused too often.

use std::time::SystemTime;

use jackfield::InstallationId;

use super::{Store, StoreError};

/// An event that lies aside for one installation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parked {
    pub(crate) seq: i64,
    pub(crate) name: String,
    pub(crate) payload: String,
    pub(crate) published_at: SystemTime,
    pub(crate) attempts: i64,
    /// What the plugin said the last time.
    pub(crate) reason: String,
    pub(crate) parked_at: SystemTime,
    /// Somebody asked for another try.
    pub(crate) to_replay: bool,
}

impl Store {
    /// Lays an event aside and moves the cursor behind it, in one step.
    pub(crate) async fn park(
        &self,
        _id: InstallationId,
        _parked: &Parked,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// All that lie aside for an installation, in order.
    pub(crate) async fn parked(&self, _id: InstallationId) -> Result<Vec<Parked>, StoreError> {
        todo!()
    }

    /// Asks for another try of one event, or of all. Returns how many it found.
    pub(crate) async fn ask_replay(
        &self,
        _id: InstallationId,
        _seq: Option<i64>,
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// Those that somebody asked another try of, in order.
    pub(crate) async fn to_replay(&self, _id: InstallationId) -> Result<Vec<Parked>, StoreError> {
        todo!()
    }

    /// It was delivered, or is given up. `false`: it did not lie there.
    pub(crate) async fn unpark(&self, _id: InstallationId, _seq: i64) -> Result<bool, StoreError> {
        todo!()
    }

    /// The try failed; it stays where it is.
    pub(crate) async fn replay_failed(
        &self,
        _id: InstallationId,
        _seq: i64,
        _reason: &str,
    ) -> Result<(), StoreError> {
        todo!()
    }
}
