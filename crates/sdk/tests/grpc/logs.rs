//! Log records.

use http::Version;

use crate::lab::Lab;
use crate::wire::{Line, text};

async fn log(lab: &Lab, what: &str) {
    let mut line = Line::to(lab, Version::HTTP_2).await;
    // Which level it has is not known, so that it is ready is not heard either.
    let mut status = 503;
    while status == 503 {
        let reply = line.call("Log", "application/proto", text(what)).await;
        status = reply.status.as_u16();
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_record_is_one_line_in_the_order_that_hosts_know() {
    let mut lab = Lab::ready(&[]).await;
    log(&lab, "error").await;
    let line = lab.says("outer: inner").await;
    let (before, rest) = line.split_once("\"timestamp\":\"").unwrap();
    let (time, after) = rest.split_once('"').unwrap();
    assert_eq!(
        before,
        r#"{"attributes":{"count":"3","job":"7","place":"outer","scope":"lab"},"level":"error","error":"inner","#
    );
    assert_eq!(after, r#","message":"outer: inner"}"#);
    assert!(
        humantime::parse_rfc3339(time).is_ok() && time.ends_with('Z'),
        "{time}"
    );

    log(&lab, "source").await;
    let record = lab.logs("quotes").await;
    assert_eq!(record["level"], "warn");
    assert_eq!(record["error"], "cause");
    assert_eq!(record["message"], "with <html> & \"quotes\"");
    assert_eq!(record["attributes"]["place"], "here");

    log(&lab, "quiet").await;
    assert_eq!(lab.logs("quiet").await["level"], "debug");
}

#[tokio::test]
async fn below_the_level_nothing_is_written() {
    let mut lab = Lab::start(&[("LOG_LEVEL", "WARN")]);
    log(&lab, "quiet").await;
    log(&lab, "error").await;
    let first = lab.says("").await;
    assert!(first.contains("outer: inner"), "{first}");
    lab.signal("INT");
    assert_eq!(lab.ended().await, Some(0));
    assert_eq!(lab.lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_subscriber_of_the_plugins_own_stays() {
    let mut lab = Lab::start(&[("LAB_OWN_LOG", "1")]);
    log(&lab, "error").await;
    let line = lab.says("outer: inner").await;
    assert!(!line.starts_with('{'), "{line}");
}
