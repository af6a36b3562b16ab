//! The configuration of an installation. Secrets come sealed and go sealed.

use std::time::SystemTime;

use jackfield::InstallationId;
use serde_json::{Map, Value};

use super::row::text_of;
use super::{Store, StoreError};
use crate::clock::millis;

impl Store {
    /// Replaces it. `false`: there is no such installation.
    pub(crate) async fn set_config(
        &self,
        id: InstallationId,
        config: &Map<String, Value>,
    ) -> Result<bool, StoreError> {
        let set =
            sqlx::query("UPDATE installations SET config = $2, updated_at = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(text_of(config))
                .bind(millis(SystemTime::now()))
                .execute(&self.pool)
                .await?;
        Ok(set.rows_affected() > 0)
    }
}
