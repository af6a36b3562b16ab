//! Lines over real TCP: big messages, small buffers, farewells, and dialling.

use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use jackfield_rpc::{
    Call, CallOptions, DialError, DialOptions, Limits, Options, RawJson, WebSocket, dial, open,
};
use jackfield_wire::{CloseCause, CloseKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::task::TaskTracker;

fn roomy() -> Options {
    small(Limits {
        max_in: 40 << 20,
        max_out: 40 << 20,
        ..Limits::default()
    })
}

/// Both ends write far more than all buffers between them hold; each reads while it writes.
#[tokio::test]
async fn both_sides_write_big_messages_at_once() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let (client, server, tasks) =
        over_listener(listener, (methods(), roomy()), (methods(), roomy())).await;
    let big = "x".repeat(4 << 20);
    let calls = [&client, &server, &client, &server].map(|peer| {
        let params = json!(big);
        async move {
            let answer = echo(peer, params).await.unwrap();
            assert_eq!(answer.as_str().unwrap().len(), 4 << 20);
        }
    });
    soon(join_all(calls)).await;
    server.close(CloseCause::closed());
    soon(client.closed()).await;
    all_gone(&tasks).await;
}

/// Large messages are written from where they are, which the client masks piece by piece, and
/// arrive as they were, characters of many bytes and all; whoever doubts meanwhile hears something.
#[tokio::test]
async fn a_very_large_message_arrives_whole() {
    for what in [Over::WebSocket, Over::Local] {
        let (client, server, tasks) = over(what, (methods(), roomy()), (methods(), roomy())).await;
        let big = json!("aé€😀".repeat(2 << 20));
        for peer in [&client, &server] {
            let (answer, probed) =
                tokio::join!(echo(peer, big.clone()), peer.probe(Duration::from_secs(15)));
            assert!(answer.unwrap() == big);
            assert!(probed);
        }
        client.close(CloseCause::closed());
        all_gone(&tasks).await;
    }
}

/// A large answer goes out in pieces: what stands before it, the result from where it is, a brace. What arrives is the
/// same as of a small one, whatever the result is and however the pieces fall.
#[tokio::test]
async fn a_large_answer_is_what_a_small_one_would_be() {
    const NAMES: [&str; 5] = ["m", "me", "met", "meth", "metho"];
    let methods = || {
        NAMES.into_iter().fold(methods(), |methods, name| {
            methods.raw(name, async |_call: Call<()>, params: Option<RawJson>| {
                Ok(params.unwrap_or_else(|| raw(&json!(null))))
            })
        })
    };
    let shapes = |filler: String| {
        [
            json!({ "a": filler }),
            json!({ "a": filler, "method": "its own" }),
            json!({ "a": { "method": filler } }),
            json!([filler, 1]),
            json!(filler),
        ]
    };
    for what in [Over::WebSocket, Over::Local] {
        let (client, server, tasks) = over(what, (methods(), roomy()), (methods(), roomy())).await;
        for (turn, name) in NAMES.into_iter().enumerate() {
            let large = shapes("é".repeat((16 << 10) + 30_000 * turn));
            for (params, small) in large.into_iter().zip(shapes("é".to_owned())) {
                for peer in [&client, &server] {
                    let call = async |params: &Value| {
                        let options = CallOptions::default();
                        let answer = peer.call_raw(name, Some(&raw(params)), options).await;
                        serde_json::from_str::<Value>(answer.unwrap().get()).unwrap()
                    };
                    let (answer, small) = (call(&params).await, call(&small).await);
                    let mut expected = params.clone();
                    if let Some(method) = small.get("method") {
                        expected["method"] = method.clone();
                    }
                    assert!(answer == expected, "{name}, like {small}");
                    assert_eq!(small.get("method").is_some(), params.is_object());
                }
            }
        }
        client.close(CloseCause::closed());
        all_gone(&tasks).await;
    }
}

/// A large message is written past the WebSocket's buffers. What the WebSocket itself has to say
/// meanwhile, a pong as a rule, must not come to stand in the middle of it.
#[tokio::test]
async fn a_pong_waits_for_the_end_of_a_large_message() {
    let (mut client, peer, tasks) = raw_client(methods(), roomy()).await;
    let big = json!("x".repeat(12 << 20));
    let listening = async {
        // Half written: more than the system's buffers take, and nobody reads yet.
        client.get_ref().get_ref().readable().await.unwrap();
        for n in 0..8 {
            let ping = Message::Ping(vec![n].into());
            client.send(ping).await.unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match client.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    assert!(text.len() > 12 << 20);
                    seen.push("text");
                }
                // The last ping is answered, and as many of the others as there was room for.
                Message::Pong(of) if of[..] == [7] => seen.push("pong"),
                other => assert!(other.is_pong(), "{} bytes", other.len()),
            }
        }
        seen
    };
    let call = echo(&peer, big);
    let seen = soon(async {
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            seen = listening => seen,
        }
    });
    assert_eq!(seen.await, ["text", "pong"]);
    client.close(None).await.unwrap();
    while client.next().await.is_some_and(|next| next.is_ok()) {}
    all_gone(&tasks).await;
}

