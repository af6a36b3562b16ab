//! Local sockets: frames in pieces and in heaps, limits, farewells, and what is against the protocol.

use std::time::Duration;

use crate::common::*;
use crate::v1::hanging;
use jackfield_rpc::{
    Call, CallOptions, Duplex, DuplexReceiver, DuplexSender, Heartbeat, Limits, LocalSocket,
    Options, Received,
};
use jackfield_wire::{CloseCause, Fault};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

const PING: [u8; 4] = [0x81, 0, 0, 0];
const PONG: [u8; 4] = [0x82, 0, 0, 0];

pub(crate) type Socket = LocalSocket<OwnedReadHalf, OwnedWriteHalf>;

pub(crate) fn socket(stream: UnixStream, limits: &Limits) -> Socket {
    let (read, write) = stream.into_split();
    LocalSocket::new(read, write, limits)
}

/// The bare other end, and ours.
pub(crate) fn bare() -> (UnixStream, Socket) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    (theirs, socket(ours, &Limits::default()))
}

pub(crate) fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(text);
    frame
}

pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let size = u8::try_from(2 + reason.len()).unwrap();
    let mut frame = vec![0x83, 0, 0, size];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

async fn hear_text(stream: &mut UnixStream) -> String {
    let size = soon(stream.read_u32()).await.unwrap();
    assert!(size < 0x8000_0000, "{size:08x} instead of a text");
    let mut text = vec![0; size as usize];
    soon(stream.read_exact(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn hear_value(stream: &mut UnixStream) -> Value {
    serde_json::from_str(&hear_text(stream).await).unwrap()
}

/// The close frame that comes next, after which the stream has to end.
pub(crate) async fn hear_farewell(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest[..3], [0x83, 0, 0], "{rest:?}");
    assert_eq!(usize::from(rest[3]), rest.len() - 4);
    let code = u16::from_be_bytes([rest[4], rest[5]]);
    (code, String::from_utf8(rest[6..].to_vec()).unwrap())
}

fn received(text: &str) -> Received {
    Received::Text(text.into())
}

#[tokio::test]
async fn frames_may_come_in_any_pieces() {
    let mut all = text("{}");
    all.extend(text(""));
    all.extend(PING);
    all.extend(text("aé€😀"));
    all.extend(text("x".repeat(40_000)));
    all.extend(PONG);
    all.extend(close(4001, "so long"));
    for size in [1, 2, 3, 5, 1000, all.len()] {
        let (mut theirs, ours) = bare();
        let (_sender, mut receiver) = ours.split();
        let writing = async {
            for piece in all.chunks(size) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            let mut texts = Vec::new();
            loop {
                match receiver.recv().await {
                    Ok(Received::Text(text)) => texts.push(text.to_string()),
                    Ok(Received::Alive) => {}
                    Err(cause) => return (texts, cause),
                }
            }
        };
        let ((), (texts, cause)) = soon(async { tokio::join!(writing, reading) }).await;
        assert_eq!(texts, ["{}", "", "aé€😀", &"x".repeat(40_000)], "{size}");
        assert_eq!(cause, CloseCause::failed("so long"));
        assert_eq!(receiver.close_code(), Some(4001));
    }
}

/// Whoever waits for something else besides drops the future again and again.
#[tokio::test]
async fn nothing_is_lost_by_a_receive_that_is_given_up() {
    let (mut theirs, ours) = bare();
    let (_sender, mut receiver) = ours.split();
    let mut all = Vec::new();
    for n in 0..200 {
        all.extend(text(n.to_string()));
    }
    all.extend(text("x".repeat(100_000)));
    let writing = async {
        for piece in all.chunks(7) {
            theirs.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let mut texts = Vec::new();
        while texts.len() < 201 {
            tokio::select! {
                biased;
                got = receiver.recv() => if let Received::Text(text) = got.unwrap() {
                    texts.push(text.to_string());
                },
                () = tokio::task::yield_now() => {}
            }
        }
        texts
    };
    let ((), texts) = soon(async { tokio::join!(writing, reading) }).await;
    for (n, text) in texts[..200].iter().enumerate() {
        assert_eq!(*text, n.to_string());
    }
    assert_eq!(texts[200].len(), 100_000);
}

#[tokio::test]
async fn what_is_sent_is_one_word_and_the_text() {
    let (mut theirs, ours) = bare();
    let (mut sender, _receiver) = ours.split();
    let texts = [String::new(), "{}".to_owned(), "é".repeat(300_000)];
    let sending = async {
        for text in &texts {
            sender.send(text.clone().into()).await.unwrap();
        }
        sender.ping().await.unwrap();
        sender.close(&CloseCause::unavailable("later")).await;
    };
    let hearing = async {
        for text in &texts {
            assert!(hear_text(&mut theirs).await == *text);
        }
        assert_eq!(theirs.read_u32().await.unwrap().to_be_bytes(), PING);
        assert_eq!(hear_farewell(&mut theirs).await, (1013, "later".to_owned()));
    };
    soon(async { tokio::join!(sending, hearing) }).await;
}

#[tokio::test]
async fn messages_wait_for_a_flush_until_they_are_many() {
    let (theirs, ours) = bare();
    let (mut sender, _receiver) = ours.split();
    let mut space = [0; 4096];
    sender.send("small".into()).await.unwrap();
    assert!(theirs.try_read(&mut space).is_err());
    sender.flush().await.unwrap();
    soon(theirs.readable()).await.unwrap();
    assert_eq!(theirs.try_read(&mut space).unwrap(), 9);
    for _ in 0..70 {
        sender.send("x".repeat(1000).into()).await.unwrap();
    }
    soon(theirs.readable()).await.unwrap();
    assert_eq!(theirs.try_read(&mut space).unwrap(), 4096);
}

#[tokio::test]
async fn a_ping_is_answered_whether_or_not_anything_is_sent() {
    let (mut theirs, ours) = bare();
    let (peer, tasks) = open_with(ours, methods(), quiet());
    for _ in 0..3 {
        theirs.write_all(&PING).await.unwrap();
        assert_eq!(soon(theirs.read_u32()).await.unwrap().to_be_bytes(), PONG);
        theirs
            .write_all(&text(r#"{"id":1,"method":"double","params":{"number":2}}"#))
            .await
            .unwrap();
        assert_eq!(hear_value(&mut theirs).await["result"], 4);
    }
    let (alive, ()) = tokio::join!(peer.probe(Duration::from_secs(20)), async {
        assert_eq!(soon(theirs.read_u32()).await.unwrap().to_be_bytes(), PING);
        theirs.write_all(&PONG).await.unwrap();
    });
    assert!(alive);
    peer.close(CloseCause::closed());
    assert_eq!(
        hear_farewell(&mut theirs).await,
        (1000, "closed".to_owned())
    );
    drop(theirs);
    all_gone(&tasks).await;
}

/// A pong that does not fit is none: what has not been read yet says as much.
#[tokio::test]
async fn pings_of_one_who_reads_nothing_pile_up_nowhere() {
    let (mut theirs, ours) = bare();
    let (peer, tasks) = open_with(ours, methods(), quiet());
    let pings = PING.repeat(64 << 10);
    for _ in 0..16 {
        soon(theirs.write_all(&pings)).await.unwrap();
    }
    theirs
        .write_all(&text(r#"{"id":1,"method":"double","params":{"number":2}}"#))
        .await
        .unwrap();
    let mut pongs = 0;
    let size = loop {
        match soon(theirs.read_u32()).await.unwrap() {
            0x8200_0000 => pongs += 1,
            size => break size,
        }
    };
    assert!((1..1 << 20).contains(&pongs), "{pongs}");
    let mut answer = vec![0; size as usize];
    soon(theirs.read_exact(&mut answer)).await.unwrap();
    assert!(answer.ends_with(br#""result":4}"#));
    peer.close(CloseCause::closed());
    drop(theirs);
    all_gone(&tasks).await;
}

/// Above the one limit a message is refused and the line stays; above the other the line ends.
#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_its_id() {
    let (mut theirs, ours) = bare();
    let limits = Limits {
        max_in: 1000,
        ..Limits::default()
    };
    let (peer, tasks) = open_with(ours, methods(), small(limits));
    let large = json!({"id": "big", "method": "echo", "params": "x".repeat(30_000)});
    theirs.write_all(&text(large.to_string())).await.unwrap();
    let refused = hear_value(&mut theirs).await;
    assert_eq!(refused["id"], "big");
    assert_eq!(refused["error"]["code"], Fault::INVALID_REQUEST);
    theirs
        .write_all(&text(r#"{"id":1,"method":"double","params":{"number":2}}"#))
        .await
        .unwrap();
    assert_eq!(hear_value(&mut theirs).await["result"], 4);
    peer.close(CloseCause::closed());
    drop(theirs);
    all_gone(&tasks).await;
}

/// The pieces of a message are the only sign of life while it arrives.
#[tokio::test(start_paused = true)]
async fn a_message_that_takes_long_is_no_silence() {
    let (mut theirs, ours) = tokio::io::duplex(64 << 10);
    let (read, write) = tokio::io::split(ours);
    let ours = LocalSocket::new(read, write, &Limits::default());
    let (peer, tasks) = open_with(ours, methods(), beating());
    let long = json!({"id": 1, "method": "echo", "params": "x".repeat(30_000)});
    for piece in text(long.to_string()).chunks(1000) {
        theirs.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    assert!(peer.is_open());
    // And this is one: it is asked twice, and then given up.
    let cause = peer.closed().await;
    assert_eq!(cause, CloseCause::failed("no sign of life for 25 s"));
    drop(theirs);
    all_gone(&tasks).await;
}

/// Who reads nothing stops nobody for ever: a large message that is stuck ends with its line.
#[tokio::test(start_paused = true)]
async fn a_line_whose_other_end_reads_nothing_is_given_up() {
    let (theirs, ours) = tokio::io::duplex(1000);
    let (read, write) = tokio::io::split(ours);
    let ours = LocalSocket::new(read, write, &Limits::default());
    let options = Options {
        heartbeat: Some(Heartbeat::default()),
        ..Options::default()
    };
    let (peer, tasks) = open_with(ours, methods(), options);
    let params = raw(&"x".repeat(100_000));
    let answer = peer
        .call_raw("echo", Some(&params), CallOptions::default())
        .await;
    assert!(answer.unwrap_err().to_string().contains("no sign of life"));
    all_gone(&tasks).await;
    drop(theirs);
}

#[tokio::test]
async fn a_greeting_is_looked_at_and_left_where_it_is() {
    let hello = r#"{"jsonrpc":"2.0","method":"$/hello","params":{"max_message":1000}}"#;
    let (mut theirs, mut ours) = bare();
    // Given up in the middle, and begun anew.
    for piece in text(hello).chunks(5) {
        let greeted = tokio::time::timeout(Duration::ZERO, ours.greeted()).await;
        assert!(greeted.is_err());
        theirs.write_all(piece).await.unwrap();
    }
    theirs.write_all(&text("next")).await.unwrap();
    theirs.write_all(&text("x".repeat(100_000))).await.unwrap();
    assert_eq!(soon(ours.greeted()).await, Ok(true));
    let (_sender, mut receiver) = ours.split();
    assert_eq!(soon(receiver.recv()).await, Ok(received(hello)));
    assert_eq!(soon(receiver.recv()).await, Ok(received("next")));
    while soon(receiver.recv()).await == Ok(Received::Alive) {}
}

/// What `jackfield.v1` adds works as on a WebSocket.
#[tokio::test]
async fn calls_are_taken_back_and_report_progress() {
    let (watched, begun, dropped) = hanging();
    let work = watched.raw("work", async |call: Call<()>, _params| {
        call.progress(&json!({"step": 1}));
        Ok(raw(&json!("done")))
    });
    let (one, two, tasks) = over(Over::Local, (methods(), v1()), (work, v1())).await;
    let (reports, mut seen) = mpsc::channel(10);
    let options = CallOptions {
        progress: Some(reports),
        ..CallOptions::default()
    };
    let answer = soon(one.call_raw("work", None, options)).await.unwrap();
    assert_eq!(answer.get(), r#""done""#);
    assert_eq!(seen.recv().await, Some(json!({"step": 1})));
    tokio::select! {
        answer = one.call_raw("watched", None, CallOptions::default()) => panic!("{answer:?}"),
        () = begun.notified() => {}
    }
    soon(dropped.notified()).await;
    assert_eq!(one.max_out(), 16 << 20, "greetings were exchanged");
    two.close(CloseCause::closed());
    all_gone(&tasks).await;
}
