//! Plugins come: what is taken, and what is left of what is not.

use jackfield::package::Digest;
use jackfield_testkit::within;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::fixture::{Bench, archive, by};
use crate::registry::{Acceptance, InstallError, Upload};

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| config.max_package = 20_000).await;
    let registry = &bench.registry;
    let bytes = archive("1", &[], json!({}));
    let pinned = |checksum: &str| Acceptance {
        checksum: Some(checksum.to_owned()),
        ..by("ann")
    };

    let refused = registry.install(bench.file(b"no zip"), by("ann")).await;
    assert!(
        matches!(refused, Err(InstallError::Package(_))),
        "{refused:?}"
    );
    let refused = registry.install(bench.file(&[0; 20_001]), by("ann")).await;
    assert!(
        matches!(refused, Err(InstallError::TooLarge(20_000))),
        "{refused:?}"
    );
    let refused = registry
        .install(bench.file(&bytes), pinned(&"0".repeat(64)))
        .await;
    let Err(InstallError::Checksum { found, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(found, Digest::of(&bytes).to_string());
    let nowhere = Upload::Url("http://127.0.0.1:1/a.zip?key=secret".to_owned());
    let refused = registry.install(nowhere, by("ann")).await;
    assert!(
        matches!(refused, Err(InstallError::Fetch(_))),
        "{refused:?}"
    );
    assert!(!format!("{refused:?}").contains("secret"));
    let (installed, unreadable) = registry.list().await.unwrap();
    assert!(installed.is_empty() && unreadable.is_empty());
    assert!(bench.archives().await.is_empty());

    // In capitals, as some tools write it.
    let taken = registry
        .install(bench.file(&bytes), pinned(&found.to_uppercase()))
        .await;
    assert_eq!(taken.unwrap().package.unwrap().digest.to_string(), found);
    bench.close().await;
}

#[tokio::test]
async fn a_package_comes_from_an_address_and_gets_what_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let access = json!({"access": {"handle": "h", "name": "n", "permissions": ["READ", "WRITE"]}});
    let bytes = archive("1", &[], access);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.zip?key=secret", listener.local_addr().unwrap());
    let mut site = JoinSet::new();
    site.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
    });
    let acceptance = Acceptance {
        grant: true,
        ..by("ann")
    };
    let installed = within(bench.registry.install(Upload::Url(url), acceptance))
        .await
        .unwrap();
    let id = installed.record.id;
    assert_eq!(installed.record.granted, ["READ", "WRITE"]);
    let source = installed.package.unwrap().source;
    assert!(source.ends_with("/a.zip"), "{source}");
    assert!(!bench.audit(id).await[0].detail.contains("secret"));

    let granted = vec!["WRITE".to_owned(), "ADMIN".to_owned()];
    let granted = bench
        .registry
        .grant(id, granted, "ann")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(granted, ["WRITE"]);
    assert_eq!(bench.get(id).await.record.granted, ["WRITE"]);
    let before = bench.get(id).await.record.access_generation;
    bench
        .registry
        .rotate_access(id, "ann")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.get(id).await.record.access_generation, before + 1);
    bench.close().await;
}

/// An archive must not go between the moment when it is found in the store and the moment when a
/// version says that it uses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_archive_comes_and_goes_at_once_and_whoever_has_it_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let bytes = archive("1", &[], json!({}));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let uploads: Vec<_> = (0..10).map(|_| bench.file(&bytes)).collect();
        let (registry, bytes) = (bench.registry.clone(), bytes.clone());
        tasks.spawn(async move {
            for upload in uploads {
                let installed = registry.install(upload, by("ann")).await.unwrap();
                let id = installed.record.id;
                let (file, _) = registry.package(id, None).await.unwrap();
                assert_eq!(std::fs::read(file).unwrap(), bytes);
                registry.remove(id, "ann").await.unwrap();
            }
        });
    }
    while let Some(done) = within(tasks.join_next()).await {
        done.unwrap();
    }
    assert!(bench.registry.list().await.unwrap().0.is_empty());
    assert!(bench.archives().await.is_empty());
    bench.close().await;
}

#[tokio::test]
async fn an_installation_goes_on_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    {
        let upload = bench.upload("1", &[], json!({}));
        let mut install = Box::pin(bench.registry.install(upload, by("ann")));
        assert!(futures_util::poll!(install.as_mut()).is_pending());
    }
    // What runs on the tracker is waited for at the end.
    let store = bench.registry.parts().store.clone();
    let entries = async {
        let newest = crate::store::EntryQuery {
            limit: 1,
            ..Default::default()
        };
        loop {
            let entries = store.entries(&newest);
            if let Some(entry) = entries.await.unwrap().pop() {
                return entry;
            }
            tokio::task::yield_now().await;
        }
    };
    let entry = within(entries).await;
    assert_eq!((&*entry.action, entry.done), ("install", true));
    assert_eq!(bench.registry.list().await.unwrap().0.len(), 1);
    bench.close().await;
}
