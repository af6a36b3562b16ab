//! Calls into the application: signed requests over HTTP.

use std::time::Duration;

use crate::secret::Key;
use crate::store::{Store, StoreError, Target};

/// The application as plugins see it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Application {}

/// Why a method was not mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{0:?} is no address of an application: http or https with a host is expected")]
    Url(String),
    #[error("{0:?} is no name of a method, or one that this server answers itself")]
    Name(String),
    #[error("a timeout is more than nothing and at most an hour")]
    Timeout,
    #[error("a secret begins with `whsec_` and goes on in base64, 24 to 64 bytes")]
    Secret,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Application {
    pub(crate) fn new(_store: Store, _key: Key) -> Self {
        todo!()
    }

    /// Maps a method. The secret that requests are signed with is returned when it was made here:
    /// it is shown once.
    pub(crate) async fn set(
        &self,
        _name: &str,
        _url: &str,
        _secret: Option<&str>,
        _timeout: Duration,
        _by: &str,
    ) -> Result<(Target, Option<String>), TargetError> {
        todo!()
    }
}
