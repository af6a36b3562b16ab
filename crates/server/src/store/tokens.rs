//! Tokens of the API. Only their hashes are here.

use std::time::{Duration, SystemTime};

use jackfield::TokenHash;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::row::{clean, column, hash_of, optional_time, text_of, time};
use super::{Store, StoreError};
use crate::clock::millis;

/// How exactly it is known when a token was used last.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// What a token is good for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    /// See plugins, their logs and what became of events.
    Read,
    /// Start, stop, restart, configure, call.
    Operate,
    /// Install, upgrade, roll back, remove.
    Install,
    /// Publish events.
    Publish,
    /// Everything, and tokens, grants, method targets and the audit log.
    Admin,
}

/// A token of the API, without the token.
#[derive(Debug, Clone)]
pub(crate) struct ApiToken {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its first characters, to tell tokens apart.
    pub(crate) prefix: String,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) created_at: SystemTime,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) used_at: Option<SystemTime>,
}

impl Store {
    /// Writes a new token.
    pub(crate) async fn add_token(
        &self,
        token: &ApiToken,
        hash: TokenHash,
    ) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO tokens \
             (id, name, hash, prefix, permissions, created_at, created_by, expires_at, used_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        sqlx::query(INSERT)
            .bind(clean(&token.id))
            .bind(clean(&token.name))
            .bind(hash_of(hash))
            .bind(clean(&token.prefix))
            .bind(text_of(&token.permissions))
            .bind(millis(token.created_at))
            .bind(clean(&token.created_by))
            .bind(token.expires_at.map(millis))
            .bind(token.used_at.map(millis))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The token with this hash, expired or not. Notes that it was used, at most once a minute.
    pub(crate) async fn token(&self, hash: TokenHash) -> Result<Option<ApiToken>, StoreError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = $1")
            .bind(hash_of(hash))
            .fetch_optional(&self.pool)
            .await?;
        let Some(mut token) = row.as_ref().map(token).transpose()? else {
            return Ok(None);
        };
        let now = SystemTime::now();
        let noted = |used: SystemTime| now.duration_since(used).is_ok_and(|ago| ago < NOTE_EVERY);
        if !token.used_at.is_some_and(noted) {
            token.used_at = Some(now);
            let note = sqlx::query("UPDATE tokens SET used_at = $2 WHERE id = $1")
                .bind(token.id.clone())
                .bind(millis(now))
                .execute(&self.pool)
                .await;
            // Nobody is kept out because a note could not be taken.
            if let Err(error) = note {
                tracing::warn!(%error, token = token.id, "the use of a token could not be noted");
            }
        }
        Ok(Some(token))
    }

    /// All of them, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_at, id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(token).collect()
    }

    /// Takes one away. `false`: there is none.
    pub(crate) async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM tokens WHERE id = $1")
            .bind(clean(id))
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected() > 0)
    }
}

fn token(row: &AnyRow) -> Result<ApiToken, StoreError> {
    let read = || {
        Ok(ApiToken {
            id: column(row, "id")?,
            name: column(row, "name")?,
            prefix: column(row, "prefix")?,
            permissions: permissions(&column::<String>(row, "permissions")?),
            created_at: time(row, "created_at")?,
            created_by: column(row, "created_by")?,
            expires_at: optional_time(row, "expires_at")?,
            used_at: optional_time(row, "used_at")?,
        })
    };
    read().map_err(|why: String| StoreError::Row {
        what: format!("token: {why}"),
    })
}

/// Those that are known: what cannot be read permits nothing, and the token can be seen and removed.
fn permissions(text: &str) -> Vec<Permission> {
    let words: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let known = words.into_iter().map(serde_json::from_value);
    known.filter_map(Result::ok).collect()
}