/// A connection that is reset while a large message is half written is given up at once: the line
/// waited out its grace for the rest of a message that could not be written any more.
#[tokio::test]
async fn a_reset_in_the_middle_of_a_large_message_is_the_end() {
    let options = Options {
        close_grace: Duration::from_secs(600),
        ..roomy()
    };
    let (client, peer, tasks) = raw_client(methods(), options).await;
    let big = json!("x".repeat(12 << 20));
    let resetting = async {
        client.get_ref().get_ref().readable().await.unwrap();
        // With something unread a close is a reset.
        drop(client);
    };
    let (answer, ()) = soon(async { tokio::join!(echo(&peer, big), resetting) }).await;
    answer.unwrap_err();
    soon(peer.finished()).await;
    all_gone(&tasks).await;
}

/// The same over a local socket, whose buffers are what they are.
#[tokio::test]
async fn both_sides_of_a_local_socket_write_big_messages_at_once() {
    let (one, two, tasks) = over(Over::Local, (methods(), roomy()), (methods(), roomy())).await;
    let big = "x".repeat(5 << 20);
    let calls = [&one, &two, &one, &two].map(|peer| {
        let params = json!(big);
        async move {
            let answer = echo(peer, params).await.unwrap();
            assert_eq!(answer.as_str().unwrap().len(), 5 << 20);
        }
    });
    soon(join_all(calls)).await;
    two.close(CloseCause::closed());
    soon(one.closed()).await;
    all_gone(&tasks).await;
}

#[tokio::test]
async fn a_farewell_reaches_the_other_end_with_code_and_reason() {
    for what in [Over::WebSocket, Over::Local] {
        for (cause, code) in [
            (CloseCause::closed(), 1000),
            (CloseCause::rejected("not wanted"), 1008),
            (CloseCause::unavailable("later"), 1013),
            (CloseCause::failed("broken"), 1011),
        ] {
            for client_ends in [true, false] {
                let (client, server, tasks) =
                    over(what, (methods(), quiet()), (methods(), quiet())).await;
                let (ends, sees) = if client_ends {
                    (&client, &server)
                } else {
                    (&server, &client)
                };
                ends.close(cause.clone());
                assert_eq!(soon(sees.closed()).await, cause);
                assert_eq!(sees.close_code(), Some(code));
                assert_eq!(ends.close_code(), None);
                all_gone(&tasks).await;
            }
        }
    }
}

#[tokio::test]
async fn a_foreign_clients_farewell_is_answered_and_understood() {
    for (code, kind) in [
        (1000, CloseKind::Closed),
        (1001, CloseKind::Closed),
        (1008, CloseKind::Rejected),
        (1012, CloseKind::Unavailable),
        (1013, CloseKind::Unavailable),
        (1011, CloseKind::Failed),
        (4001, CloseKind::Failed),
    ] {
        let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
        let call = peer.call_raw("hang", None, CallOptions::default());
        let leaving = async {
            hear(&mut client).await;
            let frame = CloseFrame {
                code: code.into(),
                reason: "so long".into(),
            };
            client.send(Message::Close(Some(frame))).await.unwrap();
            let answer = hear_close(&mut client).await;
            assert_eq!(answer, (code, "so long".to_owned()));
            assert!(
                soon(client.next()).await.is_none(),
                "and then the connection ends"
            );
        };
        let (answer, ()) = soon(async { tokio::join!(call, leaving) }).await;
        assert!(answer.unwrap_err().to_string().contains("so long"));
        assert_eq!(peer.closed().await.kind, kind);
        assert_eq!(peer.close_code(), Some(code));
        all_gone(&tasks).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_a_failure() {
    let (client, peer, tasks) = raw_client(methods(), quiet()).await;
    drop(client);
    let cause = soon(peer.closed()).await;
    assert_eq!(cause.kind, CloseKind::Failed);
    assert_eq!(peer.close_code(), None);
    all_gone(&tasks).await;
}

#[tokio::test]
async fn answers_are_written_before_the_farewell() {
    let (mut client, peer, tasks) = raw_client(methods(), quiet()).await;
    for id in 0..50 {
        say(
            &mut client,
            json!({"id": id, "method": "double", "params": {"number": id}}).to_string(),
        )
        .await;
    }
    // All are in; their answers may be queued or written.
    assert_eq!(
        hear(&mut client).await,
        r#"{"id":0,"jsonrpc":"2.0","result":0}"#
    );
    let mut heard = 1;
    say(&mut client, r#"{"id":"last","method":"echo"}"#).await;
    loop {
        let text = hear(&mut client).await;
        heard += 1;
        if text.contains("last") {
            break;
        }
    }
    assert!(peer.drain(Duration::from_secs(10)).await);
    peer.close(CloseCause::closed());
    soon(async {
        while let Some(Ok(message)) = client.next().await {
            heard += usize::from(message.is_text());
        }
    })
    .await;
    assert_eq!(heard, 51);
    all_gone(&tasks).await;
}

/// Whoever floods without reading fills the buffers of the system and then our bounded queue.
#[tokio::test]
async fn a_flood_of_garbage_over_tcp_ends_the_line_and_nothing_else() {
    let (client, peer, tasks) = raw_client(methods(), quiet()).await;
    let (mut sink, _stream) = client.split();
    let flood = async {
        // Never reads. Stops being able to write when we hang up.
        while sink.feed(Message::text("x")).await.is_ok() {}
    };
    let (_, cause) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(60), flood),
        peer.closed()
    );
    assert_eq!(cause, CloseCause::failed("does not read its answers"));
    all_gone(&tasks).await;
}

#[tokio::test]
async fn a_host_that_takes_the_subprotocol_is_told_apart_from_one_that_does_not() {
    for takes in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/rpc?token=secret", listener.local_addr().unwrap());
        let options = DialOptions::default();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_head(&mut stream).await;
            assert!(
                request.starts_with("GET /rpc?token=secret HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(request.contains("Sec-WebSocket-Protocol: jackfield.v1\r\n"));
            assert!(request.contains("user-agent: jackfield/"));
            let key = request
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
                .unwrap();
            let accept =
                tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            let protocol = if takes {
                "Sec-WebSocket-Protocol: jackfield.v1\r\n"
            } else {
                ""
            };
            // The first message comes in one piece with the handshake.
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: keep-alive, Upgrade\r\n\
                 upgrade: WebSocket\r\nsec-websocket-accept: {accept}\r\n{protocol}\r\n\
                 \u{1}\u{0}"
            );
            let mut answer = answer.into_bytes();
            answer.truncate(answer.len() - 2);
            let text = br#"{"id":1,"method":"double","params":{"number":21}}"#;
            answer.extend([0x81, text.len() as u8]);
            answer.extend(text);
            stream.write_all(&answer).await.unwrap();
            WebSocket::server(stream).await
        };
        let (dialled, server) = soon(async { tokio::join!(dial(&url, &options), server) }).await;
        let (socket, negotiated) = dialled.unwrap();
        assert_eq!(negotiated.speaks_v1, takes);
        let tasks = TaskTracker::new();
        let client = open(socket, Arc::new(methods()), (), quiet(), &tasks);
        let server = open(server, Arc::new(methods()), (), quiet(), &tasks);
        assert_eq!(echo(&server, json!(1)).await.unwrap(), 1);
        drop(client);
        soon(server.closed()).await;
        all_gone(&tasks).await;
    }
}

