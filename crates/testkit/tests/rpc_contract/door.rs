//! The answers of the door before the upgrade, row by row, and the handshake.

use jackfield::ReportedState::{Active, Connecting};
use jackfield::wire::Xid;
use jackfield::{ActiveState, Session, Token};
use jackfield_testkit::{
    Dial, Program, Rig, TestHost, bench_host, environment, eventually, manifest, until,
    until_state, within,
};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::RIG;

async fn external(host: &TestHost) -> (Session, Token) {
    host.expect(&manifest(json!({}))).await
}

/// A supervised plugin that leaves the dialing to the test: its id and token.
async fn child(host: &TestHost) -> (Session, String, String) {
    let session = host.start(Rig::new("--never-dial").package(RIG)).await;
    let status = until(&session, |s| s.state == Connecting && s.pid.is_some()).await;
    let url = environment(status.pid.unwrap()).await["STORYDEN_RPC_URL"].clone();
    let (_, query) = url.split_once('?').unwrap();
    let (id, token) = query.split_once('&').unwrap();
    let (id, token) = (id.strip_prefix("plugin_id="), token.strip_prefix("token="));
    (session, id.unwrap().to_owned(), token.unwrap().to_owned())
}

#[tokio::test]
async fn credentials_row_by_row() {
    let host = bench_host(|builder| builder).await;
    let (_session, id, token) = child(&host).await;
    let (outside, outside_token) = external(&host).await;
    let known = outside_token.reveal();
    let stranger = Xid::new();
    let invalid = (400, "invalid connection parameters\n");
    let unknown = (401, "unauthenticated\n");
    let cases: Vec<(String, (u16, &str))> = vec![
        (String::new(), invalid),
        ("token=".to_owned(), invalid),
        (format!("plugin_id={id}"), invalid),
        (format!("plugin_id={id}&token="), invalid),
        // Without an id only the token of an external program will do.
        (format!("token={token}"), invalid),
        ("token=anything".to_owned(), invalid),
        (format!("plugin_id=&token={token}"), invalid),
        (format!("plugin_id=nonsense&token={token}"), invalid),
        (format!("plugin_id={id}x&token={token}"), invalid),
        // The last character of an id is `0` or `g`.
        (format!("plugin_id={}1&token={token}", &id[..19]), invalid),
        (format!("plugin_id=nonsense&token={known}"), invalid),
        ("token=sdprt_".to_owned(), unknown),
        (format!("token={}", Token::external().reveal()), unknown),
        (format!("token={known}x"), unknown),
        (format!("plugin_id={id}&token={token}x"), unknown),
        (format!("plugin_id={id}&token={}", &token[1..]), unknown),
        (
            format!("plugin_id={id}&token={}", token.to_uppercase()),
            unknown,
        ),
        (format!("plugin_id={stranger}&token={token}"), unknown),
        (format!("plugin_id={}&token={token}", outside.id()), unknown),
        (format!("plugin_id={id}&token={known}"), unknown),
        (format!("plugin_id={stranger}&token={known}"), unknown),
        (format!("plugin_id={id}&token=%FF%00%zz"), unknown),
        (
            format!("plugin_id={id}&token={}", "x".repeat(5000)),
            unknown,
        ),
    ];
    for (query, (status, body)) in cases {
        let reply = Dial::new(&host, &query).send().await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, body),
            "{query}"
        );
    }
    // None of that hurt: both still get in, each in all its spellings.
    let spellings = [
        format!("token={known}"),
        format!("plugin_id={}&token={known}", outside.id()),
        format!("x=1&token=%73{}&y", &known[1..]),
    ];
    for query in spellings {
        until_state(&outside, Connecting).await;
        let program = Program::on(Dial::new(&host, &query).open().await);
        until_state(&outside, Active).await;
        drop(program);
    }
    let query = format!("token={token}&plugin_id={id}");
    assert_eq!(Dial::new(&host, &query).send().await.status, 101);
}

