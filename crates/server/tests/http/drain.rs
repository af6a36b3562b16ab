//! The end.

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{PATIENCE, Rig};

#[tokio::test]
async fn open_streams_and_waiting_requests_end_with_the_server() {
    let mut rig = Rig::start_with(|config| config.policy.dial_deadline = PATIENCE).await;
    let id = rig.install("echo begun; exec sleep 1000").await;
    let path = format!("/api/plugins/{id}");
    let started = rig
        .ask(Method::POST, &format!("{path}/start"))
        .send()
        .await
        .unwrap();
    assert_eq!(started.status(), 202);
    let mut stream = rig.get(&format!("{path}/logs")).await;
    let mut text = String::new();
    while !text.contains("begun") {
        let chunk = stream.chunk().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    // A request that is certainly being answered: the server has asked for its body.
    let address = rig.base.strip_prefix("http://").unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    let body = r#"{"active":"active"}"#;
    let head = format!(
        "PATCH {path}/active HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        rig.token,
        body.len(),
    );
    waiting.write_all(head.as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut begun = vec![0; go_on.len()];
    waiting.read_exact(&mut begun).await.unwrap();
    assert_eq!(begun, go_on);

    rig.tell_to_stop();
    waiting.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    assert!(
        answer.contains("urn:jackfield:problem:shutting-down"),
        "{answer}"
    );
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.ends_with("event: end\ndata:\n\n"), "{text}");
    let ended = rig.ended().await;
    assert_eq!(ended.killed, []);
}
