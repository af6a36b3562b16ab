//! Events, in the order in which they were published.

use std::time::{Duration, SystemTime};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::row::{clean, column, time};
use super::{Store, StoreError};
use crate::clock;
use crate::clock::millis;

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
    ///
    /// A key is known for as long as its event is kept. Cancel safe: what is dropped before it is
    /// answered was written as a whole, or not at all.
    pub(crate) async fn publish(
        &self,
        name: &str,
        payload: &str,
        by: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Publication, StoreError> {
        // The row of the counter is locked from here on until the end of the transaction: one
        // publisher at a time takes the next number, looks for the key, and is seen by all.
        const NEXT: &str =
            "UPDATE counters SET value = value + 1 WHERE name = 'events' RETURNING value";
        const INSERT: &str = "INSERT INTO events (seq, name, payload, published_at, published_by, idempotency_key) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        let mut write = self.write().await?;
        let seq: i64 = sqlx::query_scalar(NEXT).fetch_one(&mut *write).await?;
        let key = idempotency_key.map(clean);
        if let Some(key) = &key {
            let row = sqlx::query("SELECT * FROM events WHERE idempotency_key = $1")
                .bind(key.clone())
                .fetch_optional(&mut *write)
                .await?;
            if let Some(row) = row {
                // Gives the number back.
                write.rollback().await?;
                let before = event(&row)?;
                return Ok(
                    if before.name == name && same_json(&before.payload, payload) {
                        Publication::Again(before)
                    } else {
                        Publication::KeyTaken(before)
                    },
                );
            }
        }
        let event = StoredEvent {
            seq,
            name: clean(name),
            payload: payload.to_owned(),
            // As it is going to be read.
            published_at: clock::time(millis(SystemTime::now())),
        };
        sqlx::query(INSERT)
            .bind(seq)
            .bind(event.name.clone())
            .bind(event.payload.clone())
            .bind(millis(event.published_at))
            .bind(clean(by))
            .bind(key)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(Publication::New(event))
    }

    /// Up to `limit` events after `cursor` that have one of these names, in order; and the number up
    /// to which this has looked, which is where to go on.
    pub(crate) async fn events_after(
        &self,
        cursor: i64,
        names: &[String],
        limit: u32,
    ) -> Result<(Vec<StoredEvent>, i64), StoreError> {
        // First, so that all up to it can be seen by what comes second.
        let newest = self.newest_event().await?;
        if newest <= cursor || names.is_empty() {
            return Ok((Vec::new(), newest.max(cursor)));
        }
        let text = format!(
            "SELECT seq, name, payload, published_at FROM events WHERE seq > $1 AND seq <= $2 \
             AND name IN ({}) ORDER BY seq LIMIT $3",
            places(4, names.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(text))
            .bind(cursor)
            .bind(newest)
            .bind(i64::from(limit));
        for name in names {
            query = query.bind(clean(name));
        }
        let rows = query.fetch_all(&self.pool).await?;
        let events: Vec<StoredEvent> = rows.iter().map(event).collect::<Result<_, _>>()?;
        let looked = match events.last() {
            Some(last) if events.len() >= limit as usize => last.seq,
            _ if limit == 0 => cursor,
            _ => newest,
        };
        Ok((events, looked))
    }

    /// How many events with one of these names there are after `cursor` and up to `last`.
    pub(crate) async fn count_events(
        &self,
        cursor: i64,
        last: i64,
        names: &[String],
    ) -> Result<i64, StoreError> {
        if names.is_empty() || last <= cursor {
            return Ok(0);
        }
        let text = format!(
            "SELECT COUNT(*) FROM events WHERE seq > $1 AND seq <= $2 AND name IN ({})",
            places(3, names.len())
        );
        let mut query = sqlx::query_scalar(AssertSqlSafe(text))
            .bind(cursor)
            .bind(last);
        for name in names {
            query = query.bind(clean(name));
        }
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// The newest number, 0 when there is none.
    pub(crate) async fn newest_event(&self) -> Result<i64, StoreError> {
        let newest = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'events'");
        Ok(newest.fetch_one(&self.pool).await?)
    }

    /// The oldest number that is neither older than `max_age` nor beyond `max_count`: for those who have
    /// to say who misses what before it is [forgotten](Self::forget_before).
    pub(crate) async fn oldest_kept(
        &self,
        max_age: Duration,
        max_count: u64,
    ) -> Result<i64, StoreError> {
        let newest = self.newest_event().await?;
        let since = SystemTime::now().checked_sub(max_age);
        // All before the first one that is young: a clock that was wrong once makes nothing old.
        let young: Option<i64> =
            sqlx::query_scalar("SELECT MIN(seq) FROM events WHERE published_at >= $1")
                .bind(since.map_or(0, millis))
                .fetch_one(&self.pool)
                .await?;
        let by_age = young.unwrap_or(newest + 1).min(newest + 1);
        let by_count = newest.saturating_sub_unsigned(max_count) + 1;
        Ok(by_age.max(by_count).max(1))
    }

    /// Deletes events before this number; returns the oldest that is kept (newest + 1 when none is).
    /// What lies parked has a copy, and stays.
    pub(crate) async fn forget_before(&self, oldest: i64) -> Result<i64, StoreError> {
        sqlx::query("DELETE FROM events WHERE seq < $1")
            .bind(oldest)
            .execute(&self.pool)
            .await?;
        let newest = self.newest_event().await?;
        let kept: Option<i64> = sqlx::query_scalar("SELECT MIN(seq) FROM events")
            .fetch_one(&self.pool)
            .await?;
        Ok(kept.unwrap_or(newest + 1))
    }
}

fn event(row: &AnyRow) -> Result<StoredEvent, StoreError> {
    let read = || {
        Ok(StoredEvent {
            seq: column(row, "seq")?,
            name: column(row, "name")?,
            payload: column(row, "payload")?,
            published_at: time(row, "published_at")?,
        })
    };
    read().map_err(|why: String| StoreError::Row {
        what: format!("event: {why}"),
    })
}

/// `$4, $5, $6`
fn places(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count)
        .map(|place| format!("${place}"))
        .collect();
    places.join(", ")
}

/// Whether two documents say the same, however they are written.
fn same_json(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text);
    one == other || matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}
