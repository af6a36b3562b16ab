//! A server of ours, from the outside: who we are there, what it answers, what becomes of an operation.
//!
//! Reading order: [`options`] says which server, [`login`] remembers, [`http`] asks, [`problem`] and [`error`] are how
//! it can say no; [`name`] finds a plugin, [`job`] waits for an operation, [`upload`] sends a package, [`stream`] reads
//! events, [`show`] makes tables and words of what came.

mod error;
mod http;
mod job;
mod login;
mod name;
mod options;
mod problem;
pub(crate) mod show;
mod stream;
mod upload;

pub(crate) use error::ClientError;
pub(crate) use http::{Client, builder, is_local};
pub(crate) use job::operate;
pub(crate) use login::{LoginError, Logins};
pub(crate) use name::Named;
pub(crate) use options::{Remote, base_url};
pub(crate) use problem::Problem;
pub(crate) use stream::{Item, Items};
pub(crate) use upload::{Load, UploadError};
