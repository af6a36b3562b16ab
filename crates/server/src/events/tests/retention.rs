//! What goes, and what is said of it.

use super::rig::{DELETED, PUBLISHED, Rig, manifest, quick, willing};
use crate::config::Events;

#[tokio::test]
async fn who_was_away_too_long_misses_what_he_consumes_and_it_is_counted_once() {
    let rig = Rig::new(Events {
        max_count: 10,
        ..quick()
    })
    .await;
    let away = rig.install(&manifest(&[PUBLISHED])).await;
    let here = rig.install(&manifest(&[PUBLISHED, DELETED])).await;
    let mut running = rig.run(&here, willing());
    // 20 of each, in turn: the last ten that are kept have five of each.
    for n in 0..20 {
        rig.publish(PUBLISHED, [n]).await;
        rig.publish(DELETED, [n]).await;
    }
    running.until(40).await;
    rig.settled(&here).await;
    rig.deliveries.sweep().await.unwrap();
    rig.deliveries.sweep().await.unwrap();
    assert_eq!(rig.record(&away).await.events_missed, 15);
    assert_eq!(rig.record(&here).await.events_missed, 0);
    assert_eq!(rig.record(&away).await.event_cursor, 30);
    let mut running = rig.run(&away, willing());
    assert_eq!(running.until(5).await, [15, 16, 17, 18, 19]);
    rig.settled(&away).await;
    rig.stop().await;
}

#[tokio::test]
async fn everything_may_be_too_old() {
    let rig = Rig::new(Events {
        max_age: std::time::Duration::ZERO,
        ..quick()
    })
    .await;
    let away = rig.install(&manifest(&[PUBLISHED])).await;
    rig.publish(PUBLISHED, 0..5).await;
    // Events of this very millisecond are not older than nothing.
    let now = tokio::time::Instant::now();
    while now.elapsed().as_millis() < 3 {
        tokio::task::yield_now().await;
    }
    rig.deliveries.sweep().await.unwrap();
    assert_eq!(rig.record(&away).await.events_missed, 5);
    // The next one is as ever.
    let mut running = rig.run(&away, willing());
    rig.publish(PUBLISHED, [5]).await;
    assert_eq!(running.until(1).await, [5]);
    rig.stop().await;
}
