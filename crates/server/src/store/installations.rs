//! Rows of installations.

use std::time::SystemTime;

use jackfield::package::Digest;
use jackfield::{ActiveState, InstallationId, Manifest, Mode, TokenHash};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::row::{
    self, clean, column, document, hash_of, manifest_text, parsed, text_of, time, word, word_of,
};
use super::versions::insert_version;
use super::{NewRecord, Origin, Record, Records, Store, StoreError, Unreadable, Version};
use crate::clock;
use crate::clock::millis;

impl Store {
    /// Writes a new installation, with version 1 when it is a package; returns it as it stands.
    pub(crate) async fn insert(&self, new: NewRecord) -> Result<Record, StoreError> {
        let mut write = self.write().await?;
        let newest = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'events'");
        let event_cursor: i64 = newest.fetch_one(&mut *write).await?;
        // As it is going to be read.
        let now = clock::time(millis(SystemTime::now()));
        let mut record = Record {
            id: new.id,
            mode: Mode::Supervised,
            manifest: new.manifest,
            wanted: new.wanted,
            wanted_at: now,
            version: None,
            token: None,
            config: serde_json::Map::new(),
            granted: new.granted,
            access_generation: 1,
            event_cursor,
            events_missed: 0,
            added_at: now,
            added_by: clean(&new.added_by),
            updated_at: now,
        };
        match new.origin {
            Origin::External { token, prefix } => {
                record.mode = Mode::External;
                record.token = Some((token, clean(&prefix)));
                insert_record(&mut write, &record).await?;
            }
            Origin::Package {
                digest,
                size,
                source,
            } => {
                record.version = Some(1);
                insert_record(&mut write, &record).await?;
                let version = Version {
                    number: 1,
                    manifest: record.manifest.clone(),
                    digest,
                    size,
                    source: clean(&source),
                    added_at: now,
                    added_by: record.added_by.clone(),
                    place: Some(1),
                };
                insert_version(&mut write, new.id, &version).await?;
            }
        }
        write.commit().await?;
        Ok(record)
    }

    /// One installation.
    pub(crate) async fn record(&self, id: InstallationId) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query("SELECT * FROM installations WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        let record = row.as_ref().map(record).transpose();
        record.map_err(|why| StoreError::Row {
            what: format!("installation {id}: {why}"),
        })
    }

