use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::super::{Publication, Store, StoredEvent};
use super::{installed, on_both, package, words};

const AGES: Duration = Duration::from_secs(3600);

async fn publish(store: &Store, name: &str) -> StoredEvent {
    match store.publish(name, "{}", "me", None).await.unwrap() {
        Publication::New(event) => event,
        other => panic!("{other:?}"),
    }
}

fn seqs(events: &[StoredEvent]) -> Vec<i64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_publishers_leave_no_gap_and_a_reader_overlooks_nothing() {
    const PUBLISHERS: i64 = 50;
    const EACH: i64 = 8;
    on_both(async |store| {
        let publishers = join_all((0..PUBLISHERS).map(|publisher| {
            let store = store.clone();
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Handle::current();
                runtime.block_on(async {
                    for number in 0..EACH {
                        // Every second one repeats a key, which must take no number.
                        let key = format!("{publisher}-{}", number / 2);
                        let publish = store.publish("EventEven", "{}", "me", Some(&key));
                        publish.await.unwrap();
                    }
                });
            })
        }));
        let all = PUBLISHERS * EACH / 2;
        let reader = async {
            let (names, mut cursor, mut seen) = (words(&["EventEven"]), 0, Vec::new());
            while (seen.len() as i64) < all {
                let (events, looked) = store.events_after(cursor, &names, 7).await.unwrap();
                seen.extend(seqs(&events));
                cursor = looked;
            }
            seen
        };
        let (published, seen) = futures_util::future::join(publishers, reader).await;
        published.into_iter().for_each(|done| done.unwrap());
        assert_eq!(seen, (1..=all).collect::<Vec<_>>());
        assert_eq!(store.newest_event().await.unwrap(), all);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_one_event_however_many_publish_at_once() {
    on_both(async |store| {
        let store = Arc::new(store);
        let publish = || store.publish("EventX", r#"{"a":1,"b":2}"#, "me", Some("key"));
        let done = join_all((0..20).map(|_| publish())).await;
        let (new, again): (Vec<_>, Vec<_>) = done
            .into_iter()
            .map(Result::unwrap)
            .partition(|done| matches!(done, Publication::New(_)));
        let [Publication::New(event)] = &new[..] else {
            panic!("{new:?}")
        };
        assert_eq!(again.len(), 19);
        for publication in again {
            assert_eq!(publication, Publication::Again(event.clone()));
        }
        // The same content, written otherwise.
        let same = store.publish("EventX", r#"{ "b": 2, "a": 1 }"#, "other", Some("key"));
        assert_eq!(same.await.unwrap(), Publication::Again(event.clone()));
        for (name, payload) in [("EventY", r#"{"a":1,"b":2}"#), ("EventX", "{}")] {
            let other = store
                .publish(name, payload, "me", Some("key"))
                .await
                .unwrap();
            assert_eq!(other, Publication::KeyTaken(event.clone()));
        }
        assert_eq!(store.newest_event().await.unwrap(), 1);
        let next = store
            .publish("EventX", "{}", "me", Some("another"))
            .await
            .unwrap();
        assert!(matches!(next, Publication::New(event) if event.seq == 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_the_names_it_asks_for_and_knows_where_to_go_on() {
    on_both(async |store| {
        let nothing = store
            .events_after(0, &words(&["EventA"]), 10)
            .await
            .unwrap();
        assert_eq!(nothing, (vec![], 0));
        for name in ["EventA", "EventB", "EventA", "EventC", "EventA", "EventC"] {
            publish(&store, name).await;
        }
        let read = async |cursor, names: &[&str], limit| {
            let (events, looked) = store
                .events_after(cursor, &words(names), limit)
                .await
                .unwrap();
            (seqs(&events), looked)
        };
        assert_eq!(read(0, &["EventA"], 2).await, (vec![1, 3], 3));
        assert_eq!(read(3, &["EventA"], 2).await, (vec![5], 6));
        assert_eq!(read(6, &["EventA"], 2).await, (vec![], 6));
        assert_eq!(read(0, &["EventB", "EventC"], 9).await, (vec![2, 4, 6], 6));
        assert_eq!(read(0, &["EventB", "EventB"], 9).await, (vec![2], 6));
        assert_eq!(read(0, &["EventZ"], 9).await, (vec![], 6));
        assert_eq!(read(0, &[], 9).await, (vec![], 6));
        assert_eq!(read(2, &["EventA"], 0).await, (vec![], 2));
        assert_eq!(
            store.count_events(1, 5, &words(&["EventA"])).await.unwrap(),
            2
        );
        assert_eq!(store.count_events(1, 5, &[]).await.unwrap(), 0);
        assert_eq!(installed(&store).await.event_cursor, 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_forward_only_and_many_at_once() {
    on_both(async |store| {
        let mut cursors = Vec::new();
        for number in 0..230 {
            let new = package("Hello", "one");
            cursors.push((new.id, number + 1));
            store.insert(new).await.unwrap();
        }
        let gone = jackfield::InstallationId::new();
        store.advance(&[]).await.unwrap();
        store
            .advance(&[&cursors[..], &[(gone, 5)]].concat())
            .await
            .unwrap();
        let (one, other) = (cursors[100].0, cursors[200].0);
        // Twice the same, in any order; and one that is behind.
        store
            .advance(&[(one, 500), (one, 400), (other, 7)])
            .await
            .unwrap();
        cursors[100].1 = 500;
        let records = store.records().await.unwrap().records;
        assert_eq!(records.len(), 230);
        for (id, cursor) in cursors {
            let record = records.iter().find(|record| record.id == id).unwrap();
            assert_eq!(record.event_cursor, cursor);
        }
        assert!(store.skip(one, 505, 3).await.unwrap());
        assert!(store.skip(one, 510, 4).await.unwrap());
        assert!(!store.skip(one, 510, 4).await.unwrap());
        assert!(!store.skip(gone, 510, 4).await.unwrap());
        let record = store.record(one).await.unwrap().unwrap();
        assert_eq!((record.event_cursor, record.events_missed), (510, 7));
    })
    .await;
}

/// As retention does it.
async fn forget(store: &Store, max_age: Duration, max_count: u64) -> i64 {
    let oldest = store.oldest_kept(max_age, max_count).await.unwrap();
    store.forget_before(oldest).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_forgotten_by_number_and_by_age_and_numbers_go_on() {
    on_both(async |store| {
        assert_eq!(forget(&store, AGES, 10).await, 1);
        for _ in 0..10 {
            publish(&store, "EventA").await;
        }
        assert_eq!(store.oldest_kept(AGES, 100).await.unwrap(), 1);
        assert_eq!(store.oldest_kept(AGES, 4).await.unwrap(), 7);
        assert_eq!(forget(&store, AGES, 4).await, 7);
        let (events, _) = store
            .events_after(0, &words(&["EventA"]), 100)
            .await
            .unwrap();
        assert_eq!(seqs(&events), [7, 8, 9, 10]);
        let old = crate::clock::millis(SystemTime::now() - 2 * AGES);
        let age = sqlx::query("UPDATE events SET published_at = $1 WHERE seq <= 8 OR seq = 10");
        age.bind(old).execute(&store.pool).await.unwrap();
        // 10 is old only because some clock was wrong: 9 is before it, and young.
        assert_eq!(forget(&store, AGES, 100).await, 9);
        let age = sqlx::query("UPDATE events SET published_at = $1");
        age.bind(old).execute(&store.pool).await.unwrap();
        assert_eq!(forget(&store, AGES, 100).await, 11);
        assert_eq!(forget(&store, Duration::MAX, u64::MAX).await, 11);
        assert_eq!(publish(&store, "EventA").await.seq, 11);
        assert_eq!(forget(&store, AGES, 0).await, 12);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_with_a_nul_are_no_reason_to_fail() {
    on_both(async |store| {
        store
            .publish("Event\0", r#"{"a":"\u0000"}"#, "m\0e", Some("k\0"))
            .await
            .unwrap();
        store
            .events_after(0, &words(&["Event\0"]), 5)
            .await
            .unwrap();
        store.audit("\0", "\0", "\0", Err("\0")).await.unwrap();
        assert!(store.target("\0").await.unwrap().is_none());
    })
    .await;
}
