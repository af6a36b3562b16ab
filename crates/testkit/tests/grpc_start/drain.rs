//! A signal ends it when the calls under way have ended, within a grace.

use std::time::Duration;

use connectrpc::ErrorCode;
use jackfield_testkit::{until_file, within};
use kv::ListRequest;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::bench::{Started, get};

struct Hold(tempfile::TempDir);

impl Hold {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn order(&self) -> String {
        format!("hold:{}", self.0.path().display())
    }

    async fn began(&self) {
        until_file(self.0.path().join("began")).await;
    }

    fn go(&self) {
        std::fs::write(self.0.path().join("go"), "").unwrap();
    }
}

/// A call and a stream that are under way are finished; what comes later is turned away.
#[tokio::test]
async fn calls_under_way() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut started = Started::run("").ready().await;
        let (unary, stream) = (Hold::new(), Hold::new());
        let client = started.client();
        let order = unary.order();
        let call = get(&client, &order);
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            () = unary.began() => {}
        }
        let other = started.client();
        let request = ListRequest {
            prefix: stream.order(),
            ..ListRequest::default()
        };
        let mut list = other.list(request).await.unwrap();
        assert_eq!(
            within(list.message()).await.unwrap().unwrap().view().key,
            "first"
        );
        stream.began().await;
        started.signal(signal);
        // Whoever comes now is too late: nobody listens, or what listens says so.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match within(get(&started.client(), "number")).await {
                Ok(_) => assert!(Instant::now() < deadline, "it goes on taking calls"),
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
                    break;
                }
            }
        }
        assert!(
            started.child.try_wait().unwrap().is_none(),
            "it waits for what is under way"
        );
        unary.go();
        assert_eq!(within(call).await.unwrap(), "held");
        stream.go();
        assert_eq!(
            within(list.message()).await.unwrap().unwrap().view().key,
            "second"
        );
        assert!(within(list.message()).await.unwrap().is_none());
        assert_eq!(started.ended().await.0, Some(0));
    }
}

/// What does not end in time is ended, and that is no failure.
#[tokio::test]
async fn the_grace_is_over() {
    let mut started = Started::run("--grace 500").ready().await;
    let hold = Hold::new();
    let client = started.client();
    let order = hold.order();
    let call = get(&client, &order);
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => panic!("{answer:?}"),
        () = hold.began() => {}
    }
    let began = Instant::now();
    started.signal(Signal::TERM);
    let (ended, answer) = within(async { tokio::join!(started.ended(), call) }).await;
    assert_eq!(ended.0, Some(0));
    assert_eq!(answer.unwrap_err().code, ErrorCode::Unavailable);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(450) && took < Duration::from_secs(6),
        "{took:?}"
    );
}

/// Ends a plugin with a long grace that has such connections, and says how long that took.
async fn drained(mut started: Started) -> Duration {
    let client = started.client();
    // Whatever was sent to it before is known to it.
    assert_eq!(get(&client, "number").await.unwrap(), "7");
    let began = Instant::now();
    started.signal(Signal::TERM);
    assert_eq!(started.ended().await.0, Some(0));
    began.elapsed()
}

/// Connections that are open and idle hold nothing up: those that never said anything, and those that had an answer,
/// of either version of HTTP.
#[tokio::test]
async fn idle_connections() {
    let started = Started::run("--grace 60000").ready().await;
    let silent = TcpStream::connect(started.address).await.unwrap();
    let mut kept = TcpStream::connect(started.address).await.unwrap();
    let request = b"GET /raw HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let len = within(kept.read(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..len]).contains("200 OK"));
    let client = started.client();
    assert_eq!(get(&client, "number").await.unwrap(), "7");
    let took = drained(started).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop((silent, kept, client));
}

/// Half of a request's head is no call under way.
#[tokio::test]
async fn half_a_request() {
    let started = Started::run("--grace 60000").ready().await;
    let mut half = TcpStream::connect(started.address).await.unwrap();
    let head = b"POST /kv.v1.KvService/Get HTTP/1.1\r\nhost: x\r\n";
    half.write_all(head).await.unwrap();
    let took = drained(started).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Half of HTTP/2's preface is none either.
#[tokio::test]
async fn half_a_preface() {
    let started = Started::run("--grace 60000").ready().await;
    let mut half = TcpStream::connect(started.address).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let took = drained(started).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Its own last words are said before it ends.
#[tokio::test]
async fn the_last_words() {
    let mut started = Started::run("").ready().await;
    for n in 0..200 {
        get(&started.client(), &format!("log:word {n}"))
            .await
            .unwrap();
        if n == 3 {
            break;
        }
    }
    started.signal(Signal::TERM);
    let (code, lines) = started.ended().await;
    assert_eq!(code, Some(0));
    assert!(
        lines.iter().any(|line| line.contains("word 3")),
        "{lines:?}"
    );
}
