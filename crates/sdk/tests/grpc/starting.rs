//! Before the constructor is done, and where it listens.

use std::io::Write;

use bytes::Bytes;
use http::{StatusCode, Version};

use crate::lab::{Folder, LONG, Lab, command};
use crate::wire::{Line, framed, frames, plain, post, text};

/// A pipe in the file system: whoever reads it waits for a writer.
fn gate(folder: &Folder) -> String {
    let path = folder.0.join("gate");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path.to_str().unwrap().to_owned()
}

async fn open(gate: &str) {
    let gate = gate.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let mut gate = std::fs::OpenOptions::new().write(true).open(gate)?;
        gate.write_all(b"go")
    });
    tokio::time::timeout(LONG, opened)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn pings_are_not_ready_and_all_else_is_unavailable_until_constructed() {
    let folder = Folder::new();
    let gate = gate(&folder);
    let mut lab = Lab::start(&[("LAB_GATE", &gate), ("LOG_LEVEL", "debug")]);
    let mut line = Line::to(&lab, Version::HTTP_2).await;

    // In every protocol, for whichever service.
    let ping = "/whose.v1.Ever/Ping";
    let reply = line.call(ping, "application/grpc", framed(b"")).await;
    assert_eq!(reply.grpc_status(), Some("0"));
    assert_eq!(frames(&reply.body), [(0, text("lab is starting").to_vec())]);
    let reply = line
        .call(ping, "application/grpc-web+proto", framed(b""))
        .await;
    assert_eq!(
        frames(&reply.body)[0],
        (0, text("lab is starting").to_vec())
    );
    let reply = line.call(ping, "application/proto", Bytes::new()).await;
    assert_eq!(reply.body, text("lab is starting"));
    let reply = line.call(ping, "application/json", "{}".into()).await;
    assert_eq!(reply.text(), r#"{"notReady":"lab is starting"}"#);
    let get = format!("{ping}?connect=v1&encoding=json&message=%7B%7D");
    let reply = line.ask(plain("GET", &get)).await;
    assert_eq!(reply.text(), r#"{"notReady":"lab is starting"}"#);

    let reply = line.call("Echo", "application/grpc", framed(b"")).await;
    assert_eq!(reply.grpc_status(), Some("14"));
    let reply = line.call("Echo", "application/json", "{}".into()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        reply.text().contains(r#""code":"unavailable""#),
        "{}",
        reply.text()
    );
    let reply = line.ask(plain("GET", "/raw")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);

    let health = "/grpc.health.v1.Health/Check";
    let reply = line.call(health, "application/json", "{}".into()).await;
    assert_eq!(reply.text(), r#"{"status":"NOT_SERVING"}"#);

    // A watch that began before tells the change.
    let mut watching = Line::to(&lab, Version::HTTP_2).await;
    let watch = post(
        "/grpc.health.v1.Health/Watch",
        "application/grpc",
        framed(&text("lab.v1.Lab")),
    );
    let watch = watching.begin(watch).await;

    open(&gate).await;
    lab.says("\"message\":\"Ready\"").await;
    for method in ["Ping", "/lab.v1.Other/Ping"] {
        let reply = line.call(method, "application/grpc", framed(b"")).await;
        assert_eq!(reply.grpc_status(), Some("0"));
        assert_eq!(frames(&reply.body), [(0, vec![])]);
    }
    let reply = line.call(ping, "application/grpc", framed(b"")).await;
    assert_eq!(
        (reply.status, reply.text()),
        (StatusCode::NOT_FOUND, "404 page not found\n")
    );
    for (service, answer) in [
        ("", r#"{"status":"SERVING"}"#),
        ("lab.v1.Lab", r#"{"status":"SERVING"}"#),
        ("lab.v1.Other", r#"{"status":"SERVING"}"#),
    ] {
        let asked = format!(r#"{{"service":"{service}"}}"#);
        let reply = line.call(health, "application/json", asked.into()).await;
        assert_eq!(reply.text(), answer);
    }
    let reply = line
        .call(health, "application/json", r#"{"service":"x"}"#.into())
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);

    // Draining ends it.
    lab.signal("INT");
    let watched = crate::wire::all(watch).await;
    let statuses: Vec<Vec<u8>> = frames(&watched.body)
        .into_iter()
        .map(|frame| frame.1)
        .collect();
    assert_eq!(statuses, [vec![8, 2], vec![8, 1], vec![8, 2]]);
    assert_eq!(watched.grpc_status(), Some("0"));
    assert_eq!(lab.ended().await, Some(0));
}

#[tokio::test]
async fn a_signal_while_constructing_ends_it_at_once() {
    let folder = Folder::new();
    let gate = gate(&folder);
    let mut lab = Lab::start(&[("LAB_GATE", &gate), ("LOG_LEVEL", "debug")]);
    lab.says("Listening").await;
    lab.signal("TERM");
    assert_eq!(lab.ended().await, Some(0));
}

#[tokio::test]
async fn where_it_was_told_is_listened_on_if_the_inherited_number_is_something_else() {
    // Number 0 is /dev/null, 1 a pipe; 77 is not open; the last is no number.
    for number in ["0", "1", "77", "-1", "three", ""] {
        let variables = [
            ("JACKFIELD_LISTEN_FD", number),
            ("FTL_BIND", "http://127.0.0.1:0"),
            ("LAB_NEEDED", "x"),
            ("LOG_LEVEL", "debug"),
        ];
        let mut lab = Lab::from(command(&variables, &[]));
        let record = lab.logs("Listening").await;
        let at = record["attributes"]["at"].as_str().unwrap();
        let address = at.strip_prefix("http://").unwrap();
        lab.says("\"message\":\"Ready\"").await;
        let answer = std::process::Command::new("python3")
            .args(["-c", PYTHON, address])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            "200 GET /raw\n",
            "{answer:?}"
        );
    }
}

const PYTHON: &str = "
import http.client, sys
line = http.client.HTTPConnection(sys.argv[1], timeout=30)
line.request('GET', '/raw')
answer = line.getresponse()
print(answer.status, answer.read().decode())
";
