//! Who asked for another try of parked events.

use std::collections::HashSet;

use jackfield::InstallationId;

use super::{Store, StoreError};

impl Store {
    /// Which installations have parked events that somebody asked another try of.
    pub(crate) async fn with_replays(&self) -> Result<HashSet<InstallationId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT installation_id FROM parked WHERE replay_at IS NOT NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }
}
