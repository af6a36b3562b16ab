//! Events that a plugin refused too often.

use std::time::SystemTime;

use jackfield::InstallationId;
use sqlx::any::AnyRow;

use super::cursors::advance_one;
use super::row::{clean, column, optional_time, time};
use super::{Store, StoreError};
use crate::clock::millis;

/// An event that lies aside for one installation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parked {
    pub(crate) seq: i64,
    pub(crate) name: String,
    pub(crate) payload: String,
    pub(crate) published_at: SystemTime,
    pub(crate) attempts: i64,
    /// What the plugin said the last time.
    pub(crate) reason: String,
    pub(crate) parked_at: SystemTime,
    /// Somebody asked for another try.
    pub(crate) to_replay: bool,
}

impl Store {
    /// Lays an event aside and moves the cursor behind it, in one step. Of one that lies there already
    /// the attempts and the reason are renewed; without an installation, nothing happens.
    pub(crate) async fn park(&self, id: InstallationId, parked: &Parked) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO parked (installation_id, seq, name, payload, published_at, attempts, reason, \
             parked_at, replay_at) SELECT id, $2, $3, $4, $5, $6, $7, $8, $9 FROM installations WHERE id = $1 \
             ON CONFLICT (installation_id, seq) DO UPDATE SET attempts = excluded.attempts, \
             reason = excluded.reason, parked_at = excluded.parked_at, replay_at = excluded.replay_at";
        let parked_at = millis(parked.parked_at);
        let mut write = self.write().await?;
        sqlx::query(INSERT)
            .bind(id.to_string())
            .bind(parked.seq)
            .bind(clean(&parked.name))
            .bind(parked.payload.clone())
            .bind(millis(parked.published_at))
            .bind(parked.attempts)
            .bind(clean(&parked.reason))
            .bind(parked_at)
            .bind(parked.to_replay.then_some(parked_at))
            .execute(&mut *write)
            .await?;
        advance_one(&mut write, id, parked.seq).await?;
        write.commit().await?;
        Ok(())
    }

    /// The first so many that lie aside for an installation, in order.
    pub(crate) async fn parked(
        &self,
        id: InstallationId,
        limit: u32,
    ) -> Result<Vec<Parked>, StoreError> {
        const SELECT: &str =
            "SELECT * FROM parked WHERE installation_id = $1 ORDER BY seq LIMIT $2";
        let rows = sqlx::query(SELECT)
            .bind(id.to_string())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(parked).collect()
    }

    /// How many lie aside for an installation.
    pub(crate) async fn count_parked(&self, id: InstallationId) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM parked WHERE installation_id = $1")
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        Ok(count)
    }

    /// Asks for another try of one event, or of all. Returns how many it found.
    pub(crate) async fn ask_replay(
        &self,
        id: InstallationId,
        seq: Option<i64>,
    ) -> Result<u64, StoreError> {
        const UPDATE: &str = "UPDATE parked SET replay_at = $2 WHERE installation_id = $1 AND seq >= $3 AND seq <= $4";
        let (first, last) = seq.map_or((i64::MIN, i64::MAX), |seq| (seq, seq));
        let found = sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(millis(SystemTime::now()))
            .bind(first)
            .bind(last)
            .execute(&self.pool)
            .await?;
        Ok(found.rows_affected())
    }

    /// The first so many that somebody asked another try of, in order.
    pub(crate) async fn to_replay(
        &self,
        id: InstallationId,
        limit: u32,
    ) -> Result<Vec<Parked>, StoreError> {
        const SELECT: &str = "SELECT * FROM parked WHERE installation_id = $1 AND replay_at IS NOT NULL \
             ORDER BY seq LIMIT $2";
        let rows = sqlx::query(SELECT)
            .bind(id.to_string())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(parked).collect()
    }

    /// It was delivered, or is given up. `false`: it did not lie there.
    pub(crate) async fn unpark(&self, id: InstallationId, seq: i64) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM parked WHERE installation_id = $1 AND seq = $2")
            .bind(id.to_string())
            .bind(seq)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected() > 0)
    }

    /// The try failed; it stays where it is, with one attempt more, until somebody asks again.
    pub(crate) async fn replay_failed(
        &self,
        id: InstallationId,
        seq: i64,
        reason: &str,
    ) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE parked SET attempts = attempts + 1, reason = $3, replay_at = NULL \
             WHERE installation_id = $1 AND seq = $2";
        sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(seq)
            .bind(clean(reason))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn parked(row: &AnyRow) -> Result<Parked, StoreError> {
    let read = || {
        Ok(Parked {
            seq: column(row, "seq")?,
            name: column(row, "name")?,
            payload: column(row, "payload")?,
            published_at: time(row, "published_at")?,
            attempts: column(row, "attempts")?,
            reason: column(row, "reason")?,
            parked_at: time(row, "parked_at")?,
            to_replay: optional_time(row, "replay_at")?.is_some(),
        })
    };
    read().map_err(|why: String| StoreError::Row {
        what: format!("parked event: {why}"),
    })
}
