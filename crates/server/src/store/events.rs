//! Events, in the order in which they were published.

use std::time::{Duration, SystemTime};

use super::{Store, StoreError};

/// An event that was published.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredEvent {
    pub(crate) seq: i64,
    pub(crate) name: String,
    /// A JSON object as text, without the event's name.
    pub(crate) payload: String,
    pub(crate) published_at: SystemTime,
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Publication {
    /// It is written: whatever happens now, consumers get it.
    New(StoredEvent),
    /// It was published before, with the same key.
    Again(StoredEvent),
    /// Something else was published before with the same key.
    KeyTaken(StoredEvent),
}

impl Store {
    /// Writes an event. Numbers have no gaps and are visible in order: who reads on from a cursor
    /// never overlooks one that is written later with a smaller number.
    pub(crate) async fn publish(
        &self,
        _name: &str,
        _payload: &str,
        _by: &str,
        _idempotency_key: Option<&str>,
    ) -> Result<Publication, StoreError> {
        todo!()
    }

    /// Up to `limit` events after `cursor` that have one of these names, in order; and the number up
    /// to which this has looked, which is where to go on.
    pub(crate) async fn events_after(
        &self,
        _cursor: i64,
        _names: &[String],
        _limit: u32,
    ) -> Result<(Vec<StoredEvent>, i64), StoreError> {
        todo!()
    }

    /// The newest number, 0 when there is none.
    pub(crate) async fn newest_event(&self) -> Result<i64, StoreError> {
        todo!()
    }

    /// Deletes events that are older than `max_age` or more than `max_count`, parked ones excepted;
    /// returns the oldest number that is kept (newest + 1 when none is).
    pub(crate) async fn forget_events(
        &self,
        _max_age: Duration,
        _max_count: u64,
    ) -> Result<i64, StoreError> {
        todo!()
    }
}
