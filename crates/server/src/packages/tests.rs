use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use jackfield::package::Digest;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::*;

async fn put(packages: &Packages, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    let mut file = packages.incoming().unwrap();
    file.write_all(content).unwrap();
    packages.put(digest, file).await.unwrap();
    digest
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// A folder, and a store elsewhere: the story is the same.
async fn on_both(story: impl AsyncFn(Packages)) {
    let data = tempfile::tempdir().unwrap();
    story(Packages::open(None, &[], data.path()).await.unwrap()).await;
    let (packages, _store) = elsewhere(data.path()).await;
    story(packages).await;
}

async fn elsewhere(data: &Path) -> (Packages, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    (again(&store, data).await, store)
}

async fn again(store: &Arc<InMemory>, data: &Path) -> Packages {
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    let remote = Remote::over(store, "a/prefix".into());
    Packages::over(data.join("cache"), Some(remote))
        .await
        .unwrap()
}

#[tokio::test]
async fn an_archive_is_kept_once_found_listed_and_removed() {
    on_both(async |packages| {
        assert!(packages.list().await.unwrap().is_empty());
        let one = put(&packages, b"one").await;
        let two = put(&packages, b"two").await;
        assert_eq!(put(&packages, b"one").await, one);
        let mut list = packages.list().await.unwrap();
        list.sort();
        let mut all = [one, two];
        all.sort();
        assert_eq!(list, all);
        let path = packages.file(one).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(files(&path.with_file_name("incoming")), 0);
        packages.remove(one).await.unwrap();
        packages.remove(one).await.unwrap();
        let error = packages.file(one).await.unwrap_err();
        assert!(
            matches!(error, PackagesError::Missing(missing) if missing == one),
            "{error:?}"
        );
        assert_eq!(packages.list().await.unwrap(), [two]);
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_is_damaged_is_told_and_repaired_by_another_upload() {
    let data = tempfile::tempdir().unwrap();
    let packages = Packages::open(None, &[], data.path()).await.unwrap();
    let one = put(&packages, b"one").await;
    let path = packages.file(one).await.unwrap();
    fs::write(&path, b"0ne").unwrap();
    // By the next process; this one has read it already.
    let packages = Packages::open(None, &[], data.path()).await.unwrap();
    let error = packages.file(one).await.unwrap_err();
    assert!(matches!(error, PackagesError::Damaged(_)), "{error:?}");
    put(&packages, b"one").await;
    assert_eq!(fs::read(packages.file(one).await.unwrap()).unwrap(), b"one");
}

#[tokio::test]
async fn what_was_being_received_when_the_server_was_killed_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let url = format!("file://{}/else%20where", data.path().display());
    let packages = Packages::open(Some(&url), &[], data.path()).await.unwrap();
    let one = put(&packages, b"one").await;
    let left = packages
        .incoming()
        .unwrap()
        .into_temp_path()
        .keep()
        .unwrap();
    assert!(left.starts_with(data.path().join("else where/incoming")));
    let packages = Packages::open(Some(&url), &[], data.path()).await.unwrap();
    assert!(!left.exists());
    assert_eq!(packages.list().await.unwrap(), [one]);
}

#[tokio::test]
async fn a_large_archive_goes_in_pieces_and_comes_whole_to_all_who_ask() {
    let here = tempfile::tempdir().unwrap();
    let (packages, store) = elsewhere(here.path()).await;
    let content: Vec<u8> = (0..20_000_000u32)
        .map(|number| (number / 7) as u8)
        .collect();
    let digest = put(&packages, &content).await;
    let there = tempfile::tempdir().unwrap();
    let packages = again(&store, there.path()).await;
    for path in join_all((0..8).map(|_| packages.file(digest))).await {
        assert!(fs::read(path.unwrap()).unwrap() == content);
    }
    assert_eq!(files(&there.path().join("cache")), 2);
    // From now on the cache has it; one that is damaged there is fetched again.
    let cached = packages.file(digest).await.unwrap();
    fs::write(&cached, b"other").unwrap();
    let packages = again(&store, there.path()).await;
    assert!(fs::read(packages.file(digest).await.unwrap()).unwrap() == content);
    let place = object_store::path::Path::from(format!("a/prefix/{digest}.zip"));
    store.delete(&place).await.unwrap();
    assert_eq!(packages.file(digest).await.unwrap(), cached);
}

#[tokio::test]
async fn what_is_damaged_elsewhere_is_told_and_leaves_nothing_here() {
    let data = tempfile::tempdir().unwrap();
    let (packages, store) = elsewhere(data.path()).await;
    let digest = Digest::of(b"one");
    let place = object_store::path::Path::from(format!("a/prefix/{digest}.zip"));
    store.put(&place, "0ne".into()).await.unwrap();
    for other in ["a/prefix/notes.txt", "a/prefix/below/x.zip", "a/x.zip"] {
        let other = object_store::path::Path::from(other);
        store.put(&other, "0ne".into()).await.unwrap();
    }
    assert_eq!(packages.list().await.unwrap(), [digest]);
    let error = packages.file(digest).await.unwrap_err();
    assert!(matches!(error, PackagesError::Damaged(_)), "{error:?}");
    assert_eq!(files(&data.path().join("cache")), 1);
    assert_eq!(files(&data.path().join("cache/incoming")), 0);
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused_without_its_secrets() {
    let data = tempfile::tempdir().unwrap();
    for url in ["secret", "ftp://me:secret@host/x", "file:relative", "s3://"] {
        let error = Packages::open(Some(url), &[], data.path())
            .await
            .unwrap_err();
        assert!(matches!(error, PackagesError::Url { .. }), "{error:?}");
        if url.contains("secret") {
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }
    let options = [
        ("aws_access_key_id", "id"),
        ("aws_secret_access_key", "secret"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let packages = Packages::open(Some("s3://bucket/x"), &options, data.path())
        .await
        .unwrap();
    assert!(!format!("{packages:?}").contains("secret"), "{packages:?}");
}
