//! With a token in its environment it answers those who have it, and nobody else.

use connectrpc::ErrorCode;
use jackfield_testkit::within;

use crate::bench::{Client, Started, curl, framed, get, grpc};

const TOKEN: &str = "correct-horse-battery-staple-0123456789";

async fn guarded() -> Started {
    let mut started = Started::with("", |command| {
        command.env("JACKFIELD_TOKEN", TOKEN);
    });
    started.until_it_listens().await;
    let client = with_token(&started, TOKEN);
    let ready = async {
        loop {
            let pong = client.ping(kv::PingRequest::default()).await.unwrap();
            if pong.view().not_ready.unwrap_or_default().is_empty() {
                break;
            }
        }
    };
    within(ready).await;
    started
}

fn with_token(started: &Started, token: &str) -> Client {
    started.client_with(|config| config.with_default_header("jackfield-token", token))
}

/// Whoever has no token, or another, is refused on every path and over every protocol, and learns nothing.
#[tokio::test]
async fn strangers_are_refused() {
    let started = guarded().await;
    let error = get(&started.client(), "number").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthenticated, "{error}");
    let ping = started.client().ping(kv::PingRequest::default()).await;
    assert_eq!(ping.unwrap_err().code, ErrorCode::Unauthenticated);
    for wrong in [
        "",
        "x",
        &TOKEN[..TOKEN.len() - 1],
        &format!("{TOKEN}x"),
        &TOKEN.to_uppercase(),
        "Bearer",
    ] {
        let error = get(&with_token(&started, wrong), "number")
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthenticated, "{wrong:?}");
        assert!(!error.to_string().contains(TOKEN));
    }
    for path in [
        "/kv.v1.KvService/Get",
        "/kv.v1.KvService/Ping",
        "/kv.v1.KvService/NoSuchMethod",
        "/no.such.Service/Ping",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        let answer = grpc(&started, path, b"", &[]).await;
        assert_eq!(
            answer.header("grpc-status").as_deref(),
            Some("16"),
            "{path}: {answer:?}"
        );
        assert!(answer.body.is_empty(), "{path}: {answer:?}");
        for args in [&[][..], &["--http2-prior-knowledge"], &["--http2"]] {
            let args = [args, &["-H", "content-type: application/json"]].concat();
            let answer = curl(&args, Some(b"{}"), &started.url(path)).await;
            assert_eq!(answer.status, 401, "{path} {args:?}: {answer:?}");
        }
        let web = ["-H", "content-type: application/grpc-web+proto"];
        let answer = curl(&web, Some(&framed(b"")), &started.url(path)).await;
        let text = format!("{} {}", answer.headers, answer.text());
        assert!(
            answer.status == 401
                || text.contains("grpc-status: 16")
                || text.contains("grpc-status:16"),
            "{answer:?}"
        );
    }
    for path in ["/", "/raw", "/raw/deeper", "/debug/pprof", "/metrics"] {
        let answer = curl(&[], None, &started.url(path)).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    let get =
        "/kv.v1.KvService/Get?connect=v1&encoding=json&message=%7B%22key%22%3A%22number%22%7D";
    assert_eq!(curl(&[], None, &started.url(get)).await.status, 401);
    // In the query it does not count.
    let query = format!("{get}&jackfield-token={TOKEN}");
    assert_eq!(curl(&[], None, &started.url(&query)).await.status, 401);
}

/// Whoever has it is served on every path.
#[tokio::test]
async fn the_host_is_served() {
    let started = guarded().await;
    assert_eq!(
        get(&with_token(&started, TOKEN), "number").await.unwrap(),
        "7"
    );
    let header = format!("jackfield-token: {TOKEN}");
    let token = ["-H", header.as_str()];
    let answer = grpc(&started, "/grpc.health.v1.Health/Check", b"", &token).await;
    assert_eq!(
        answer.header("grpc-status").as_deref(),
        Some("0"),
        "{answer:?}"
    );
    assert_eq!(curl(&token, None, &started.url("/raw")).await.status, 200);
    assert_eq!(
        curl(&token, None, &started.url("/nowhere")).await.status,
        404
    );
    let get =
        "/kv.v1.KvService/Get?connect=v1&encoding=json&message=%7B%22key%22%3A%22number%22%7D";
    assert_eq!(curl(&token, None, &started.url(get)).await.status, 200);
}

/// Two headers of which one is right: whatever is made of it, a wrong one alone never counts; and the handler does not
/// see the token.
#[tokio::test]
async fn the_token_goes_no_further() {
    let started = guarded().await;
    let headers = get(&with_token(&started, TOKEN), "headers").await.unwrap();
    assert!(!headers.contains(TOKEN), "{headers}");
    let environment = get(&with_token(&started, TOKEN), "no-token-in-debug").await;
    assert!(environment.is_err(), "there is no such key");
}

/// Before it is ready, too.
#[tokio::test]
async fn strangers_are_refused_early() {
    let mut started = Started::with("--constructor 60000", |command| {
        command.env("JACKFIELD_TOKEN", TOKEN);
    });
    started.until_it_listens().await;
    let ping = started.client().ping(kv::PingRequest::default()).await;
    assert_eq!(ping.unwrap_err().code, ErrorCode::Unauthenticated);
    let ping = with_token(&started, TOKEN)
        .ping(kv::PingRequest::default())
        .await
        .unwrap();
    assert!(!ping.view().not_ready.unwrap_or_default().is_empty());
}
