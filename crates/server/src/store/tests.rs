//! Each of these tells its story on SQLite and on PostgreSQL.

mod events;
mod open;
mod others;
mod parked;
mod records;
mod versions;

use jackfield::package::Digest;
use jackfield::wire::manifest::Manifest;
use jackfield::{ActiveState, InstallationId, Token};
use serde_json::json;

use super::{NewRecord, Origin, Record, Store};

/// Runs a story on a new database of each kind.
async fn on_both(story: impl AsyncFn(Store)) {
    on_urls(async |url: &str| {
        let store = Store::open(url).await.unwrap();
        story(store.clone()).await;
        store.close().await;
    })
    .await;
}

/// The same, with the URL of a database that nobody has opened yet.
async fn on_urls(story: impl AsyncFn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    eprintln!("on SQLite");
    story(&format!(
        "sqlite:{}/a folder/100%?.db",
        folder.path().display()
    ))
    .await;
    eprintln!("on PostgreSQL");
    story(&jackfield_testkit::postgres::database().await).await;
}

fn manifest(name: &str) -> Manifest {
    let document = json!({
        "id": "hello", "name": name, "author": "me", "description": "says hello", "version": "1.0.0",
        "command": "./hello",
    });
    Manifest::check_value(&document).into_result().unwrap()
}

fn package(name: &str, content: &str) -> NewRecord {
    NewRecord {
        id: InstallationId::new(),
        manifest: manifest(name),
        origin: Origin::Package {
            digest: Digest::of(content.as_bytes()),
            size: content.len() as u64,
            source: "upload".into(),
        },
        wanted: ActiveState::Inactive,
        granted: vec!["read".into()],
        added_by: "me".into(),
    }
}

fn external(name: &str) -> NewRecord {
    let token = Token::external();
    NewRecord {
        origin: Origin::External {
            token: token.hash(),
            prefix: token.reveal()[..10].into(),
        },
        wanted: ActiveState::Active,
        ..package(name, "")
    }
}

async fn installed(store: &Store) -> Record {
    store.insert(package("Hello", "one")).await.unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
