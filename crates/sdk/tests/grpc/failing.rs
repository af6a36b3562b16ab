//! Code of the plugin's that fails.

use http::{StatusCode, Version};

use crate::lab::Lab;
use crate::wire::{BOTH, Line, framed, frames, plain, post, text};

#[tokio::test]
async fn a_panic_is_internal_to_its_caller_and_nobody_else() {
    let mut lab = Lab::ready(&[]).await;
    for version in BOTH {
        let mut line = Line::to(&lab, version).await;
        let reply = line.call("Panic", "application/grpc", framed(b"")).await;
        assert_eq!(reply.grpc_status(), Some("13"));
        let record = lab.logs("unary panic").await;
        assert_eq!(record["level"], "error");
        assert_eq!(record["error"], "unary panic");
        assert_eq!(record["attributes"]["scope"], "lab");
        let place = record["attributes"]["location"].as_str().unwrap();
        assert!(place.contains("grpc_lab.rs:"), "{record}");
        assert!(record["stackTrace"].as_str().unwrap().contains("grpc_lab"));

        let reply = line.call("Panic", "application/json", "{}".into()).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            reply.text().contains(r#""code":"internal""#),
            "{}",
            reply.text()
        );
        assert!(!reply.text().contains("unary panic"));

        let reply = line.ask(plain("GET", "/panic")).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        lab.says("raw panic").await;

        // The same connection goes on.
        let reply = line
            .call("Echo", "application/grpc", framed(&text("still")))
            .await;
        assert_eq!(frames(&reply.body), [(0, text("still").to_vec())]);
    }
}

#[tokio::test]
async fn a_panic_within_a_stream_comes_after_what_was_sent() {
    let mut lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let reply = line
        .call("PanicLater", "application/grpc", framed(b""))
        .await;
    assert_eq!(frames(&reply.body), [(0, text("first").to_vec())]);
    assert_eq!(reply.grpc_status(), Some("13"));
    lab.says("stream panic").await;
    let reply = line
        .call("PanicLater", "application/connect+proto", framed(b""))
        .await;
    let frames = frames(&reply.body);
    assert_eq!(frames[0], (0, text("first").to_vec()));
    assert_eq!(frames[1].0, 2);
    assert!(String::from_utf8_lossy(&frames[1].1).contains(r#""code":"internal""#));
}

#[tokio::test]
async fn deadlines_are_kept_by_the_plugin() {
    let lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    for timeout in ["30m", "30000u", "30000000n"] {
        let mut request = post("Never", "application/grpc", framed(b""));
        request
            .headers_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
        assert_eq!(
            line.ask(request).await.grpc_status(),
            Some("4"),
            "{timeout}"
        );
    }
    let mut request = post("Never", "application/json", "{}".into());
    request
        .headers_mut()
        .insert("connect-timeout-ms", "30".parse().unwrap());
    let reply = line.ask(request).await;
    assert!(
        reply.text().contains("deadline_exceeded"),
        "{}",
        reply.text()
    );
    // A stream that has begun, too.
    let mut request = post("Tick", "application/grpc", framed(b""));
    request
        .headers_mut()
        .insert("grpc-timeout", "30m".parse().unwrap());
    let reply = line.ask(request).await;
    assert_eq!(frames(&reply.body), [(0, text("first").to_vec())]);
    assert_eq!(reply.grpc_status(), Some("4"));
}
