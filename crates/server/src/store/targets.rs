//! Which method of plugins goes to which endpoint of the application.

use std::time::{Duration, SystemTime};

use super::{Store, StoreError};

/// Where calls of one method go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Sealed.
    pub(crate) secret: String,
    pub(crate) timeout: Duration,
    pub(crate) updated_at: SystemTime,
    pub(crate) updated_by: String,
}

impl Store {
    /// Sets one. `true`: it is new.
    pub(crate) async fn set_target(&self, _target: &Target) -> Result<bool, StoreError> {
        todo!()
    }

    /// The target of a method.
    pub(crate) async fn target(&self, _name: &str) -> Result<Option<Target>, StoreError> {
        todo!()
    }

    /// All of them, by name.
    pub(crate) async fn targets(&self) -> Result<Vec<Target>, StoreError> {
        todo!()
    }

    /// Takes one away. `false`: there is none.
    pub(crate) async fn remove_target(&self, _name: &str) -> Result<bool, StoreError> {
        todo!()
    }
}
