//! Who did what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sqlx::any::AnyRow;

use super::row::{clean, column, time};
use super::{Store, StoreError};
use crate::clock::millis;

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
        actor: &str,
        action: &str,
        target: &str,
        outcome: Result<&str, &str>,
    ) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO audit (id, at, actor, action, target, outcome, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let (word, detail) = match outcome {
            Ok(detail) => ("done", detail),
            Err(why) => ("failed", why),
        };
        let now = SystemTime::now();
        sqlx::query(INSERT)
            .bind(id(now))
            .bind(millis(now))
            .bind(clean(actor))
            .bind(clean(action))
            .bind(clean(target))
            .bind(word)
            .bind(clean(detail))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets all but the newest so many.
    pub(crate) async fn forget_entries(&self, keep: u32) -> Result<u64, StoreError> {
        const DELETE: &str = "DELETE FROM audit WHERE id <= \
             (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET $1)";
        let gone = sqlx::query(DELETE)
            .bind(i64::from(keep))
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }

    /// Reads them, newest first.
    pub(crate) async fn entries(&self, query: &EntryQuery) -> Result<Vec<Entry>, StoreError> {
        // Sorts behind all that ids are made of, under any collation.
        let before = query.before.as_deref().map_or("z".into(), clean);
        let limit = i64::from(query.limit);
        let rows =
            match &query.target {
                None => {
                    sqlx::query("SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2")
                        .bind(before)
                        .bind(limit)
                        .fetch_all(&self.pool)
                        .await?
                }
                Some(target) => sqlx::query(
                    "SELECT * FROM audit WHERE id < $1 AND target = $3 ORDER BY id DESC LIMIT $2",
                )
                .bind(before)
                .bind(limit)
                .bind(clean(target))
                .fetch_all(&self.pool)
                .await?,
            };
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &AnyRow) -> Result<Entry, StoreError> {
    let read = || {
        Ok(Entry {
            id: column(row, "id")?,
            at: time(row, "at")?,
            actor: column(row, "actor")?,
            action: column(row, "action")?,
            target: column(row, "target")?,
            done: column::<String>(row, "outcome")? == "done",
            detail: column(row, "detail")?,
        })
    };
    read().map_err(|why: String| StoreError::Row {
        what: format!("audit: {why}"),
    })
}

/// Microseconds, each of which is given once in a process, and some random digits for the case that
/// two processes write.
fn id(now: SystemTime) -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros() as u64);
    let next = |last: u64| micros.max(last + 1);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        Some(next(last))
    });
    let last = last.unwrap_or_else(|last| last);
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the system has a random source");
    format!("{:014x}{:08x}", next(last), u32::from_be_bytes(random))
}
