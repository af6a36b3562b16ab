//! It listens before it is ready, and says so.

use connectrpc::ErrorCode;
use jackfield_testkit::within;
use kv::PingRequest;

use crate::bench::{Started, curl, get, grpc};

/// While the constructor runs, pings have a reason, everything else is UNAVAILABLE, and then all is well.
#[tokio::test]
async fn while_the_constructor_runs() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let mut started = Started::run(&format!("--constructor-waits {}", go.display()));
    started.until_it_listens().await;
    let client = started.client();
    for _ in 0..3 {
        let pong = client.ping(PingRequest::default()).await.unwrap();
        assert!(!pong.view().not_ready.unwrap_or_default().is_empty());
        let early = get(&client, "number").await.unwrap_err();
        assert_eq!(early.code, ErrorCode::Unavailable, "{early}");
    }
    // Whatever the service is called, and over the other protocols.
    let any = grpc(&started, "/xyz.block.ftl.v1.VerbService/Ping", b"", &[]).await;
    assert_eq!(any.header("grpc-status").as_deref(), Some("0"), "{any:?}");
    assert!(
        any.body.len() > 5 && any.body[5] == 0x0a,
        "a reason: {any:?}"
    );
    for args in [&[][..], &["--http2-prior-knowledge"]] {
        let args = [args, &["-H", "content-type: application/json"]].concat();
        let ping = curl(&args, Some(b"{}"), &started.url("/kv.v1.KvService/Ping")).await;
        assert_eq!(ping.status, 200, "{ping:?}");
        assert!(ping.text().contains("notReady"), "{}", ping.text());
        let early = curl(&args, Some(b"{}"), &started.url("/kv.v1.KvService/Get")).await;
        assert_eq!(early.status, 503, "{early:?}");
        assert!(early.text().contains("unavailable"), "{}", early.text());
    }
    let ping = "/kv.v1.KvService/Ping?connect=v1&encoding=json&message=%7B%7D";
    let ping = curl(&[], None, &started.url(ping)).await;
    assert!(
        ping.status == 200 && ping.text().contains("notReady"),
        "{ping:?}"
    );
    // The same connection all the way.
    std::fs::write(go, "").unwrap();
    let ready = async {
        loop {
            let pong = client.ping(PingRequest::default()).await.unwrap();
            if pong.view().not_ready.unwrap_or_default().is_empty() {
                break;
            }
        }
    };
    within(ready).await;
    assert_eq!(get(&client, "number").await.unwrap(), "7");
}

/// Health follows.
#[tokio::test]
async fn health() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let mut started = Started::run(&format!("--constructor-waits {}", go.display()));
    started.until_it_listens().await;
    let early = grpc(&started, "/grpc.health.v1.Health/Check", b"", &[]).await;
    let serving = early.body == [0, 0, 0, 0, 2, 8, 1];
    assert!(!serving, "it is not ready yet: {early:?}");
    std::fs::write(go, "").unwrap();
    let started = started.ready().await;
    let now = grpc(&started, "/grpc.health.v1.Health/Check", b"", &[]).await;
    assert_eq!(now.body, [0, 0, 0, 0, 2, 8, 1], "{now:?}");
}

/// A ping that came too early on one protocol does not spoil the others; and a constructor that blocks its thread does
/// not keep pings from being answered.
#[tokio::test]
async fn while_the_constructor_blocks() {
    let mut started = Started::run("--constructor-blocks 1500");
    started.until_it_listens().await;
    let client = started.client();
    let pong = tokio::time::timeout(
        std::time::Duration::from_millis(1200),
        client.ping(PingRequest::default()),
    );
    let pong = pong.await.expect("it answers all the same").unwrap();
    assert!(!pong.view().not_ready.unwrap_or_default().is_empty());
    let started = started.ready().await;
    assert_eq!(get(&started.client(), "number").await.unwrap(), "7");
}
