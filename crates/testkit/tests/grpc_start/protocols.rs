//! Every protocol over every version of HTTP, byte for byte where it matters.

use crate::bench::{JSON, Started, VERSIONS, curl, framed, grpc, text_field};

/// Connect's unary calls: JSON and protobuf, over every version of HTTP.
#[tokio::test]
async fn connect_unary() {
    let started = Started::run("").ready().await;
    let url = started.url("/kv.v1.KvService/Get");
    for version in VERSIONS {
        for json in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
        ] {
            let header = format!("content-type: {json}");
            let answer = curl(
                &[version, &["-H", &header]].concat(),
                Some(br#"{"key":"number"}"#),
                &url,
            )
            .await;
            assert_eq!(answer.status, 200, "{version:?} {json}: {answer:?}");
            assert_eq!(answer.text(), r#"{"value":"Nw=="}"#);
            assert!(
                answer
                    .header("content-type")
                    .unwrap()
                    .starts_with("application/json")
            );
        }
        let proto = [version, &["-H", "content-type: application/proto"]].concat();
        let answer = curl(&proto, Some(&text_field(1, "number")), &url).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, &b"\x0a\x017"[..]),
            "{answer:?}"
        );
        let ping = curl(
            &[version, &JSON].concat(),
            Some(b"{}"),
            &started.url("/kv.v1.KvService/Ping"),
        )
        .await;
        assert_eq!((ping.status, ping.text().as_str()), (200, "{}"));
    }
}

/// `GET` for what has no side effects, and for nothing else.
#[tokio::test]
async fn connect_get() {
    let started = Started::run("").ready().await;
    for version in VERSIONS {
        for query in [
            "Ping?connect=v1&encoding=json&message=%7B%7D",
            "Get?connect=v1&encoding=json&message=%7B%22key%22%3A%22number%22%7D",
            "Get?connect=v1&encoding=proto&base64=1&message=CgZudW1iZXI",
            "Get?connect=v1&encoding=proto&base64=1&message=CgZudW1iZXI%3D",
        ] {
            let answer = curl(
                version,
                None,
                &started.url(&format!("/kv.v1.KvService/{query}")),
            )
            .await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
        }
    }
    let put = started.url("/kv.v1.KvService/Put?connect=v1&encoding=json&message=%7B%7D");
    let answer = curl(&[], None, &put).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert!(answer.header("allow").unwrap().contains("POST"));
    for query in [
        "Get?encoding=json",
        "Get?connect=v1&encoding=json&message=%7B",
        "Get?connect=v1&encoding=yaml&message=x",
        "Get?connect=v1&encoding=proto&base64=1&message=!!!",
    ] {
        let answer = curl(
            &[],
            None,
            &started.url(&format!("/kv.v1.KvService/{query}")),
        )
        .await;
        assert!((400..500).contains(&answer.status), "{query}: {answer:?}");
    }
}

