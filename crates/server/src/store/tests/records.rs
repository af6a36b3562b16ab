use jackfield::{ActiveState, InstallationId, Mode, Token};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{external, installed, manifest, on_both, package, words};
use crate::store::{Publication, Store, StoreError};

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_read_as_it_was_written() {
    on_both(async |store| {
        let published = store.publish("EventX", "{}", "me", None).await.unwrap();
        assert!(matches!(published, Publication::New(_)));
        let one = store.insert(package("One", "one")).await.unwrap();
        let two = store.insert(external("Two")).await.unwrap();
        assert_eq!(
            (one.mode, one.version, one.event_cursor),
            (Mode::Supervised, Some(1), 1)
        );
        assert!(one.token.is_none());
        assert_eq!((two.mode, two.version), (Mode::External, None));
        let records = store.records().await.unwrap();
        assert!(records.unreadable.is_empty());
        assert_eq!(
            format!("{:?}", records.records),
            format!("{:?}", [&one, &two])
        );
        let found = store.record(two.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{two:?}"));
        let id = InstallationId::new();
        assert!(store.record(id).await.unwrap().is_none());
        // Twice the same id is refused, and leaves nothing.
        let again = crate::store::NewRecord {
            id: one.id,
            ..package("One", "two")
        };
        assert!(store.insert(again).await.is_err());
        assert_eq!(store.versions(one.id).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_set_for_this_one_alone() {
    on_both(async |store| {
        let other = store.insert(external("Other")).await.unwrap();
        let id = store.insert(external("Hello")).await.unwrap().id;
        let token = Token::external();
        let config = json!({"a": "ü\0", "secret": {"$sealed": "x"}});
        let config = config.as_object().unwrap();
        let set_all = async |id| {
            [
                store.set_wanted(id, ActiveState::Inactive).await.unwrap(),
                store.set_manifest(id, &manifest("Changed")).await.unwrap(),
                store.set_token(id, token.hash(), "sdprt_x").await.unwrap(),
                store.set_granted(id, &words(&["A", "B"])).await.unwrap(),
                store.set_config(id, config).await.unwrap(),
                store.next_access_generation(id).await.unwrap() == Some(2),
            ]
        };
        assert_eq!(set_all(InstallationId::new()).await, [false; 6]);
        assert_eq!(set_all(id).await, [true; 6]);
        let record = store.record(id).await.unwrap().unwrap();
        assert_eq!(record.wanted, ActiveState::Inactive);
        assert!(record.wanted_at >= record.added_at && record.updated_at >= record.wanted_at);
        assert_eq!(record.manifest, manifest("Changed"));
        assert_eq!(record.token, Some((token.hash(), "sdprt_x".into())));
        assert_eq!(record.granted, ["A", "B"]);
        assert_eq!(&record.config, config);
        assert_eq!(record.access_generation, 2);
        let found = store.record(other.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{other:?}"));
    })
    .await;
}

/// Whoever has the database in their hands can write anything into it.
async fn corrupt(store: &Store, id: InstallationId, set: &str) -> Result<(), sqlx::Error> {
    let text = format!("UPDATE installations SET {set} WHERE id = '{id}'");
    sqlx::query(AssertSqlSafe(text))
        .execute(&store.pool)
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_hides_no_other_and_can_be_removed() {
    on_both(async |store| {
        let good = installed(&store).await.id;
        for set in [
            "manifest = 'garbage'",
            "manifest = '{}'",
            "wanted = 'perhaps'",
            "mode = 'none'",
            "mode = 'external'",
            "config = '[]'",
            "granted = '{'",
            "version = NULL",
            // What only SQLite takes.
            "added_at = 'yesterday'",
            "config = x'00ff'",
            "config = CAST(x'ff' AS TEXT)",
        ] {
            let bad = store.insert(package("Bad", "bad")).await.unwrap().id;
            if corrupt(&store, bad, set).await.is_err() {
                store.remove(bad).await.unwrap();
                continue;
            }
            let records = store.records().await.unwrap();
            let [readable] = &records.records[..] else {
                panic!("{set}: {records:?}")
            };
            assert_eq!(readable.id, good, "{set}");
            let [unreadable] = &records.unreadable[..] else {
                panic!("{set}: {records:?}")
            };
            assert_eq!(unreadable.id, bad.to_string(), "{set}");
            let column = set.split_once(' ').unwrap().0;
            let column = if set == "mode = 'external'" {
                "token_hash"
            } else {
                column
            };
            if !set.contains("CAST") {
                assert!(
                    unreadable.why.starts_with(column),
                    "{set}: {}",
                    unreadable.why
                );
                let error = store.record(bad).await.unwrap_err();
                assert!(matches!(error, StoreError::Row { .. }), "{set}: {error:?}");
            }
            assert!(store.remove(bad).await.unwrap().is_some(), "{set}");
        }
        assert_eq!(store.records().await.unwrap().records.len(), 1);
    })
    .await;
}
