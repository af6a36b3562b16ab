//! Logs as server-sent events.

use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{PATIENCE, Rig, problem};

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_where_it_was() {
    let rig = Rig::start().await;
    let id = rig
        .install("echo one; echo two; echo ERROR three; exit 1")
        .await;
    let path = format!("/api/plugins/{id}");
    let activate = rig.ask(Method::PATCH, &format!("{path}/active"));
    let activate = activate.json(&json!({"active": "active"})).send();
    assert_eq!(activate.await.unwrap().status(), 502);

    let logs = format!("{path}/logs?follow=false");
    let answer = rig.get(&logs).await;
    assert_eq!(
        answer.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    let end = "event: end\ndata:\n\n";
    let expected =
        format!("id: 1\ndata: one\n\nid: 2\ndata: two\n\nid: 3\ndata: ERROR three\n\n{end}");
    assert_eq!(answer.text().await.unwrap(), expected);

    let resumed = rig.ask(Method::GET, &logs).header("last-event-id", "2");
    let resumed = resumed.send().await.unwrap().text().await.unwrap();
    assert_eq!(resumed, format!("id: 3\ndata: ERROR three\n\n{end}"));
    let tail = rig
        .get(&format!("{logs}&tail=1&level=error&since=1h"))
        .await;
    assert_eq!(tail.text().await.unwrap(), resumed);
    let json = rig
        .get(&format!("{logs}&tail=1&format=json"))
        .await
        .text()
        .await
        .unwrap();
    assert!(json.contains(r#""level":"error""#), "{json}");

    let odd = rig.get(&format!("{logs}&since=yesterday")).await;
    assert_eq!(odd.status(), 400);
    problem(odd).await;
    rig.ended().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_it_was_asked_for_with() {
    let rig = Rig::start().await;
    let id = rig.install("echo one; exit 1").await;
    let path = format!("/api/plugins/{id}");
    let activate = rig.ask(Method::PATCH, &format!("{path}/active"));
    let activate = activate.json(&json!({"active": "active"})).send();
    assert_eq!(activate.await.unwrap().status(), 502);
    let reader = rig.token_for(&["read"]).await;
    let mut follow = rig
        .plain(Method::GET, &format!("{path}/logs"))
        .bearer_auth(&reader)
        .send()
        .await
        .unwrap();
    let first = follow.chunk().await.unwrap().unwrap();
    assert_eq!(&first[..], b"id: 1\ndata: one\n\n");
    // One that is somebody else's changes nothing.
    rig.token_for(&["operate"]).await;
    for name in ["operate", "read"] {
        let tokens: Value = rig.get("/api/tokens").await.json().await.unwrap();
        let tokens = tokens["tokens"].as_array().unwrap().iter();
        let token = tokens.clone().find(|token| token["name"] == name).unwrap();
        let token = format!("/api/tokens/{}", token["id"].as_str().unwrap());
        let gone = rig.ask(Method::DELETE, &token).send().await.unwrap();
        assert_eq!(gone.status(), 204);
    }
    let rest = tokio::time::timeout(PATIENCE, follow.text()).await;
    assert_eq!(rest.unwrap().unwrap(), "event: end\ndata:\n\n");
    rig.ended().await;
}
