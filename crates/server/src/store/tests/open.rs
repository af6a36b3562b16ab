use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::{Hold, OpenError, Store};
use super::{installed, on_both, on_urls};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_when_it_is_opened_again() {
    on_urls(async |url| {
        let store = Store::open(url).await.unwrap();
        store.ping().await.unwrap();
        let record = installed(&store).await;
        store.close().await;
        assert!(store.ping().await.is_err());
        let store = Store::open(url).await.unwrap();
        let found = store.record(record.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{record:?}"));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starters_at_once_bring_it_up_to_date_once() {
    on_urls(async |url| {
        let stores = join_all((0..6).map(|_| Store::open(url))).await;
        for store in stores {
            let store = store.unwrap();
            installed(&store).await;
            store.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_newer_server_has_changed_is_left_alone() {
    on_urls(async |url| {
        let store = Store::open(url).await.unwrap();
        let newer = "UPDATE _sqlx_migrations SET version = 99 WHERE version = 2";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        store.close().await;
        let error = Store::open(url).await.unwrap_err();
        let known = matches!(
            error,
            OpenError::Newer {
                found: 99,
                known: 2
            }
        );
        assert!(known, "{error:?}");
        assert!(error.to_string().contains("newer server"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_changed_is_an_error() {
    on_urls(async |url| {
        let store = Store::open(url).await.unwrap();
        let other = "UPDATE _sqlx_migrations SET description = 'x', checksum = $1";
        let changed = sqlx::query(other).bind(vec![1u8, 2]);
        changed.execute(&store.pool).await.unwrap();
        store.close().await;
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::Migrate(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn the_file_is_for_nobody_else_and_set_up_for_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/for it/x.db");
    let url = format!("sqlite://{}", path.display());
    let store = Store::open(&url).await.unwrap();
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
    let ask = async |what: &'static str| -> String {
        sqlx::query_scalar(what)
            .fetch_one(&store.pool)
            .await
            .unwrap()
    };
    assert_eq!(
        ask("SELECT journal_mode FROM pragma_journal_mode").await,
        "wal"
    );
    let number = async |what: &'static str| -> i64 {
        sqlx::query_scalar(what)
            .fetch_one(&store.pool)
            .await
            .unwrap()
    };
    assert_eq!(number("PRAGMA synchronous").await, 2);
    assert_eq!(number("PRAGMA foreign_keys").await, 1);
    assert_eq!(number("PRAGMA busy_timeout").await, 10_000);
}

#[tokio::test]
async fn what_is_no_database_is_told_without_its_password() {
    for url in [
        "",
        "secret",
        "mysql://me:secret@db/x",
        "sqlite:",
        "sqlite::memory:",
    ] {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::Url(_)), "{error:?}");
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
    }
    for url in [
        "postgres://me:secret@127.0.0.1:1/x?password=secret",
        "postgres://me:secret@db:port/x",
    ] {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::Open { .. }), "{error:?}");
        let source = error.source().map(ToString::to_string);
        assert!(
            !format!("{error} {error:?} {source:?}").contains("secret"),
            "{error:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("text"),
        "this is no database, but it is long enough for one",
    )
    .unwrap();
    for path in ["", "/text", "/text/below"] {
        let url = format!("sqlite:{}{path}", folder.path().display());
        let error = Store::open(&url).await.unwrap_err();
        assert!(matches!(error, OpenError::Open { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_at_a_time_has_a_database() {
    on_urls(async |url| {
        let store = Store::open(url).await.unwrap();
        let hold = Hold::take(url).await.unwrap();
        let refused = Hold::take_within(url, Duration::ZERO).await;
        assert!(matches!(refused, Err(OpenError::InUse)), "{refused:?}");
        // Who is patient gets it when it is free.
        let (other, ()) = tokio::join!(Hold::take(url), async {
            assert!(
                timeout(Duration::from_millis(300), hold.keep())
                    .await
                    .is_err()
            );
            drop(hold);
        });
        let other = other.unwrap();
        drop(other);
        store.close().await;
    })
    .await;
}

#[test]
fn every_migration_is_known() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let mut files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    let known = super::super::open::MIGRATIONS.iter();
    let known: Vec<String> = known
        .map(|(number, name, _)| format!("{number:04}_{name}.sql"))
        .collect();
    assert_eq!(files, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_for_an_answer_leaves_the_connection_usable() {
    on_both(async |store| {
        for _ in 0..20 {
            // Dropped somewhere on the way.
            let publish = store.publish("EventDropped", "{}", "me", None);
            let _ = tokio::time::timeout(std::time::Duration::from_micros(300), publish).await;
        }
        let newest = store.newest_event().await.unwrap();
        let names = super::words(&["EventDropped"]);
        let (events, _) = store.events_after(0, &names, 100).await.unwrap();
        let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=newest).collect::<Vec<_>>());
        installed(&store).await;
    })
    .await;
}