/// In a header the token stays out of the logs of proxies.
#[tokio::test]
async fn the_token_may_come_in_a_header() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    let bearer = format!("Bearer {}", token.reveal());
    let wrong = Dial::new(&host, "").header("Authorization", "Bearer nonsense");
    assert_eq!(wrong.send().await.status, 400);
    let dial = Dial::new(&host, "").header("authorization", &bearer);
    let _program = Program::on(dial.open().await);
    until_state(&session, Active).await;
}

/// Valid credentials, and no handshake: what is wrong is said, and nothing is burnt.
#[tokio::test]
async fn requests_that_are_no_handshake() {
    let host = bench_host(|builder| builder).await;
    let (session, id, token) = child(&host).await;
    let dial = Dial::new(&host, &format!("plugin_id={id}&token={token}"));
    let plain = dial.clone().without("Connection").without("Upgrade");
    let reply = plain.clone().send().await;
    assert_eq!(reply.status, 426);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    for (dial, status) in [
        (dial.clone().without("Upgrade"), 426),
        (dial.clone().without("Connection"), 426),
        (dial.clone().header("Connection", "close"), 426),
        (dial.clone().header("Upgrade", "h2c"), 426),
        (dial.clone().method("POST"), 405),
        (dial.clone().method("PUT"), 405),
        (dial.clone().without("Sec-WebSocket-Version"), 400),
        (dial.clone().header("Sec-WebSocket-Version", "12"), 400),
        (dial.clone().without("Sec-WebSocket-Key"), 400),
        (dial.clone().header("Sec-WebSocket-Key", ""), 400),
        (dial.clone().header("Sec-WebSocket-Key", "too short"), 400),
        (dial.clone().header("Sec-WebSocket-Key", "c2hvcnQ="), 400),
        (
            dial.clone().header("Origin", "https://elsewhere.example"),
            403,
        ),
        (dial.clone().header("Origin", "null"), 403),
        (dial.clone().target("/"), 404),
        (dial.clone().target("/rpc/"), 404),
        (dial.clone().target("/api/plugins"), 404),
    ] {
        let reply = dial.clone().send().await;
        assert_eq!(reply.status, status, "{dial:?} {}", reply.body);
        assert!(!reply.body.contains(&token), "the token is told");
    }
    // Whoever has no credentials learns nothing of the handshake.
    let nobody = Dial::new(&host, "token=sdprt_x").without("Upgrade");
    assert_eq!(nobody.send().await.status, 401);
    let _program = Program::on(dial.open().await);
    until_state(&session, Active).await;
}

/// All that RFC 6455 allows, as browsers and proxies write it.
#[tokio::test]
async fn handshakes_that_are_good() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    let dial = Dial::external(&host, &token);
    let own = format!("http://{}", dial.address());
    for dial in [
        dial.clone().header("Connection", "keep-alive, Upgrade"),
        dial.clone().header("Upgrade", "WebSocket"),
        dial.clone().header("connection", "upgrade"),
        dial.clone().header("Origin", &own),
        dial.clone()
            .header("Sec-WebSocket-Protocol", "something.else"),
        dial.clone().header("User-Agent", "Go-http-client/1.1"),
    ] {
        until_state(&session, Connecting).await;
        let reply = dial.send().await;
        assert_eq!(reply.status, 101);
        // RFC 6455, 1.3: the answer to this key.
        let accept = reply.header("sec-websocket-accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(reply.header("sec-websocket-protocol"), None);
        let program = Program::on(reply.line().await);
        until_state(&session, Active).await;
        drop(program);
    }
}

/// Compression is offered by some (Python's library does) and declined: nothing is negotiated, and
/// everything works.
#[tokio::test]
async fn compression_is_declined_gracefully() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    let offer = "permessage-deflate; client_max_window_bits, permessage-deflate";
    let dial = Dial::external(&host, &token).header("Sec-WebSocket-Extensions", offer);
    let reply = dial.send().await;
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("sec-websocket-extensions"), None);
    let mut line = reply.line().await;
    within(session.ready()).await.unwrap();
    let answer = line.ask(json!({"id": "1", "method": "nope", "params": {"x": "x".repeat(500)}}));
    assert_eq!(answer.await["error"]["code"], -32601);
}