async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers every connection with these bytes.
async fn answering(bytes: &'static str) -> (String, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
    });
    (
        format!("ws://{address}/rpc?plugin_id=p&token=sdprt_secret"),
        tasks,
    )
}

#[tokio::test]
async fn a_refused_dial_says_why_and_never_shows_the_token() {
    let refused: &[(&str, &str)] = &[
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 15\r\n\r\nunauthenticated",
            "refused with HTTP 401: unauthenticated",
        ),
        ("HTTP/1.1 503 Busy\r\n\r\n", "refused with HTTP 503"),
        (
            "HTTP/1.1 200 OK\r\n\r\nhello\nyou",
            "refused with HTTP 200: hello",
        ),
        ("HTTP/1.1 101 Yes\r\n\r\n", "no `Upgrade: websocket`"),
        (
            "HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            "wrong `Sec-WebSocket-Accept`",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak WebSocket"),
        ("", "hung up before it answered"),
    ];
    for (answer, words) in refused {
        let (url, tasks) = answering(answer).await;
        let error = soon(dial(&url, &DialOptions::default())).await.unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(error.to_string().contains(words), "{error}");
        all_gone(&tasks).await;
    }
    for (url, words) in [
        (
            "wss://localhost/rpc?token=secret",
            "wss is not supported yet",
        ),
        ("http://localhost/rpc?token=secret", "http:// is not ws://"),
        ("localhost:8000?token=secret", "cannot be dialled"),
        ("ws://?token=secret", "cannot be dialled"),
        ("", "cannot be dialled"),
        ("ws://local host/token=secret", "cannot be dialled"),
    ] {
        let error = dial(url, &DialOptions::default()).await.unwrap_err();
        assert!(matches!(error, DialError::BadUrl { .. }), "{error}");
        assert!(error.to_string().contains(words), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let url = format!("ws://{address}/rpc?token=secret");
    let error = dial(&url, &DialOptions::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/rpc?token=secret", listener.local_addr().unwrap());
    let options = DialOptions {
        timeout: Duration::from_millis(50),
        ..DialOptions::default()
    };
    let error = soon(dial(&url, &options)).await.unwrap_err();
    assert!(matches!(error, DialError::Timeout { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

/// IPv6 addresses have brackets in URLs and none elsewhere.
#[tokio::test]
async fn an_ipv6_address_can_be_dialled() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let url = format!("ws://[::1]:{port}/");
    let options = DialOptions::default();
    let (dialled, _server) = soon(async {
        tokio::join!(dial(&url, &options), async {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_tungstenite::accept_async(stream).await.unwrap()
        })
    })
    .await;
    assert!(dialled.is_ok());
}
