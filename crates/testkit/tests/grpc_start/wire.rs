//! What is beside the calls themselves: gzip, deadlines, panics, limits, reflection, health, other handlers.

use std::time::Duration;

use connectrpc::ErrorCode;
use connectrpc::client::CallOptions;
use jackfield_testkit::grpc::entry;
use jackfield_testkit::within;
use kv::{ListRequest, PutRequest};
use tokio::time::Instant;

use crate::bench::{JSON, Started, VERSIONS, curl, framed, get, get_with, grpc, text_field};

/// gzip, there and back.
#[tokio::test]
async fn gzip() {
    let started = Started::run("").ready().await;
    let url = started.url("/kv.v1.KvService/Get");
    for version in VERSIONS {
        let args = [version, &JSON, &["-H", "accept-encoding: gzip"]].concat();
        let answer = curl(&args, Some(br#"{"key":"big:100000"}"#), &url).await;
        assert_eq!(
            answer.header("content-encoding").as_deref(),
            Some("gzip"),
            "{}",
            answer.headers
        );
        assert_eq!(answer.body[..2], [0x1f, 0x8b]);
        assert!(answer.body.len() < 10_000);
        let plain = [
            version,
            &JSON,
            &["-H", "accept-encoding: gzip", "--compressed"],
        ]
        .concat();
        let answer = curl(&plain, Some(br#"{"key":"big:100000"}"#), &url).await;
        assert!(answer.text().len() > 100_000, "{}", answer.text().len());
    }
    // `{"key":"number"}`, stored and not compressed, in gzip's clothes.
    let packed = gzipped(br#"{"key":"number"}"#);
    let args = [&JSON[..], &["-H", "content-encoding: gzip"]].concat();
    let answer = curl(&args, Some(&packed), &url).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, r#"{"value":"Nw=="}"#),
        "{answer:?}"
    );
    let broken = curl(&args, Some(b"no gzip"), &url).await;
    assert!((400..500).contains(&broken.status), "{broken:?}");
    let unknown = [&JSON[..], &["-H", "content-encoding: zip"]].concat();
    let answer = curl(&unknown, Some(&packed), &url).await;
    assert!(answer.text().contains("unimplemented"), "{answer:?}");
    // And over gRPC, both ways.
    let client = started.client_with(|config| config.compress_requests("gzip"));
    assert_eq!(get(&client, "number").await.unwrap(), "7");
    assert_eq!(get(&client, "big:100000").await.unwrap().len(), 100_000);
    let headers = get(&client, "headers").await.unwrap();
    assert!(headers.contains("grpc-encoding"), "{headers}");
}

/// A gzip file of one stored block.
fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let len = u16::try_from(data.len()).unwrap();
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend_from_slice(&len.to_le_bytes());
    file.extend_from_slice(&(!len).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(&(!crc).to_le_bytes());
    file.extend_from_slice(&u32::from(len).to_le_bytes());
    file
}

/// Deadlines in every unit; those that make no sense are refused, or passed over, and nothing worse.
#[tokio::test]
async fn timeouts() {
    let started = Started::run("").ready().await;
    let slow = text_field(1, "slow:30000");
    for timeout in ["200m", "200000u", "99999999n", "1S"] {
        let header = format!("grpc-timeout: {timeout}");
        let began = Instant::now();
        let answer = grpc(&started, "/kv.v1.KvService/Get", &slow, &["-H", &header]).await;
        assert_eq!(
            answer.header("grpc-status").as_deref(),
            Some("4"),
            "{timeout}: {answer:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{timeout}: {:?}",
            began.elapsed()
        );
    }
    let quick = text_field(1, "number");
    for timeout in ["1M", "1H", "99999999H", "99999999u"] {
        let header = format!("grpc-timeout: {timeout}");
        let answer = grpc(&started, "/kv.v1.KvService/Get", &quick, &["-H", &header]).await;
        assert_eq!(
            answer.header("grpc-status").as_deref(),
            Some("0"),
            "{timeout}: {answer:?}"
        );
    }
    for timeout in ["x", "1", "-1S", "1.5S", "123456789S", "S"] {
        let header = format!("grpc-timeout: {timeout}");
        let answer = grpc(&started, "/kv.v1.KvService/Get", &quick, &["-H", &header]).await;
        let status = answer.header("grpc-status");
        assert!(status.is_some(), "{timeout}: {answer:?}");
    }
    let connect = [&JSON[..], &["-H", "connect-timeout-ms: 200"]].concat();
    let url = started.url("/kv.v1.KvService/Get");
    let answer = curl(&connect, Some(br#"{"key":"slow:30000"}"#), &url).await;
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(answer.text().contains("deadline_exceeded"), "{answer:?}");
    let options = CallOptions::default().with_timeout(Duration::from_millis(200));
    let late = get_with(&started.client(), "slow:30000", options).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::DeadlineExceeded);
}

/// A handler that panics: INTERNAL, a line in the log, and the process lives, with all other calls on that connection.
#[tokio::test]
async fn a_panic() {
    let mut started = Started::run("").ready().await;
    let client = started.client();
    let pid = get(&client, "pid").await.unwrap();
    let beside = get(&client, "slow:600");
    let panic = async {
        let error = get(&client, "panic").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal, "{error}");
        let request = ListRequest {
            prefix: "panic".into(),
            ..ListRequest::default()
        };
        let error = match client.list(request).await {
            Ok(mut list) => loop {
                match list.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it ended well"),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        assert_eq!(error.code, ErrorCode::Internal, "{error}");
    };
    let (beside, ()) = within(async { tokio::join!(beside, panic) }).await;
    assert_eq!(beside.unwrap(), "slow");
    for version in VERSIONS {
        let url = started.url("/kv.v1.KvService/Get");
        let answer = curl(
            &[version, &JSON].concat(),
            Some(br#"{"key":"panic"}"#),
            &url,
        )
        .await;
        assert_eq!(answer.status, 500, "{version:?}: {answer:?}");
        assert!(answer.text().contains("internal"), "{answer:?}");
        assert!(
            !answer.text().contains("a secret of the panic"),
            "{answer:?}"
        );
    }
    assert_eq!(get(&client, "pid").await.unwrap(), pid);
    started.signal(rustix::process::Signal::TERM);
    let (code, lines) = started.ended().await;
    assert_eq!(code, Some(0));
    let line = lines
        .iter()
        .find(|line| line.contains("a secret of the panic"));
    let record: serde_json::Value = serde_json::from_str(line.expect("it is logged")).unwrap();
    assert_eq!(record["level"], "error");
}

/// Messages that are too long are refused, of every protocol, and others go on.
#[tokio::test]
async fn limits() {
    let started = Started::run("--max-message-size 100000").ready().await;
    let client = started.client();
    let put = async |size: usize| {
        let request = PutRequest {
            entry: entry("k", vec![b'x'; size]).into(),
            ..PutRequest::default()
        };
        client.put(request).await
    };
    put(90_000).await.unwrap();
    for size in [100_001, 8 << 20] {
        let error = within(put(size)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceExhausted, "{size}: {error}");
    }
    let json = format!(
        r#"{{"entry":{{"key":"k","value":"{}"}}}}"#,
        "AAAA".repeat(50_000)
    );
    for version in VERSIONS {
        let url = started.url("/kv.v1.KvService/Put");
        let answer = curl(&[version, &JSON].concat(), Some(json.as_bytes()), &url).await;
        assert!(
            matches!(answer.status, 413 | 429),
            "{version:?}: {answer:?}"
        );
    }
    // A small message that becomes a large one.
    let bomb = format!(r#"{{"key":"{}"}}"#, "z".repeat(60_000));
    let packed = gzipped(bomb.as_bytes());
    let args = [&JSON[..], &["-H", "content-encoding: gzip"]].concat();
    let answer = curl(&args, Some(&packed), &started.url("/kv.v1.KvService/Get")).await;
    assert_eq!(answer.status, 404, "below the limit: {answer:?}");
    put(1).await.unwrap();
}

/// There is a limit where nobody set one, and it may be lifted.
#[tokio::test]
async fn limits_by_default() {
    let started = Started::run("").ready().await;
    let request = |size: usize| PutRequest {
        entry: entry("k", vec![b'x'; size]).into(),
        ..PutRequest::default()
    };
    started.client().put(request(3 << 20)).await.unwrap();
    let error = within(started.client().put(request(128 << 20)))
        .await
        .unwrap_err();
    assert!(
        matches!(error.code, ErrorCode::ResourceExhausted),
        "{error}"
    );
    let started = Started::run("--max-message-size 50000000").ready().await;
    within(started.client().put(request(32 << 20)))
        .await
        .unwrap();
}

/// A raw handler takes what it likes: no limit of messages holds there, and who waits for leave to send gets it.
#[tokio::test]
async fn raw_bodies() {
    let started = Started::run("--max-message-size 1000").ready().await;
    let body = vec![b'r'; 8 << 20];
    for version in VERSIONS {
        for expect in ["expect: 100-continue", "expect:"] {
            let args = [version, &["-X", "PUT", "-H", expect]].concat();
            let answer = curl(&args, Some(&body), &started.url("/raw")).await;
            assert_eq!(answer.status, 200, "{version:?}: {}", answer.errors);
            assert_eq!(answer.body.len(), body.len() + "raw PUT /raw ".len());
        }
    }
}

/// Reflection, both versions: what there is, and what it looks like.
#[tokio::test]
async fn reflection() {
    let started = Started::run("").ready().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = grpc(&started, &path, &text_field(7, "*"), &[]).await;
        assert_eq!(
            answer.header("grpc-status").as_deref(),
            Some("0"),
            "{answer:?}"
        );
        let text = answer.text();
        for service in ["kv.v1.KvService", "extra.v1.Extra"] {
            assert!(
                text.contains(service),
                "{version}: {service} is not in {text}"
            );
        }
        let answer = grpc(&started, &path, &text_field(4, "kv.v1.KvService"), &[]).await;
        assert!(
            answer.text().contains("PutRequest"),
            "{version}: {answer:?}"
        );
        let answer = grpc(&started, &path, &text_field(3, "kv/v1/kv.proto"), &[]).await;
        assert!(
            answer.text().contains("PutRequest"),
            "{version}: {answer:?}"
        );
        let answer = grpc(&started, &path, &text_field(4, "no.such.Thing"), &[]).await;
        assert_eq!(
            answer.header("grpc-status").as_deref(),
            Some("0"),
            "{answer:?}"
        );
        assert!(!answer.text().contains("PutRequest"));
    }
}

/// The standard health service: of all, of ours, of none; over JSON, too.
#[tokio::test]
async fn health() {
    let started = Started::run("").ready().await;
    let path = "/grpc.health.v1.Health/Check";
    for service in ["", "kv.v1.KvService"] {
        let request = if service.is_empty() {
            Vec::new()
        } else {
            text_field(1, service)
        };
        let answer = grpc(&started, path, &request, &[]).await;
        assert_eq!(answer.body, framed(&[8, 1]), "{service}: {answer:?}");
    }
    let answer = grpc(&started, path, &text_field(1, "no.such.Service"), &[]).await;
    assert_eq!(
        answer.header("grpc-status").as_deref(),
        Some("5"),
        "{answer:?}"
    );
    let answer = curl(&JSON, Some(b"{}"), &started.url(path)).await;
    assert!(answer.text().contains("SERVING"), "{answer:?}");
}

/// A service beside the first one, and a raw handler beside them.
#[tokio::test]
async fn more_on_the_port() {
    let started = Started::run("").ready().await;
    for version in VERSIONS {
        let answer = curl(version, None, &started.url("/raw/deeper?x=1")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text(), "raw GET /raw/deeper?x=1");
        let answer = curl(
            &[version, &["-X", "PUT"]].concat(),
            Some(b"body"),
            &started.url("/raw"),
        )
        .await;
        assert_eq!(answer.text(), "raw PUT /raw body");
        let answer = curl(version, None, &started.url("/rawer")).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        let args = [version, &JSON].concat();
        let answer = curl(
            &args,
            Some(br#"{"key":"x"}"#),
            &started.url("/extra.v1.Extra/Get"),
        )
        .await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, r#"{"value":"ZXh0cmE="}"#),
            "{answer:?}"
        );
    }
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answer = grpc(&started, path, &text_field(7, "*"), &[]).await;
    assert!(answer.text().contains("extra.v1.Extra"), "{answer:?}");
}
