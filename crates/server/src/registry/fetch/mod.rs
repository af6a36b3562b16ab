//! Downloads from addresses that somebody typed: only what is public is asked.

mod address;
mod error;

mod download;
mod resolve;

#[cfg(test)]
mod tests;

pub(super) use download::{Fetch, shown};
pub(crate) use error::FetchError;
