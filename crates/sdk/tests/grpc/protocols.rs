//! Every protocol on one endpoint, and what is answered to the wrong question.

use std::io::Read;

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::BodyExt;

use crate::lab::Lab;
use crate::wire::{BOTH, Line, framed, frames, pieces, plain, post, text};

#[tokio::test]
async fn calls_in_every_protocol_over_both_versions() {
    let lab = Lab::ready(&[]).await;
    for version in BOTH {
        let mut line = Line::to(&lab, version).await;
        let reply = line
            .call("Echo", "application/json", r#"{"service":"a"}"#.into())
            .await;
        assert_eq!(reply.text(), r#"{"service":"a"}"#);
        let reply = line
            .call("Echo", "application/json; charset=utf-8", "{}".into())
            .await;
        assert_eq!(reply.text(), "{}");
        let reply = line.call("Echo", "application/proto", text("b")).await;
        assert_eq!(reply.body, text("b"));
        let reply = line
            .call("Echo", "application/grpc", framed(&text("c")))
            .await;
        assert_eq!(frames(&reply.body), [(0, text("c").to_vec())]);
        assert_eq!(reply.grpc_status(), Some("0"));
        let reply = line
            .call(
                "Echo",
                "application/grpc+json",
                framed(br#"{"service":"d"}"#),
            )
            .await;
        assert_eq!(frames(&reply.body), [(0, br#"{"service":"d"}"#.to_vec())]);
        let reply = line
            .call("Echo", "application/grpc-web", framed(&text("e")))
            .await;
        let web = frames(&reply.body);
        assert_eq!(web[0], (0, text("e").to_vec()));
        assert_eq!(web[1].0, 0x80);
        for query in [
            "connect=v1&encoding=json&message=%7B%22service%22%3A%22f%22%7D",
            "connect=v1&encoding=json&base64=1&message=eyJzZXJ2aWNlIjoiZiJ9",
        ] {
            let reply = line
                .ask(plain("GET", &format!("/lab.v1.Lab/Echo?{query}")))
                .await;
            assert_eq!(reply.text(), r#"{"service":"f"}"#);
        }
    }
}

#[tokio::test]
async fn streams_in_every_protocol() {
    let lab = Lab::ready(&[]).await;
    for version in BOTH {
        let mut line = Line::to(&lab, version).await;
        let three: Bytes = [framed(&text("1")), framed(&text("2")), framed(&text("3"))]
            .concat()
            .into();
        for kind in [
            "application/grpc",
            "application/grpc-web+proto",
            "application/connect+proto",
        ] {
            let reply = line.call("Count", kind, three.clone()).await;
            assert_eq!(frames(&reply.body)[0], (0, text("3").to_vec()), "{kind}");
        }
    }
    // Both ways at once: each answer comes before the next question is asked.
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    for kind in ["application/grpc", "application/connect+proto"] {
        let (send, body) = pieces();
        let request = post("Chat", kind, Bytes::new()).map(|_| body);
        send.send(framed(&text("0"))).await.unwrap();
        let mut answers = line.begin(request).await.into_body();
        for number in 0..5 {
            let frame = answers.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frames(&frame), [(0, text(&number.to_string()).to_vec())]);
            send.send(framed(&text(&(number + 1).to_string())))
                .await
                .unwrap();
        }
        drop(send);
        let rest = answers.collect().await.unwrap();
        if kind == "application/grpc" {
            assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
        }
    }
}

#[tokio::test]
async fn wrong_questions_are_answered_as_hosts_know_it() {
    let lab = Lab::ready(&[]).await;
    for version in BOTH {
        let mut line = Line::to(&lab, version).await;
        let reply = line.ask(plain("DELETE", "/lab.v1.Lab/Echo")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, "GET, POST")
        );
        for method in ["Word", "Tick"] {
            let reply = line
                .ask(plain("GET", &format!("/lab.v1.Lab/{method}")))
                .await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("allow")),
                (405, "POST")
            );
        }
        for (method, kind) in [
            ("Word", "text/plain"),
            ("Word", ""),
            ("Word", "application/connect+json"),
            ("Tick", "application/json"),
        ] {
            let reply = line.call(method, kind, "x".into()).await;
            assert_eq!(reply.status.as_u16(), 415, "{method} {kind}");
            let accepted = reply.header("accept-post");
            assert!(accepted.contains("application/grpc"), "{accepted}");
            let connect = if method == "Word" {
                "application/json"
            } else {
                "application/connect+json"
            };
            assert!(
                accepted.split(", ").any(|kind| kind == connect),
                "{accepted}"
            );
        }
        for (verb, path) in [
            ("GET", "/"),
            ("POST", "/lab.v1.Lab/Nope"),
            ("GET", "/lab.v1.None/Ping"),
        ] {
            let reply = line.ask(plain(verb, path)).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text()),
                (404, "404 page not found\n")
            );
            assert!(reply.header("content-type").starts_with("text/plain"));
        }
    }
    let mut line = Line::to(&lab, Version::HTTP_11).await;
    let reply = line.call("Chat", "application/grpc", framed(b"")).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("connection")),
        (505, "close")
    );
}

