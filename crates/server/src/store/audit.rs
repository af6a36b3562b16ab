//! Who did what.

use std::time::SystemTime;

use super::{Store, StoreError};

/// One thing that somebody did, or tried.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Sorts by time. Given by [`Store::audit`].
    pub(crate) id: String,
    pub(crate) at: SystemTime,
    /// The token's name, or `plugin:<id>`, or `server`.
    pub(crate) actor: String,
    /// `install`, `activate`, `token.create`, …
    pub(crate) action: String,
    /// What it was done to: an installation, a token, a method.
    pub(crate) target: String,
    /// Whether it was done; otherwise `detail` says why not.
    pub(crate) done: bool,
    pub(crate) detail: String,
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntryQuery {
    /// Only what was done to this.
    pub(crate) target: Option<String>,
    /// Only those before this one: for the next page.
    pub(crate) before: Option<String>,
    /// At most so many, newest first.
    pub(crate) limit: u32,
}

impl Store {
    /// Writes an entry, with an id and a time of its own.
    pub(crate) async fn audit(
        &self,
        _actor: &str,
        _action: &str,
        _target: &str,
        _outcome: Result<&str, &str>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Reads them, newest first.
    pub(crate) async fn entries(&self, _query: &EntryQuery) -> Result<Vec<Entry>, StoreError> {
        todo!()
    }
}
