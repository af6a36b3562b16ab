//! Which method of plugins goes to which endpoint of the application.

use std::time::{Duration, SystemTime};

use sqlx::any::AnyRow;

use super::row::{clean, column, time};
use super::{Store, StoreError};
use crate::clock::millis;

/// Where calls of one method go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) url: String,
    /// Sealed.
    pub(crate) secret: String,
    pub(crate) timeout: Duration,
    pub(crate) updated_at: SystemTime,
    pub(crate) updated_by: String,
}

impl Store {
    /// Sets one. `true`: it is new.
    pub(crate) async fn set_target(&self, target: &Target) -> Result<bool, StoreError> {
        const INSERT: &str = "INSERT INTO method_targets (name, url, secret, timeout_ms, updated_at, updated_by) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
        const UPDATE: &str = "UPDATE method_targets SET url = $2, secret = $3, timeout_ms = $4, updated_at = $5, \
             updated_by = $6 WHERE name = $1";
        let run = |statement: &'static str| {
            sqlx::query(statement)
                .bind(clean(&target.name))
                .bind(clean(&target.url))
                .bind(target.secret.clone())
                .bind(i64::try_from(target.timeout.as_millis()).unwrap_or(i64::MAX))
                .bind(millis(target.updated_at))
                .bind(clean(&target.updated_by))
        };
        let mut write = self.write().await?;
        let new = run(INSERT).execute(&mut *write).await?.rows_affected() > 0;
        if !new {
            run(UPDATE).execute(&mut *write).await?;
        }
        write.commit().await?;
        Ok(new)
    }

    /// The target of a method.
    pub(crate) async fn target(&self, name: &str) -> Result<Option<Target>, StoreError> {
        let row = sqlx::query("SELECT * FROM method_targets WHERE name = $1")
            .bind(clean(name))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(target).transpose()
    }

    /// All of them, by name.
    pub(crate) async fn targets(&self) -> Result<Vec<Target>, StoreError> {
        let rows = sqlx::query("SELECT * FROM method_targets ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(target).collect()
    }

    /// Takes one away. `false`: there is none.
    pub(crate) async fn remove_target(&self, name: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM method_targets WHERE name = $1")
            .bind(clean(name))
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected() > 0)
    }
}

fn target(row: &AnyRow) -> Result<Target, StoreError> {
    let read = || {
        Ok(Target {
            name: column(row, "name")?,
            url: column(row, "url")?,
            secret: column(row, "secret")?,
            timeout: Duration::from_millis(column::<i64>(row, "timeout_ms")?.unsigned_abs()),
            updated_at: time(row, "updated_at")?,
            updated_by: column(row, "updated_by")?,
        })
    };
    read().map_err(|why: String| StoreError::Row {
        what: format!("method target: {why}"),
    })
}
