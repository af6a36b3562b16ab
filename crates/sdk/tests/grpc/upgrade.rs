//! From HTTP/1.1 to HTTP/2 without TLS, as curl does it.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::lab::{LONG, Lab};

/// What curl prints, and the versions in which it was answered.
async fn curl(lab: &Lab, arguments: &[&str]) -> (String, String) {
    let run = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "20",
        ])
        .args([
            "--write-out",
            "\n%{http_version} %{http_code} %{num_connects}",
        ])
        .arg("--unix-socket")
        .arg(&lab.socket)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = timeout(LONG, run).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, end) = text.rsplit_once('\n').unwrap();
    (body.to_owned(), end.to_owned())
}

#[tokio::test]
async fn a_request_is_taken_along_with_its_body() {
    let lab = Lab::ready(&[("JACKFIELD_TOKEN", "s3cret")]).await;
    let token = ["--http2", "-H", "jackfield-token: s3cret"];
    let echo = "http://localhost/lab.v1.Lab/Echo";
    let json = ["-H", "content-type: application/json", "-d"];

    let get = curl(&lab, &[&token[..], &["http://localhost/raw"]].concat()).await;
    assert_eq!(get, ("GET /raw".to_owned(), "2 200 1".to_owned()));

    let long = format!(r#"{{"service":"{}"}}"#, "x".repeat(40_000));
    for body in [r#"{"service":"a"}"#, &long] {
        let post = curl(&lab, &[&token[..], &json, &[body, echo]].concat()).await;
        assert_eq!(post, (body.to_owned(), "2 200 1".to_owned()));
    }

    // The next request is another stream of the same connection.
    let twice = [&token[..], &json, &[r#"{"service":"b"}"#, echo, echo]].concat();
    let (body, end) = curl(&lab, &twice).await;
    assert!(
        body.starts_with(r#"{"service":"b"}"#) && body.ends_with(r#"{"service":"b"}"#),
        "{body}"
    );
    assert_eq!(end, "2 200 0");

    // The token counts for it as for any other.
    let (_, end) = curl(&lab, &["--http2", "http://localhost/raw"]).await;
    assert_eq!(end, "2 401 1");
}

#[tokio::test]
async fn a_body_too_long_to_be_taken_along_is_answered_without_an_upgrade() {
    let lab = Lab::ready(&[]).await;
    let body = "x".repeat(70_000);
    let (_, end) = curl(&lab, &["--http2", "-d", &body, "http://localhost/nowhere"]).await;
    assert_eq!(end, "1.1 404 1");
}