/// gRPC, also over HTTP/1.1; gRPC-Web.
#[tokio::test]
async fn grpc_and_web() {
    let started = Started::run("").ready().await;
    let request = text_field(1, "number");
    for content in ["application/grpc", "application/grpc+proto"] {
        let header = format!("content-type: {content}");
        for version in VERSIONS {
            let args = [version, &["-H", &header, "-H", "te: trailers"]].concat();
            let answer = curl(
                &args,
                Some(&framed(&request)),
                &started.url("/kv.v1.KvService/Get"),
            )
            .await;
            assert_eq!(answer.status, 200, "{version:?}: {answer:?}");
            assert_eq!(answer.body, framed(b"\x0a\x017"), "{version:?}: {answer:?}");
            assert_eq!(
                answer.header("grpc-status").as_deref(),
                Some("0"),
                "{version:?}: {answer:?}"
            );
        }
    }
    let json = [
        "-H",
        "content-type: application/grpc+json",
        "-H",
        "te: trailers",
    ];
    let args = [VERSIONS[1], &json].concat();
    let answer = curl(
        &args,
        Some(&framed(br#"{"key":"number"}"#)),
        &started.url("/kv.v1.KvService/Get"),
    )
    .await;
    assert_eq!(
        answer.header("grpc-status").as_deref(),
        Some("0"),
        "{answer:?}"
    );
    for version in VERSIONS {
        for content in ["application/grpc-web", "application/grpc-web+proto"] {
            let header = format!("content-type: {content}");
            let args = [version, &["-H", &header]].concat();
            let answer = curl(
                &args,
                Some(&framed(&request)),
                &started.url("/kv.v1.KvService/Get"),
            )
            .await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let message = framed(b"\x0a\x017");
            assert_eq!(answer.body[..message.len()], message, "{answer:?}");
            // The trailers are the last frame.
            let trailers =
                String::from_utf8_lossy(&answer.body[message.len() + 5..]).to_lowercase();
            assert_eq!(answer.body[message.len()], 0x80, "{answer:?}");
            assert!(
                trailers.contains("grpc-status: 0") || trailers.contains("grpc-status:0"),
                "{trailers}"
            );
        }
    }
}

/// What is wrong is answered as it should be: verb, type, path; two-way streams over HTTP/1.1.
#[tokio::test]
async fn wrong_requests() {
    let started = Started::run("").ready().await;
    let get = started.url("/kv.v1.KvService/Get");
    for version in VERSIONS {
        let answer = curl(
            &[version, &["-H", "content-type: text/plain"]].concat(),
            Some(b"x"),
            &get,
        )
        .await;
        assert_eq!(answer.status, 415, "{answer:?}");
        let accept = answer.header("accept-post").expect("it says what it takes");
        for content in [
            "application/grpc",
            "application/grpc-web",
            "application/json",
            "application/proto",
        ] {
            assert!(accept.contains(content), "{content} is not in {accept}");
        }
        for verb in ["PUT", "DELETE", "PATCH"] {
            let answer = curl(&[version, &JSON, &["-X", verb]].concat(), Some(b"{}"), &get).await;
            assert_eq!(answer.status, 405, "{verb}: {answer:?}");
            assert!(
                answer
                    .header("allow")
                    .is_some_and(|allow| allow.contains("POST")),
                "{answer:?}"
            );
        }
        for path in [
            "/",
            "/kv.v1.KvService",
            "/kv.v1.KvService/Nope",
            "/no.such.Service/Get",
            "/kv.v1.KvService/Get/more",
        ] {
            let answer = curl(&[version, &JSON].concat(), Some(b"{}"), &started.url(path)).await;
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
        }
        let bad = curl(&[version, &JSON].concat(), Some(b"{\"key\": "), &get).await;
        assert_eq!(bad.status, 400, "{bad:?}");
        assert!(bad.text().contains("invalid_argument"), "{bad:?}");
        let missing = curl(
            &[version, &JSON].concat(),
            Some(br#"{"key":"nowhere"}"#),
            &get,
        )
        .await;
        assert_eq!(missing.status, 404, "{missing:?}");
        assert!(
            missing.text().contains(r#""code":"not_found""#),
            "{missing:?}"
        );
    }
    for path in ["/kv.v1.KvService/Nope", "/no.such.Service/Get"] {
        let answer = grpc(&started, path, b"", &[]).await;
        let status = answer.header("grpc-status");
        assert!(
            status.as_deref() == Some("12") || answer.status == 404,
            "{answer:?}"
        );
    }
    let connect = ["--http1.1", "-H", "content-type: application/connect+json"];
    let answer = curl(
        &connect,
        Some(&framed(b"{}")),
        &started.url("/kv.v1.KvService/Sync"),
    )
    .await;
    assert_eq!(answer.status, 505, "{answer:?}");
    // None of it did any harm.
    assert_eq!(
        crate::bench::get(&started.client(), "number")
            .await
            .unwrap(),
        "7"
    );
}

/// Streams of Connect.
#[tokio::test]
async fn connect_streams() {
    let started = Started::run("").ready().await;
    for version in VERSIONS {
        let args = [version, &["-H", "content-type: application/connect+json"]].concat();
        let request = framed(br#"{"prefix":"count:3"}"#);
        let answer = curl(&args, Some(&request), &started.url("/kv.v1.KvService/List")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.text();
        for part in [r#"{"key":"0"}"#, r#"{"key":"1"}"#, r#"{"key":"2"}"#] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let entries = [framed(br#"{"key":"a"}"#), framed(br#"{"key":"b"}"#)].concat();
        let answer = curl(&args, Some(&entries), &started.url("/kv.v1.KvService/Load")).await;
        assert!(answer.text().contains(r#"{"stored":"2"}"#), "{answer:?}");
    }
}
