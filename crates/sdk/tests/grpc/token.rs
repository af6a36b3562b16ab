//! Who may call.

use http::{StatusCode, Version};

use crate::lab::Lab;
use crate::wire::{BOTH, Line, framed, frames, plain, post};

#[tokio::test]
async fn nothing_is_answered_without_the_token_and_everything_with_it() {
    let lab = Lab::ready(&[("JACKFIELD_TOKEN", "s3cret")]).await;
    for version in BOTH {
        for (given, opens) in [
            (None, false),
            (Some("s3cre"), false),
            (Some("S3CRET"), false),
            (Some("s3cret"), true),
        ] {
            let mut line = Line::to(&lab, version).await;
            let with = |mut request: http::Request<crate::wire::Body>| {
                if let Some(token) = given {
                    request
                        .headers_mut()
                        .insert("jackfield-token", token.parse().unwrap());
                }
                request
            };
            let grpc = line
                .ask(with(post("Ping", "application/grpc", framed(b""))))
                .await;
            assert_eq!(grpc.grpc_status(), Some(if opens { "0" } else { "16" }));

            let web = line
                .ask(with(post("Ping", "application/grpc-web", framed(b""))))
                .await;
            assert_eq!(web.grpc_status(), Some(if opens { "0" } else { "16" }));

            let connect = line
                .ask(with(post("Ping", "application/json", "{}".into())))
                .await;
            assert_eq!(connect.status, status(opens));
            if !opens {
                assert!(connect.text().contains(r#""code":"unauthenticated""#));
                assert!(!connect.text().contains("s3cret"));
            }
            // With it, the stream would go on for ever.
            if !opens {
                let tick = post("Tick", "application/connect+json", framed(b"{}"));
                let stream = line.ask(with(tick)).await;
                let frames = frames(&stream.body);
                assert_eq!(frames[0].0, 2);
                assert!(String::from_utf8_lossy(&frames[0].1).contains("unauthenticated"));
            }
        }
    }
}

#[tokio::test]
async fn health_reflection_and_plain_paths_are_behind_it_too() {
    let lab = Lab::ready(&[("JACKFIELD_TOKEN", "s3cret")]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    for path in ["/raw", "/nowhere", "/debug/pprof/cmdline"] {
        let reply = line.ask(plain("GET", path)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for method in [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/nowhere.v1.Service/Ping",
    ] {
        let reply = line.call(method, "application/grpc", framed(b"")).await;
        assert_eq!(reply.grpc_status(), Some("16"), "{method}");
    }
}

fn status(opens: bool) -> StatusCode {
    if opens {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}
