use std::time::SystemTime;

use futures_util::future::join_all;
use jackfield::InstallationId;
use jackfield::package::Digest;

use super::super::{Store, Version};
use super::{external, manifest, on_both, package};

fn version(content: &str) -> Version {
    Version {
        number: 0,
        manifest: manifest(content),
        digest: Digest::of(content.as_bytes()),
        size: 3,
        source: "upload".into(),
        added_at: SystemTime::now(),
        added_by: "me".into(),
        place: None,
    }
}

async fn numbers(store: &Store, id: InstallationId) -> Vec<i64> {
    let versions = store.versions(id).await.unwrap();
    versions.iter().map(|version| version.number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_counts_when_it_is_made_to_with_its_manifest() {
    on_both(async |store| {
        let id = store.insert(package("one", "one")).await.unwrap().id;
        let two = store
            .add_version(id, version("two"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(two.number, 2);
        let found = store.versions(id).await.unwrap();
        assert_eq!(format!("{:?}", found[1]), format!("{two:?}"));
        let current = async || {
            let record = store.record(id).await.unwrap().unwrap();
            (record.version, record.manifest)
        };
        assert_eq!(current().await, (Some(1), manifest("one")));
        assert!(store.set_current(id, 2).await.unwrap());
        assert_eq!(current().await, (Some(2), manifest("two")));
        assert!(!store.set_current(id, 3).await.unwrap());
        let nobody = InstallationId::new();
        assert!(!store.set_current(nobody, 1).await.unwrap());
        assert!(
            store
                .add_version(nobody, version("x"))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(current().await, (Some(2), manifest("two")));
        let used = store.digests_in_use().await.unwrap();
        assert_eq!(used, [Digest::of(b"one"), Digest::of(b"two")].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_added_at_once_have_numbers_of_their_own() {
    on_both(async |store| {
        let id = store.insert(package("one", "one")).await.unwrap().id;
        let add = || store.add_version(id, version("more"));
        for added in join_all((0..15).map(|_| add())).await {
            added.unwrap().unwrap();
        }
        assert_eq!(numbers(&store, id).await, (1..=16).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_have_places_in_the_order_in_which_they_counted() {
    on_both(async |store| {
        let id = store.insert(package("one", "one")).await.unwrap().id;
        for content in ["two", "three", "four"] {
            store.add_version(id, version(content)).await.unwrap();
        }
        let places = async || -> Vec<Option<i64>> {
            let versions = store.versions(id).await.unwrap();
            versions.iter().map(|version| version.place).collect()
        };
        assert_eq!(places().await, [Some(1), None, None, None]);
        store.set_current(id, 2).await.unwrap();
        assert_eq!(places().await, [Some(1), Some(2), None, None]);
        // Back, and ahead of what was rolled back from.
        store.set_current(id, 1).await.unwrap();
        assert_eq!(places().await, [Some(1), Some(0), None, None]);
        store.set_current(id, 4).await.unwrap();
        assert_eq!(places().await, [Some(1), Some(0), None, Some(2)]);
        store.set_current(id, 2).await.unwrap();
        assert_eq!(places().await, [Some(1), Some(3), None, Some(2)]);
        store.set_current(id, 1).await.unwrap();
        assert_eq!(places().await, [Some(1), Some(0), None, Some(0)]);
        // What counted once is not forgotten as what never did.
        assert_eq!(store.forget_version(id, 4).await.unwrap(), None);
        assert_eq!(
            store.forget_version(id, 3).await.unwrap(),
            Some(Digest::of(b"three"))
        );
        assert_eq!(numbers(&store, id).await, [1, 2, 4]);
        // A number is never given twice, though nothing bears it any more.
        let last = store
            .add_version(id, version("last"))
            .await
            .unwrap()
            .unwrap();
        store.forget_version(id, last.number).await.unwrap();
        let next = store
            .add_version(id, version("next"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((last.number, next.number), (5, 6));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_says_which_archives_nobody_uses() {
    on_both(async |store| {
        let id = store.insert(package("one", "one")).await.unwrap().id;
        let other = store.insert(package("two", "two")).await.unwrap().id;
        for content in ["two", "three", "four", "five", "three"] {
            store.add_version(id, version(content)).await.unwrap();
        }
        store.set_current(id, 2).await.unwrap();
        // The one that counts stays; `three` is version 6, too; nobody else uses `five`.
        assert_eq!(store.forget_version(id, 2).await.unwrap(), None);
        assert_eq!(store.forget_version(id, 3).await.unwrap(), None);
        assert_eq!(
            store.forget_version(id, 5).await.unwrap(),
            Some(Digest::of(b"five"))
        );
        assert_eq!(store.forget_version(id, 5).await.unwrap(), None);
        assert_eq!(numbers(&store, id).await, [1, 2, 4, 6]);
        // Two with the one that counts, however old that is.
        let mut unused = store.prune_versions(id, 2).await.unwrap();
        unused.sort();
        // Those that counted stay longest.
        let mut expected = [Digest::of(b"three"), Digest::of(b"four")];
        expected.sort();
        assert_eq!(unused, expected);
        assert_eq!(numbers(&store, id).await, [1, 2]);
        assert!(store.prune_versions(id, 2).await.unwrap().is_empty());
        assert_eq!(
            store.prune_versions(id, 0).await.unwrap(),
            [Digest::of(b"one")]
        );
        assert_eq!(numbers(&store, id).await, [2]);

        // `two` is the other's, too.
        assert_eq!(store.remove(id).await.unwrap(), Some(vec![]));
        assert_eq!(store.remove(id).await.unwrap(), None);
        assert!(numbers(&store, id).await.is_empty());
        assert_eq!(
            store.remove(other).await.unwrap(),
            Some(vec![Digest::of(b"two")])
        );
        assert!(store.digests_in_use().await.unwrap().is_empty());
        let id = store.insert(external("external")).await.unwrap().id;
        assert_eq!(store.remove(id).await.unwrap(), Some(vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_never_counted_are_forgotten_when_a_server_starts() {
    on_both(async |store| {
        let id = store.insert(package("one", "one")).await.unwrap().id;
        for content in ["two", "three", "four"] {
            store.add_version(id, version(content)).await.unwrap();
        }
        assert!(store.set_current(id, 3).await.unwrap());
        assert!(store.set_current(id, 1).await.unwrap());
        assert_eq!(store.forget_trials().await.unwrap(), 2);
        // The third has counted, though the first does now.
        assert_eq!(numbers(&store, id).await, [1, 3]);
        assert_eq!(store.forget_trials().await.unwrap(), 0);
    })
    .await;
}
