//! Old events go, and old entries of the audit log.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield::wire::manifest::Transport;
use tokio_util::sync::CancellationToken;

use super::deliveries::Followed;
use super::follower::Common;
use crate::store::StoreError;

/// How often old events are forgotten.
const EVERY: Duration = Duration::from_secs(600);
/// How many entries of the audit log are kept.
const ENTRIES: u32 = 100_000;

/// Forgets, at once and then every ten minutes.
pub(super) async fn run(common: &Common, followed: &Followed, stop: &CancellationToken) {
    let mut forget = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = forget.tick() => {}
        }
        if let Err(error) = sweep(common, followed).await {
            tracing::warn!(%error, "old events are not forgotten; tried again later");
        }
        if let Err(error) = common.store.forget_entries(ENTRIES).await {
            tracing::warn!(%error, "old entries of the audit log stay; tried again later");
        }
    }
}

/// Forgets what is too old or too much. Whoever has not had one of these by then has missed it: its
/// `events_missed` grows by the events *that it consumes* and that are forgotten, which the database
/// counts without reading them. (One that is acknowledged in this very moment counts as missed, too.)
pub(super) async fn sweep(common: &Common, followed: &Followed) -> Result<(), StoreError> {
    let (store, config) = (&common.store, &common.config);
    let keep = store.oldest_kept(config.max_age, config.max_count).await?;
    // From here on nobody begins with what is counted as missed below.
    common.floor.fetch_max(keep, Ordering::SeqCst);
    common.feed.turn();
    for record in store.records().await?.records {
        let known = followed
            .get(record.id)
            .map(|found| found.progress.position.load(Ordering::SeqCst));
        let position = record.event_cursor.max(known.unwrap_or(0));
        let names = &record.manifest.events_consumed;
        if position + 1 >= keep
            || names.is_empty()
            || record.manifest.transport != Transport::WebSocket
        {
            continue;
        }
        let missed = store.count_events(position, keep - 1, names).await?;
        if store.skip(record.id, keep - 1, missed).await? && missed > 0 {
            tracing::warn!(id = %record.id, missed, "a plugin misses events: they became too old, or too many");
        }
    }
    store.forget_before(keep).await?;
    Ok(())
}