#[tokio::test]
async fn plain_paths_stand_beside_services() {
    let lab = Lab::ready(&[]).await;
    for version in BOTH {
        let mut line = Line::to(&lab, version).await;
        for (verb, path, answer) in [
            ("GET", "/raw", "GET /raw"),
            ("PUT", "/raw", "PUT /raw"),
            ("GET", "/tree/", "/tree/"),
            ("GET", "/tree/of/life", "/tree/of/life"),
        ] {
            let reply = line.ask(plain(verb, path)).await;
            assert_eq!((reply.status, reply.text()), (StatusCode::OK, answer));
        }
        assert_eq!(
            line.ask(plain("GET", "/raw/more")).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            line.ask(plain("GET", "/tree")).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn messages_are_packed_both_ways() {
    let lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let long = "abc".repeat(10_000);
    let packed = pack(&text(&long));
    let mut frame = vec![1];
    frame.extend(u32::try_from(packed.len()).unwrap().to_be_bytes());
    frame.extend(&packed);
    let mut request = post("Echo", "application/grpc", frame.into());
    for (name, value) in [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let reply = line.ask(request).await;
    assert_eq!(reply.header("grpc-encoding"), "gzip");
    let answer = frames(&reply.body).remove(0);
    assert_eq!(answer.0, 1);
    assert!(answer.1.len() < long.len() / 10);
    assert_eq!(unpack(&answer.1), text(&long));

    let mut request = post("Echo", "application/proto", packed.into());
    for (name, value) in [("content-encoding", "gzip"), ("accept-encoding", "gzip")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let reply = line.ask(request).await;
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert_eq!(unpack(&reply.body), text(&long));
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_packed_or_not() {
    let lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let fits = text(&"x".repeat((64 << 10) - 8));
    let reply = line.call("Echo", "application/grpc", framed(&fits)).await;
    assert_eq!(reply.grpc_status(), Some("0"));
    let long = text(&"x".repeat(64 << 10));
    for kind in ["application/grpc", "application/grpc-web"] {
        let reply = line.call("Echo", kind, framed(&long)).await;
        assert_eq!(reply.grpc_status(), Some("8"), "{kind}: {reply:?}");
    }
    let reply = line.call("Echo", "application/proto", long.clone()).await;
    assert!(
        reply.text().contains("resource_exhausted"),
        "{}",
        reply.text()
    );
    let mut request = post("Echo", "application/proto", pack(&long).into());
    request
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    let reply = line.ask(request).await;
    assert!(
        reply.text().contains("resource_exhausted"),
        "{}",
        reply.text()
    );
    // Of a stream, the message that is too long.
    let reply = line.call("Chat", "application/grpc", framed(&long)).await;
    assert_eq!(reply.grpc_status(), Some("8"));
}

#[tokio::test]
async fn reflection_lists_what_was_registered() {
    let lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services = ""
        let reply = line
            .call(&path, "application/grpc", framed(&[0x3a, 0]))
            .await;
        assert_eq!(reply.grpc_status(), Some("0"));
        let listed = String::from_utf8_lossy(&reply.body).into_owned();
        for service in ["lab.v1.Lab", "lab.v1.Other"] {
            assert!(listed.contains(service), "{listed:?}");
        }
    }
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut unpacked)
        .unwrap();
    unpacked
}
