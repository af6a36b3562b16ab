//! What is too large, or comes too slowly.

use reqwest::{Body, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{PATIENCE, Rig, problem};

#[tokio::test]
async fn a_package_that_is_too_large_is_refused_announced_or_not() {
    let rig = Rig::start_with(|config| config.max_package = 100_000).await;
    let upload = || {
        let upload = rig.ask(Method::POST, "/api/plugins");
        upload.header("content-type", "application/zip")
    };
    let announced = upload().body(vec![0; 100_001]).send().await.unwrap();
    assert_eq!(announced.status(), 413);
    problem(announced).await;
    let pieces =
        futures_util::stream::iter((0..101).map(|_| Ok::<_, std::io::Error>(vec![0; 1000])));
    let chunked = upload()
        .body(Body::wrap_stream(pieces))
        .send()
        .await
        .unwrap();
    assert_eq!(chunked.status(), 413);
    problem(chunked).await;
    let garbage = upload().body("garbage").send().await.unwrap();
    assert_eq!(garbage.status(), 400);
    let json = rig.ask(Method::POST, "/api/tokens");
    let json = json
        .header("content-type", "application/json")
        .body(vec![b' '; 1 << 21]);
    assert_eq!(json.send().await.unwrap().status(), 413);
    rig.ended().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let rig = Rig::start().await;
    let address = rig.base.strip_prefix("http://").unwrap();
    let silent = ["", "P", "GET /health HTTP/1.1\r\n"].map(|head| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
        closed.await.unwrap().unwrap();
    });
    futures_util::future::join_all(silent).await;
    rig.ended().await;
}

/// Clients that write all before they read saw a broken connection instead of what was wrong.
#[tokio::test]
async fn who_sends_first_and_reads_later_gets_the_answer() {
    let rig = Rig::start_with(|config| config.max_package = 1_000_000).await;
    let address = rig.base.strip_prefix("http://").unwrap();
    let body = vec![0; 4 << 20];
    let (good, bad) = (format!("Bearer {}", rig.token), "Bearer nobody".to_owned());
    for (path, token, kind, status) in [
        ("/api/plugins", &bad, "application/zip", 401),
        ("/api/plugins", &good, "text/plain", 415),
        ("/api/plugins", &good, "application/zip", 413),
        ("/api/plugins", &good, "application/json", 413),
        ("/api/tokens", &good, "application/json", 413),
        ("/api/nothing", &good, "application/zip", 404),
        ("/nothing", &bad, "application/zip", 404),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {token}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len(),
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{path} {kind}: {answer}");
        assert!(answer.contains("urn:jackfield:problem:"), "{answer}");
    }
    rig.ended().await;
}

/// Who asks before it sends is told no, and sends nothing.
#[tokio::test]
async fn who_asks_whether_it_may_send_is_not_waited_for() {
    let rig = Rig::start().await;
    let address = rig.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/plugins HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/zip\r\n\
         content-length: 1000000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    rig.ended().await;
}
