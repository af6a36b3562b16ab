use std::time::SystemTime;

use super::super::Parked;
use super::{installed, on_both};
use crate::clock;

fn parked(seq: i64) -> Parked {
    let now = clock::time(clock::millis(SystemTime::now()));
    Parked {
        seq,
        name: "EventX".into(),
        payload: "{}".into(),
        published_at: now,
        attempts: 5,
        reason: "no".into(),
        parked_at: now,
        to_replay: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_lies_there_until_it_is_delivered_or_given_up() {
    on_both(async |store| {
        let (one, other) = (installed(&store).await.id, installed(&store).await.id);
        for seq in [3, 7, 5] {
            store.park(one, &parked(seq)).await.unwrap();
        }
        store.park(other, &parked(3)).await.unwrap();
        // With it goes the cursor, and never backward.
        assert_eq!(store.record(one).await.unwrap().unwrap().event_cursor, 7);
        let lie = async |id| -> Vec<i64> {
            let parked = store.parked(id, 1000).await.unwrap();
            parked.iter().map(|parked| parked.seq).collect()
        };
        assert_eq!(lie(one).await, [3, 5, 7]);
        assert_eq!(store.count_parked(one).await.unwrap(), 3);
        let there = &store.parked(one, 1000).await.unwrap()[0];
        assert_eq!(
            (there.attempts, &*there.reason, there.to_replay),
            (5, "no", false)
        );

        assert!(store.to_replay(one, 1000).await.unwrap().is_empty());
        assert_eq!(store.ask_replay(one, Some(4)).await.unwrap(), 0);
        assert_eq!(store.ask_replay(one, Some(5)).await.unwrap(), 1);
        let asked = store.to_replay(one, 1000).await.unwrap();
        assert!(
            matches!(
                &asked[..],
                [Parked {
                    seq: 5,
                    to_replay: true,
                    ..
                }]
            ),
            "{asked:?}"
        );
        store.replay_failed(one, 5, "not\0now").await.unwrap();
        assert!(store.to_replay(one, 1000).await.unwrap().is_empty());
        let there = &store.parked(one, 1000).await.unwrap()[1];
        assert_eq!((there.attempts, &*there.reason), (6, "not\u{fffd}now"));

        assert_eq!(store.ask_replay(one, None).await.unwrap(), 3);
        assert_eq!(store.to_replay(one, 1000).await.unwrap().len(), 3);
        assert!(store.to_replay(other, 1000).await.unwrap().is_empty());
        assert!(store.unpark(one, 5).await.unwrap());
        assert!(!store.unpark(one, 5).await.unwrap());
        assert_eq!(lie(one).await, [3, 7]);

        // Parked again, and for somebody who is gone.
        store.park(one, &parked(3)).await.unwrap();
        assert_eq!(lie(one).await, [3, 7]);
        store.forget_before(i64::MAX).await.unwrap();
        assert_eq!(lie(one).await, [3, 7]);
        store.remove(one).await.unwrap().unwrap();
        assert!(lie(one).await.is_empty());
        store.park(one, &parked(9)).await.unwrap();
        assert!(lie(one).await.is_empty());
        assert_eq!(lie(other).await, [3]);
    })
    .await;
}
