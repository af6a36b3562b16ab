//! How far each installation is with its events.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jackfield::InstallationId;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Store, StoreError};

/// How many cursors one statement moves.
const AT_ONCE: usize = 100;

impl Store {
    /// Moves cursors forward, all in one transaction; never backward.
    pub(crate) async fn advance(
        &self,
        cursors: &[(InstallationId, i64)],
    ) -> Result<(), StoreError> {
        if cursors.is_empty() {
            return Ok(());
        }
        let mut furthest = BTreeMap::new();
        for (id, cursor) in cursors {
            let known = furthest.entry(id.to_string()).or_insert(*cursor);
            *known = (*known).max(*cursor);
        }
        let furthest: Vec<(String, i64)> = furthest.into_iter().collect();
        let mut write = self.write().await?;
        for some in furthest.chunks(AT_ONCE) {
            let mut query = sqlx::query(AssertSqlSafe(advance_of(some.len())));
            for (id, cursor) in some {
                query = query.bind(id.clone()).bind(*cursor);
            }
            query.execute(&mut *write).await?;
        }
        write.commit().await?;
        Ok(())
    }

    /// Moves a cursor forward and counts what the installation misses by that, in one step. `false`:
    /// the cursor was there already, or there is no such installation; then nothing is counted.
    pub(crate) async fn skip(
        &self,
        id: InstallationId,
        cursor: i64,
        missed: i64,
    ) -> Result<bool, StoreError> {
        const UPDATE: &str = "UPDATE installations SET event_cursor = $2, events_missed = events_missed + $3 \
             WHERE id = $1 AND event_cursor < $2";
        let moved = sqlx::query(UPDATE)
            .bind(id.to_string())
            .bind(cursor)
            .bind(missed)
            .execute(&self.pool)
            .await?;
        Ok(moved.rows_affected() > 0)
    }
}

/// Moves one cursor forward, within a transaction.
pub(super) async fn advance_one(
    within: &mut AnyConnection,
    id: InstallationId,
    cursor: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE installations SET event_cursor = $2 WHERE id = $1 AND event_cursor < $2")
        .bind(id.to_string())
        .bind(cursor)
        .execute(within)
        .await?;
    Ok(())
}

/// One statement for so many cursors: a journey each would be the price of a thousand plugins.
fn advance_of(count: usize) -> String {
    let mut text = String::from("WITH moved (id, cursor) AS (VALUES ");
    for place in 0..count {
        let comma = if place > 0 { ", " } else { "" };
        let (id, cursor) = (2 * place + 1, 2 * place + 2);
        write!(text, "{comma}(${id}, ${cursor})").expect("text takes all");
    }
    text.push_str(
        ") UPDATE installations SET event_cursor = moved.cursor FROM moved \
         WHERE installations.id = moved.id AND installations.event_cursor < moved.cursor",
    );
    text
}
