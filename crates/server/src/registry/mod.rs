//! Installations: installed, activated, upgraded, configured, removed. What is wanted is written by
//! nobody else.

mod error;
mod installed;
#[expect(clippy::module_inception, reason = "the registry itself")]
mod registry;

mod activate;
mod configure;
mod fetch;
mod install;
mod jobs;
mod remove;
mod token;
mod upgrade;

pub(crate) use error::{
    CallError, ConfigureError, InstallError, ManifestError, NotFound, PackageError, RemoveError,
    StateError, TokenError, UpgradeError,
};
pub(crate) use fetch::FetchError;
pub(crate) use install::{Acceptance, Upload};
pub(crate) use installed::Installed;
pub(crate) use jobs::{Job, JobKind, JobState, Jobs, Progress};
pub(crate) use registry::{Parts, Registry};