    /// All of them, oldest first.
    pub(crate) async fn records(&self) -> Result<Records, StoreError> {
        let rows = sqlx::query("SELECT * FROM installations ORDER BY added_at, id")
            .fetch_all(&self.pool)
            .await;
        match rows {
            Ok(rows) => {
                let mut records = Records::default();
                rows.iter().for_each(|row| records.add(row));
                Ok(records)
            }
            // Text that is none fails with the query, and would hide all others.
            Err(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
                self.records_one_by_one().await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn records_one_by_one(&self) -> Result<Records, StoreError> {
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT id FROM installations ORDER BY added_at, id")
                .fetch_all(&self.pool)
                .await?;
        let mut records = Records::default();
        for id in ids {
            let row = sqlx::query("SELECT * FROM installations WHERE id = $1")
                .bind(id.clone())
                .fetch_optional(&self.pool)
                .await;
            match row {
                Ok(row) => row.iter().for_each(|row| records.add(row)),
                Err(error @ (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })) => {
                    records.unreadable.push(Unreadable {
                        id,
                        why: error.to_string(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(records)
    }

    /// What is wanted from now on. `false`: there is no such installation.
    pub(crate) async fn set_wanted(
        &self,
        id: InstallationId,
        wanted: ActiveState,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str =
            "UPDATE installations SET wanted = $2, wanted_at = $3, updated_at = $3 WHERE id = $1";
        let set = sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(word_of(wanted))
            .bind(millis(SystemTime::now()))
            .execute(&self.pool)
            .await?;
        Ok(set.rows_affected() > 0)
    }

    /// The manifest of an external plugin. `false`: there is no such installation.
    pub(crate) async fn set_manifest(
        &self,
        id: InstallationId,
        manifest: &Manifest,
    ) -> Result<bool, StoreError> {
        let set =
            sqlx::query("UPDATE installations SET manifest = $2, updated_at = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(manifest_text(manifest))
                .bind(millis(SystemTime::now()))
                .execute(&self.pool)
                .await?;
        Ok(set.rows_affected() > 0)
    }

    /// The token of an external plugin. `false`: there is no such installation.
    pub(crate) async fn set_token(
        &self,
        id: InstallationId,
        token: TokenHash,
        prefix: &str,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "UPDATE installations SET token_hash = $2, token_prefix = $3, updated_at = $4 WHERE id = $1";
        let set = sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(hash_of(token))
            .bind(clean(prefix))
            .bind(millis(SystemTime::now()))
            .execute(&self.pool)
            .await?;
        Ok(set.rows_affected() > 0)
    }

    /// What an administrator granted. `false`: there is no such installation.
    pub(crate) async fn set_granted(
        &self,
        id: InstallationId,
        granted: &[String],
    ) -> Result<bool, StoreError> {
        let set =
            sqlx::query("UPDATE installations SET granted = $2, updated_at = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(text_of(granted))
                .bind(millis(SystemTime::now()))
                .execute(&self.pool)
                .await?;
        Ok(set.rows_affected() > 0)
    }

    /// Makes the next access token the one that counts; returns its number. `None`: there is no such
    /// installation.
    pub(crate) async fn next_access_generation(
        &self,
        id: InstallationId,
    ) -> Result<Option<i64>, StoreError> {
        const UPDATE: &str = "UPDATE installations SET access_generation = access_generation + 1, updated_at = $2 \
             WHERE id = $1 RETURNING access_generation";
        let next = sqlx::query_scalar(UPDATE)
            .bind(id.to_string())
            .bind(millis(SystemTime::now()))
            .fetch_optional(&self.pool)
            .await?;
        Ok(next)
    }

    /// Takes an installation away, with its versions and parked events; one whose row cannot be read,
    /// too. Says which archives nobody uses any more. `None`: there is no such installation.
    pub(crate) async fn remove(
        &self,
        id: InstallationId,
    ) -> Result<Option<Vec<Digest>>, StoreError> {
        const ONLY_HERE: &str = "SELECT DISTINCT digest FROM versions WHERE installation_id = $1 AND digest NOT IN \
             (SELECT digest FROM versions WHERE installation_id <> $1)";
        let mut write = self.write().await?;
        let digests: Vec<String> = sqlx::query_scalar(ONLY_HERE)
            .bind(id.to_string())
            .fetch_all(&mut *write)
            .await?;
        // Versions and parked events go with it, by their foreign keys.
        let gone = sqlx::query("DELETE FROM installations WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        let digests = digests.iter().filter_map(|digest| digest.parse().ok());
        Ok((gone.rows_affected() > 0).then(|| digests.collect()))
    }
}

impl Records {
    fn add(&mut self, row: &AnyRow) {
        match record(row) {
            Ok(record) => self.records.push(record),
            Err(why) => self.unreadable.push(Unreadable {
                id: column(row, "id").unwrap_or_default(),
                why,
            }),
        }
    }
}

async fn insert_record(to: &mut AnyConnection, record: &Record) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO installations (id, mode, manifest, wanted, wanted_at, version, token_hash, \
         token_prefix, config, granted, access_generation, event_cursor, events_missed, added_at, added_by, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    let (token_hash, token_prefix) = match &record.token {
        Some((hash, prefix)) => (Some(hash_of(*hash)), Some(prefix.clone())),
        None => (None, None),
    };
    sqlx::query(INSERT)
        .bind(record.id.to_string())
        .bind(word_of(record.mode))
        .bind(manifest_text(&record.manifest))
        .bind(word_of(record.wanted))
        .bind(millis(record.wanted_at))
        .bind(record.version)
        .bind(token_hash)
        .bind(token_prefix)
        .bind(text_of(&record.config))
        .bind(text_of(&record.granted))
        .bind(record.access_generation)
        .bind(record.event_cursor)
        .bind(record.events_missed)
        .bind(millis(record.added_at))
        .bind(record.added_by.clone())
        .bind(millis(record.updated_at))
        .execute(to)
        .await?;
    Ok(())
}

fn record(row: &AnyRow) -> Result<Record, String> {
    let mode = word(row, "mode")?;
    let version: Option<i64> = column(row, "version")?;
    let token = match column::<Option<String>>(row, "token_hash")? {
        None => None,
        Some(text) => {
            let hash = row::hash(&text).ok_or("token_hash: it is no hash")?;
            let prefix: Option<String> = column(row, "token_prefix")?;
            Some((hash, prefix.unwrap_or_default()))
        }
    };
    match mode {
        Mode::Supervised if version.is_none() => return Err("version: there is none".into()),
        Mode::External if token.is_none() => return Err("token_hash: there is none".into()),
        Mode::Supervised | Mode::External => {}
    }
    Ok(Record {
        id: parsed(row, "id")?,
        mode,
        manifest: row::manifest(row)?,
        wanted: word(row, "wanted")?,
        wanted_at: time(row, "wanted_at")?,
        version,
        token,
        config: document(row, "config")?,
        granted: document(row, "granted")?,
        access_generation: column(row, "access_generation")?,
        event_cursor: column(row, "event_cursor")?,
        events_missed: column(row, "events_missed")?,
        added_at: time(row, "added_at")?,
        added_by: column(row, "added_by")?,
        updated_at: time(row, "updated_at")?,
    })
}
