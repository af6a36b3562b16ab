//! One call of every kind.

use connectrpc::{ConnectError, ErrorCode};
use futures_util::stream;
use kv::sync_request::Step;
use kv::{Entry, GetRequest, KvClient, ListRequest, PutRequest, SyncRequest};

pub(crate) async fn take(name: &str, kv: &KvClient) -> Result<(), ConnectError> {
    kv.put(PutRequest {
        entry: entry("colour", "blue").into(),
        ..PutRequest::default()
    })
    .await?;
    let request = GetRequest {
        key: "colour".to_owned(),
        ..GetRequest::default()
    };
    let got = kv.get(request).await?.into_owned();
    println!("{name}: put, and got colour={}", text(&got.value));

    let request = GetRequest {
        key: "shape".to_owned(),
        ..GetRequest::default()
    };
    match kv.get(request).await {
        Err(error) if error.code == ErrorCode::NotFound => println!("{name}: refused: {error}"),
        other => drop(other?),
    }

    let entries = ["one", "two", "three"].map(|key| entry(&format!("number/{key}"), key));
    let loaded = kv.load(stream::iter(entries)).await?.into_owned();
    println!("{name}: loaded {} entries", loaded.stored);

    let request = ListRequest {
        prefix: "number/".to_owned(),
        ..ListRequest::default()
    };
    let mut listed = kv.list(request).await?;
    while let Some(entry) = listed.message::<Entry>().await? {
        let entry = entry.to_owned_message();
        println!("{name}: listed {}={}", entry.key, text(&entry.value));
    }

    let mut both = kv.sync().await?;
    let steps = [
        Step::Get("shape".to_owned()),
        Step::from(entry("shape", "round")),
        Step::Get("shape".to_owned()),
    ];
    for step in steps {
        both.send(SyncRequest {
            step: Some(step),
            ..SyncRequest::default()
        })
        .await?;
        let Some(answer) = both.message().await? else {
            break;
        };
        let answer: kv::SyncResponse = answer.to_owned_message();
        match answer.value {
            Some(value) => println!("{name}: synced {}={}", answer.key, text(&value)),
            None => println!("{name}: synced {}, which has no value", answer.key),
        }
    }
    both.close_send();
    Ok(())
}

fn entry(key: &str, value: &str) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.into(),
        ..Entry::default()
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
