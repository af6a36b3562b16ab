//! Installations: installed, activated, upgraded, configured, removed. What is wanted is written by
//! nobody else.
//!
//! `slot` says whose turn it is; `load` makes sessions of records; everything else is one operation
//! a file.

mod error;
mod installed;
mod slot;

mod jobs;
mod settings;

mod fetch;

#[expect(clippy::module_inception, reason = "the registry itself")]
mod registry;

mod load;
mod wait;

mod activate;
mod arrival;
mod configure;
mod install;
mod remove;
mod resume;
mod token;
mod trial;
mod upgrade;

#[cfg(test)]
mod tests;

pub(crate) use error::{
    CallError, ConfigureError, InstallError, ManifestError, NotFound, PackageError, RemoveError,
    StateError, TokenError, UpgradeError,
};
pub(crate) use fetch::FetchError;
pub(crate) use install::{Acceptance, Upload};
pub(crate) use installed::Installed;
pub(crate) use jobs::{Job, JobKind, JobState, Jobs, Progress};
pub(crate) use registry::{Parts, Registry, chain};
pub(crate) use settings::{Configuration, effective};
