//! Order, refusals, parking, replay, and many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::rig::{Answer, DELETED, PUBLISHED, Rig, manifest, quick, willing, within};
use crate::events::deliveries::Lag;

#[tokio::test]
async fn each_plugin_gets_its_own_events_in_order() {
    let rig = Rig::new(quick()).await;
    let one = rig.install(&manifest(&[PUBLISHED])).await;
    let both = rig.install(&manifest(&[PUBLISHED, DELETED])).await;
    let none = rig.install(&manifest(&[])).await;
    let mut of_one = rig.run(&one, willing());
    let mut of_both = rig.run(&both, willing());
    for n in 0..100 {
        let name = if n % 3 == 0 { DELETED } else { PUBLISHED };
        rig.publish(name, [n]).await;
    }
    let all: Vec<i64> = (0..100).collect();
    let some: Vec<i64> = (0..100).filter(|n| n % 3 != 0).collect();
    assert_eq!(of_both.until(all.len()).await, all);
    assert_eq!(of_one.until(some.len()).await, some);
    rig.settled(&both).await;
    assert_eq!(rig.deliveries.lag(none.session.id()).await, Lag::default());
    rig.stop().await;
}

#[tokio::test]
async fn a_refused_event_is_tried_again_and_the_next_ones_wait() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let script = Arc::new(|n, times| {
        if n == 1 && times < 3 {
            Answer::Refuse
        } else {
            Answer::Take
        }
    });
    let mut running = rig.run(&plugin, script);
    rig.publish(PUBLISHED, 0..3).await;
    assert_eq!(running.until(5).await, [0, 1, 1, 1, 2]);
    rig.settled(&plugin).await;
    assert!(
        rig.store
            .parked(plugin.session.id(), 1000)
            .await
            .unwrap()
            .is_empty()
    );
    rig.stop().await;
}

#[tokio::test]
async fn an_event_that_is_always_refused_is_parked_and_can_be_replayed() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let id = plugin.session.id();
    let (well, looks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (now, seen) = (Arc::clone(&well), Arc::clone(&looks));
    let script = Arc::new(move |n, _| {
        seen.store(true, Ordering::SeqCst);
        if n == 1 && !now.load(Ordering::SeqCst) {
            Answer::Refuse
        } else {
            Answer::Take
        }
    });
    let mut running = rig.run(&plugin, script);
    rig.publish(PUBLISHED, [1, 2]).await;
    assert_eq!(running.until(4).await, [1, 1, 1, 2]);
    rig.settled(&plugin).await;
    let parked = rig.store.parked(id, 1000).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].seq, parked[0].attempts), (1, 3));
    assert!(parked[0].reason.contains("not this one"), "{parked:?}");
    assert!(!parked[0].to_replay);

    // It refuses once more: it stays where it is, and nobody tries again by himself.
    assert_eq!(rig.store.ask_replay(id, None).await.unwrap(), 1);
    rig.deliveries.wake();
    running.until(5).await;
    within(async {
        while !rig.store.to_replay(id, 1000).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(rig.store.parked(id, 1000).await.unwrap().len(), 1);

    // It is well again.
    well.store(true, Ordering::SeqCst);
    assert_eq!(rig.store.ask_replay(id, Some(1)).await.unwrap(), 1);
    rig.deliveries.wake();
    assert_eq!(running.until(6).await, [1, 1, 1, 2, 1, 1]);
    within(async {
        while !rig.store.parked(id, 1000).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn attempts_and_waiting_events_are_told() {
    let mut patient = quick();
    patient.retry_delay = std::time::Duration::from_secs(3600);
    patient.retry_cap = patient.retry_delay;
    let rig = Rig::new(patient).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    rig.publish(PUBLISHED, 0..3).await;
    rig.publish(DELETED, 0..3).await;
    let mut running = rig.run(&plugin, Arc::new(|_, _| Answer::Refuse));
    running.until(1).await;
    let expected = Lag {
        waiting: 3,
        attempts: 1,
    };
    within(async {
        while rig.deliveries.lag(plugin.session.id()).await != expected {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Without a follower it is counted in the database.
    rig.deliveries.unfollow(plugin.session.id()).await;
    assert_eq!(
        rig.deliveries.lag(plugin.session.id()).await,
        Lag {
            waiting: 3,
            attempts: 0
        }
    );
    rig.stop().await;
}

#[tokio::test]
async fn nothing_flows_before_the_line_has_its_configuration() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let mut gated = rig.load_again(&plugin).await;
    let free = rig.install(&manifest(&[PUBLISHED])).await;
    let mut of_free = rig.run(&free, willing());
    let mut running = rig.run(&gated, willing());
    within(gated.session.ready()).await.unwrap();
    // Another line's configuration is none of this one.
    gated
        .configured
        .send_replace(Some(std::time::SystemTime::UNIX_EPOCH));
    // Another plugin has one event after the other meanwhile.
    for n in 0..20 {
        rig.publish(PUBLISHED, [n]).await;
        of_free.until(usize::try_from(n).unwrap() + 1).await;
    }
    assert!(running.got.borrow().is_empty());
    let opened = gated.session.status().borrow().started_at;
    gated.configured.send_replace(opened);
    let all: Vec<i64> = (0..20).collect();
    assert_eq!(running.until(20).await, all);
    // Without its sender the session is over.
    let id = gated.session.id();
    gated.configured = tokio::sync::watch::Sender::new(None);
    within(rig.deliveries.unfollow(id)).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_plugins_get_every_event_once() {
    let rig = Rig::new(quick()).await;
    let mut all = Vec::new();
    for _ in 0..200 {
        let plugin = rig.install(&manifest(&[PUBLISHED])).await;
        let running = rig.run(&plugin, willing());
        all.push((plugin, running));
    }
    for (plugin, _) in &all {
        within(plugin.session.ready()).await.unwrap();
    }
    rig.publish(PUBLISHED, 0..20).await;
    let expected: Vec<i64> = (0..20).collect();
    for (_, running) in &mut all {
        assert_eq!(running.until(20).await, expected);
    }
    for (plugin, _) in &all {
        rig.settled(plugin).await;
    }
    let followed: Vec<_> = all.iter().map(|(plugin, _)| plugin.session.id()).collect();
    rig.stop_but(|store| async move {
        for id in followed {
            assert_eq!(store.record(id).await.unwrap().unwrap().event_cursor, 20);
        }
    })
    .await;
    for (_, running) in all {
        assert_eq!(running.got.borrow().len(), 20);
    }
}