#[tokio::test]
async fn the_subprotocol_is_taken_only_when_offered() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    for offer in ["jackfield.v1", "other, jackfield.v1"] {
        until_state(&session, Connecting).await;
        let dial = Dial::external(&host, &token).header("Sec-WebSocket-Protocol", offer);
        let reply = dial.send().await;
        assert_eq!(reply.header("sec-websocket-protocol"), Some("jackfield.v1"));
        let mut line = reply.line().await;
        until_state(&session, Active).await;
        assert_eq!(line.json().await["method"], "$/hello");
        drop(line);
    }
}

/// Pings are answered with what they carry; binary messages are passed over; a message may come in
/// pieces; a text that is not UTF-8 ends the line, and only that.
#[tokio::test]
async fn frames_of_all_kinds() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    let mut line = Dial::external(&host, &token).open().await;
    until_state(&session, Active).await;
    line.send_message(Message::Ping("are you there".into()))
        .await
        .unwrap();
    assert_eq!(
        line.message().await,
        Some(Message::Pong("are you there".into()))
    );
    line.send_message(Message::Binary(vec![0xff; 3000].into()))
        .await
        .unwrap();
    let pieces: [(&[u8], OpCode, bool); 3] = [
        (br#"{"id":"in pie"#, OpCode::Data(Data::Text), false),
        (br#"ces","method""#, OpCode::Data(Data::Continue), false),
        (br#":"nope"}"#, OpCode::Data(Data::Continue), true),
    ];
    for (bytes, code, last) in pieces {
        let frame = Frame::message(bytes.to_vec(), code, last);
        line.send_message(Message::Frame(frame)).await.unwrap();
    }
    let answer = line.json().await;
    assert_eq!(answer["id"], "in pieces");
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    line.send_message(Message::Frame(frame)).await.unwrap();
    let end = line.end().await;
    assert!(end.is_none_or(|(code, _)| code == 1007 || code == 1011));
    until_state(&session, Connecting).await;
}

/// A client that does not mask its frames breaks RFC 6455: its line ends, the host does not.
#[tokio::test]
async fn garbage_behind_the_upgrade() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    for garbage in [
        &b"\x81\x05hello"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
    ] {
        until_state(&session, Connecting).await;
        let mut stream = Dial::external(&host, &token).send().await.stream();
        until_state(&session, Active).await;
        stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let _ = within(stream.read_to_end(&mut rest)).await;
    }
    until_state(&session, Connecting).await;
    let _program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
}

/// Garbage at the door, half requests and idle connections keep nobody else out.
#[tokio::test]
async fn others_at_the_door_are_in_nobodys_way() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = external(&host).await;
    let address = host.local_addr().unwrap();
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        match n % 4 {
            0 => stream
                .write_all(b"GET /rpc?token=x HTTP/1.1\r\nHost:")
                .await
                .unwrap(),
            1 => stream
                .write_all(b"\x16\x03\x01\x02\x00\x01\x00")
                .await
                .unwrap(),
            2 => {
                let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
                let _ = stream.write_all(long.as_bytes()).await;
            }
            _ => {}
        }
        idle.push(stream);
    }
    let _program = Program::dial(&host, &token).await;
    until_state(&session, Active).await;
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
    // And a shutdown does not wait for them.
    let left = tokio::time::timeout(
        Duration::from_secs(5),
        host.shutdown(Duration::from_secs(3)),
    );
    assert!(left.await.expect("at once").killed.is_empty());
    eventually(Duration::from_secs(5), "the door is closed", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
}

/// The same door on a Unix socket.
#[tokio::test]
async fn the_door_may_be_a_unix_socket() {
    let host = bench_host(|builder| builder.public_url("http://plugins.example")).await;
    assert_eq!(host.local_addr(), None);
    assert_eq!(host.rpc_url(), "ws://plugins.example/rpc");
    let path = host.folder().join("door");
    host.serve(tokio::net::UnixListener::bind(&path).unwrap());
    let (session, token) = external(&host).await;
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = format!(
        "GET /rpc?token={} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token.reveal()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    until_state(&session, Active).await;
}
