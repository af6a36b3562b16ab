//! Versions of a package.

use std::collections::HashSet;
use std::time::SystemTime;

use jackfield::InstallationId;
use jackfield::package::Digest;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::row::{self, clean, column, manifest_text, parsed, time};
use super::{Store, StoreError, Version};
use crate::clock;
use crate::clock::millis;

impl Store {
    /// All that are kept, oldest first. One whose row cannot be read is left out, and logged.
    pub(crate) async fn versions(&self, id: InstallationId) -> Result<Vec<Version>, StoreError> {
        let rows = sqlx::query("SELECT * FROM versions WHERE installation_id = $1 ORDER BY number")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        let versions = rows.iter().filter_map(|row| match version(row) {
            Ok(version) => Some(version),
            Err(why) => {
                tracing::warn!(installation = %id, why, "a version cannot be read");
                None
            }
        });
        Ok(versions.collect())
    }

    /// Writes a new version, which does not count yet; its number is the next one, which no
    /// version of this installation had before, whatever stands in `version.number`. `None`: there is no such installation.
    pub(crate) async fn add_version(
        &self,
        id: InstallationId,
        mut version: Version,
    ) -> Result<Option<Version>, StoreError> {
        let mut write = self.write().await?;
        let next = "UPDATE installations SET last_version = last_version + 1 WHERE id = $1 RETURNING last_version";
        let next: Option<i64> = sqlx::query_scalar(next)
            .bind(id.to_string())
            .fetch_optional(&mut *write)
            .await?;
        let Some(next) = next else {
            return Ok(None);
        };
        version.number = next;
        version.added_at = clock::time(millis(version.added_at));
        insert_version(&mut write, id, &version).await?;
        write.commit().await?;
        Ok(Some(version))
    }

    /// Makes a version the one that counts: pointer, manifest and place in one step. `false`: there is
    /// no such installation or version.
    pub(crate) async fn set_current(
        &self,
        id: InstallationId,
        number: i64,
    ) -> Result<bool, StoreError> {
        const PLACE: &str = "SELECT place FROM versions WHERE installation_id = $1 AND number = $2";
        // Back to where it was: what came after it was rolled back from.
        const BACK: &str =
            "UPDATE versions SET place = 0 WHERE installation_id = $1 AND place > $2";
        const AHEAD: &str = "UPDATE versions SET place = \
             (SELECT COALESCE(MAX(place), 0) + 1 FROM versions WHERE installation_id = $1) \
             WHERE installation_id = $1 AND number = $2";
        const UPDATE: &str = "UPDATE installations SET version = $2, updated_at = $3, manifest = \
             (SELECT manifest FROM versions WHERE installation_id = $1 AND number = $2) WHERE id = $1";
        let mut write = self.write().await?;
        if !lock(&mut write, id).await? {
            return Ok(false);
        }
        let place: Option<Option<i64>> = sqlx::query_scalar(PLACE)
            .bind(id.to_string())
            .bind(number)
            .fetch_optional(&mut *write)
            .await?;
        let (step, about) = match place {
            None => return Ok(false),
            Some(Some(place)) if place > 0 => (BACK, place),
            Some(_) => (AHEAD, number),
        };
        sqlx::query(step)
            .bind(id.to_string())
            .bind(about)
            .execute(&mut *write)
            .await?;
        sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(number)
            .bind(millis(SystemTime::now()))
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(true)
    }

    /// Forgets every version that never counted: what a server left that was killed while it tried
    /// one out. Their archives go with those that nobody uses.
    pub(crate) async fn forget_trials(&self) -> Result<u64, StoreError> {
        let gone = sqlx::query("DELETE FROM versions WHERE place IS NULL")
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }

    /// Forgets one version that never counted. Says which archive nobody uses any more.
    pub(crate) async fn forget_version(
        &self,
        id: InstallationId,
        number: i64,
    ) -> Result<Option<Digest>, StoreError> {
        let mut write = self.write().await?;
        if !lock(&mut write, id).await? {
            return Ok(None);
        }
        let counted = "SELECT place FROM versions \
             WHERE installation_id = $1 AND number = $2 AND place IS NOT NULL";
        let counted: Option<i64> = sqlx::query_scalar(counted)
            .bind(id.to_string())
            .bind(number)
            .fetch_optional(&mut *write)
            .await?;
        if counted.is_some() {
            return Ok(None);
        }
        let unused = forget(&mut write, id, number).await?;
        write.commit().await?;
        Ok(unused)
    }

