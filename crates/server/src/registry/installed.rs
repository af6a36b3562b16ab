//! An installation as the API shows it: what is wanted, and what is.

use jackfield::{Session, Status};

use crate::store::{Record, Version};

/// One installation.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) record: Record,
    /// What is. `None`: nothing is loaded; `problem` says why if that is not as it should be.
    pub(crate) status: Option<Status>,
    /// Why it cannot be loaded: its package is missing, for one.
    pub(crate) problem: Option<String>,
    /// The version that counts. `None` for an external plugin.
    pub(crate) package: Option<Version>,
    pub(crate) session: Option<Session>,
}
