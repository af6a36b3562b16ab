//! Lines that break, plugins that were down, servers that are killed.

use std::sync::Arc;

use jackfield_plugin::Plugin;
use tokio::sync::watch;

use super::rig::{Answer, PUBLISHED, Rig, manifest, quick, willing, within};

#[tokio::test]
async fn an_event_that_was_out_when_the_line_broke_comes_again() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let log = watch::Sender::new(Vec::new());
    let hanging = |n, times| {
        if n == 1 && times == 1 {
            Answer::Hang
        } else {
            Answer::Take
        }
    };
    let mut first = rig.run_noting(&plugin, Arc::new(hanging), log.clone());
    rig.publish(PUBLISHED, 0..3).await;
    assert_eq!(first.until(2).await, [0, 1]);
    first.cut().await;
    let mut second = rig.run_noting(&plugin, Arc::new(hanging), log);
    assert_eq!(second.until(4).await, [0, 1, 1, 2]);
    rig.settled(&plugin).await;
    rig.stop().await;
}

#[tokio::test]
async fn an_event_that_kills_the_plugin_is_parked() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    rig.publish(PUBLISHED, 0..2).await;
    for _ in 0..3 {
        let mut running = rig.run(&plugin, Arc::new(|_, _| Answer::Hang));
        assert_eq!(running.until(1).await, [0]);
        running.cut().await;
    }
    let mut running = rig.run(&plugin, willing());
    assert_eq!(running.until(1).await, [1]);
    rig.settled(&plugin).await;
    let parked = rig.store.parked(plugin.session.id(), 1000).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].attempts, 3);
    rig.stop().await;
}

#[tokio::test]
async fn being_down_is_no_attempt_and_loses_nothing() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    // More than is kept in memory: some of it comes from the database.
    let published: Vec<i64> = (0..1300).collect();
    rig.publish(PUBLISHED, published.clone()).await;
    let mut running = rig.run(&plugin, willing());
    assert_eq!(running.until(published.len()).await, published);
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
async fn another_follower_takes_over_where_the_first_one_was() {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let mut running = rig.run(&plugin, willing());
    rig.publish(PUBLISHED, 0..20).await;
    // With the record as it was at the beginning.
    let mut old = rig.record(&plugin).await;
    old.event_cursor = 0;
    running.until(10).await;
    let configured = plugin.configured.subscribe();
    rig.deliveries
        .follow(&old, plugin.session.clone(), configured);
    rig.publish(PUBLISHED, 20..40).await;
    let all: Vec<i64> = (0..40).collect();
    assert_eq!(running.until(40).await, all);
    // And with the record as it is written when the first one has ended.
    within(rig.deliveries.unfollow(plugin.session.id())).await;
    assert_eq!(rig.record(&plugin).await.event_cursor, 40);
    rig.publish(PUBLISHED, 40..60).await;
    rig.follow(&plugin).await;
    let all: Vec<i64> = (0..60).collect();
    assert_eq!(running.until(60).await, all);
    rig.settled(&plugin).await;
    assert_eq!(running.got.borrow().len(), 60);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_out_when_deliveries_are_drained_may_still_be_acknowledged() {
    last_ack(true).await;
}

#[tokio::test]
async fn what_is_out_when_the_server_ends_may_still_be_acknowledged() {
    last_ack(false).await;
}

async fn last_ack(drained: bool) {
    let rig = Rig::new(quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let (release, held) = watch::channel(false);
    let (tell, mut told) = watch::channel(false);
    let slow = Plugin::new(&plugin.url).on_any_event(move |_host, _event| {
        let (mut held, tell) = (held.clone(), tell.clone());
        async move {
            tell.send_replace(true);
            held.wait_for(|go| *go).await?;
            Ok(())
        }
    });
    rig.tasks.spawn(async move {
        slow.run_until(std::future::pending()).await.unwrap();
    });
    rig.publish(PUBLISHED, 0..3).await;
    within(told.wait_for(|out| *out)).await.unwrap();
    let drain = async {
        if drained {
            rig.deliveries.drain().await;
        } else {
            rig.end_deliveries().await;
        }
    };
    let ack = async {
        tokio::task::yield_now().await;
        release.send_replace(true);
    };
    within(async { tokio::join!(drain, ack) }).await;
    let id = plugin.session.id();
    // The first one counts as delivered, and the second was not begun.
    rig.stop_but(|store| async move {
        assert_eq!(store.record(id).await.unwrap().unwrap().event_cursor, 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_ends_in_peace_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::over(folder.path(), quick()).await;
    let plugin = rig.install(&manifest(&[PUBLISHED])).await;
    let token = plugin.token.clone();
    let mut running = rig.run(&plugin, willing());
    rig.publish(PUBLISHED, 0..50).await;
    running.until(20).await;
    running.cut().await;
    let (id, log) = (plugin.session.id(), watch::Sender::new(Vec::new()));
    drop(plugin);
    rig.stop().await;

    let rig = Rig::over(folder.path(), quick()).await;
    let record = rig.store.record(id).await.unwrap().unwrap();
    let first = record.event_cursor;
    assert!((19..=50).contains(&first), "{first}");
    let plugin = rig.load(&record, &token).await;
    rig.pass_gate(&plugin);
    rig.follow(&plugin).await;
    let mut running = rig.run_noting(&plugin, willing(), log);
    // Numbers of events begin with 1, what they carry with 0.
    let rest: Vec<i64> = (first..50).collect();
    assert_eq!(running.until(rest.len()).await, rest);
    rig.stop().await;
}

/// The first server's runtime is thrown away with all that runs on it: nothing of it can write a last
/// word, as after a kill.
#[test]
fn a_killed_server_loses_nothing_and_repeats_only_the_edge() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (rig, plugin, before) = first.block_on(async {
        let rig = Rig::over(folder.path(), quick()).await;
        let plugin = rig.install(&manifest(&[PUBLISHED])).await;
        let mut running = rig.run(&plugin, willing());
        rig.publish(PUBLISHED, 0..300).await;
        running.until(150).await;
        (rig, plugin, running.got.clone())
    });
    let (id, token) = (plugin.session.id(), plugin.token.clone());
    first.shutdown_timeout(std::time::Duration::from_secs(10));
    drop((rig, plugin));
    let before = before.borrow().clone();

    runtime().block_on(async {
        let rig = Rig::over(folder.path(), quick()).await;
        let record = rig.store.record(id).await.unwrap().unwrap();
        let cursor = record.event_cursor;
        // It is never ahead of what was delivered.
        assert!(cursor <= i64::try_from(before.len()).unwrap());
        let plugin = rig.load(&record, &token).await;
        rig.pass_gate(&plugin);
        rig.follow(&plugin).await;
        let mut running = rig.run(&plugin, willing());
        let rest: Vec<i64> = (cursor..300).collect();
        assert_eq!(running.until(rest.len()).await, rest);
        assert_eq!(
            before,
            (0..i64::try_from(before.len()).unwrap()).collect::<Vec<_>>()
        );
        rig.stop().await;
    });
}