    /// Forgets all versions but `keep`, of which the one that counts is one: those last that a rollback
    /// would go back to. Says which archives nobody uses any more.
    pub(crate) async fn prune_versions(
        &self,
        id: InstallationId,
        keep: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        const OTHERS: &str = "SELECT number FROM versions WHERE installation_id = $1 AND number <> \
             (SELECT version FROM installations WHERE id = $1) ORDER BY COALESCE(place, 0) DESC, number DESC";
        let mut write = self.write().await?;
        if !lock(&mut write, id).await? {
            return Ok(Vec::new());
        }
        let others: Vec<i64> = sqlx::query_scalar(OTHERS)
            .bind(id.to_string())
            .fetch_all(&mut *write)
            .await?;
        let mut unused = Vec::new();
        for number in others.into_iter().skip(keep.saturating_sub(1)) {
            unused.extend(forget(&mut write, id, number).await?);
        }
        write.commit().await?;
        Ok(unused)
    }

    /// Every archive that some version uses: what else lies in the package store is left over from a
    /// server that was killed.
    pub(crate) async fn digests_in_use(&self) -> Result<HashSet<Digest>, StoreError> {
        let digests: Vec<String> = sqlx::query_scalar("SELECT DISTINCT digest FROM versions")
            .fetch_all(&self.pool)
            .await?;
        // One that is no digest is the name of no archive.
        Ok(digests
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect())
    }
}

/// Writes a version, whether it counts or not.
pub(super) async fn insert_version(
    to: &mut AnyConnection,
    id: InstallationId,
    version: &Version,
) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO versions (installation_id, number, manifest, digest, size, source, added_at, added_by, place) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query(INSERT)
        .bind(id.to_string())
        .bind(version.number)
        .bind(manifest_text(&version.manifest))
        .bind(version.digest.to_string())
        .bind(i64::try_from(version.size).unwrap_or(i64::MAX))
        .bind(clean(&version.source))
        .bind(millis(version.added_at))
        .bind(clean(&version.added_by))
        .bind(version.place)
        .execute(to)
        .await?;
    Ok(())
}

/// Nobody else changes the versions of this installation until the transaction ends. `false`: there is
/// no such installation.
async fn lock(within: &mut AnyConnection, id: InstallationId) -> Result<bool, StoreError> {
    let locked = sqlx::query("UPDATE installations SET updated_at = updated_at WHERE id = $1")
        .bind(id.to_string())
        .execute(within)
        .await?;
    Ok(locked.rows_affected() > 0)
}

/// Takes a version away that does not count; its archive, if it was the last one that used it.
async fn forget(
    within: &mut AnyConnection,
    id: InstallationId,
    number: i64,
) -> Result<Option<Digest>, StoreError> {
    // An installation without a version has none that counts.
    const DELETE: &str = "DELETE FROM versions WHERE installation_id = $1 AND number = $2 AND number <> \
         COALESCE((SELECT version FROM installations WHERE id = $1), 0) RETURNING digest";
    let digest: Option<String> = sqlx::query_scalar(DELETE)
        .bind(id.to_string())
        .bind(number)
        .fetch_optional(&mut *within)
        .await?;
    let Some(digest) = digest else {
        return Ok(None);
    };
    let users: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM versions WHERE digest = $1")
        .bind(digest.clone())
        .fetch_one(within)
        .await?;
    Ok(digest.parse().ok().filter(|_| users == 0))
}

fn version(row: &AnyRow) -> Result<Version, String> {
    let size: i64 = column(row, "size")?;
    Ok(Version {
        number: column(row, "number")?,
        manifest: row::manifest(row)?,
        digest: parsed(row, "digest")?,
        size: size.unsigned_abs(),
        source: column(row, "source")?,
        added_at: time(row, "added_at")?,
        added_by: column(row, "added_by")?,
        place: column(row, "place")?,
    })
}
