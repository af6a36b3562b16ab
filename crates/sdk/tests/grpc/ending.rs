//! How it ends.

use bytes::Bytes;
use http::Version;
use http_body_util::BodyExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::lab::{LONG, Lab, executable, listening};
use crate::wire::{BOTH, Line, framed, frames, post, text};

#[tokio::test]
async fn calls_in_flight_end_before_the_plugin_does() {
    for (version, signal) in BOTH.into_iter().zip(["INT", "TERM"]) {
        let mut lab = Lab::ready(&[]).await;
        let mut held = Line::to(&lab, version).await;
        let mut ticking = Line::to(&lab, version).await;
        let mut idle = Line::to(&lab, version).await;
        idle.call("Echo", "application/proto", Bytes::new()).await;
        let mut ticks = ticking
            .begin(post("Tick", "application/grpc", framed(b"")))
            .await
            .into_body();
        let first = ticks.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frames(&first), [(0, text("first").to_vec())]);
        let holding = held.call("Hold", "application/grpc", framed(b""));
        let asked = async {
            lab.says("holding").await;
            lab.signal(signal);
        };
        let (reply, ()) = tokio::join!(holding, asked);
        assert_eq!(frames(&reply.body), [(0, text("held").to_vec())]);
        assert_eq!(reply.grpc_status(), Some("0"));
        let rest = ticks.collect().await.unwrap();
        let status = rest
            .trailers()
            .map(|trailers| trailers["grpc-status"].clone());
        assert_eq!(frames(&rest.to_bytes()), [(0, text("last").to_vec())]);
        assert_eq!(status.unwrap(), "0");
        // An idle connection is told in order (GOAWAY, or the end), not broken.
        timeout(LONG, idle.ended).await.unwrap().unwrap().unwrap();
        assert_eq!(lab.ended().await, Some(0));
    }
}

#[tokio::test]
async fn nobody_new_is_let_in_while_it_drains() {
    let mut lab = Lab::ready(&[]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let idle = Line::to(&lab, Version::HTTP_2).await;
    let never = line.begin(post("Never", "application/grpc", framed(b"")));
    let mut never = Box::pin(never);
    tokio::select! {
        _ = &mut never => panic!("it answered"),
        _ = lab.says("holding") => {}
    }
    lab.signal("TERM");
    // Shut down before idle connections are told, or soon after.
    timeout(LONG, idle.ended).await.unwrap().unwrap().unwrap();
    let refused = async {
        while tokio::net::UnixStream::connect(&lab.socket).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.unwrap();
    assert!(lab.child.try_wait().unwrap().is_none());
    lab.signal("TERM");
    assert_eq!(lab.ended().await, Some(0));
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut_off() {
    let mut lab = Lab::ready(&[("LAB_GRACE", "100")]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let never = line.begin(post("Never", "application/grpc", framed(b"")));
    let mut never = Box::pin(never);
    tokio::select! {
        _ = &mut never => panic!("it answered"),
        _ = lab.says("holding") => {}
    }
    lab.signal("TERM");
    let record = lab.logs("cut off").await;
    assert_eq!(record["level"], "warn");
    assert_eq!(lab.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut lab = Lab::ready(&[("LAB_GRACE", "600000")]).await;
    let mut line = Line::to(&lab, Version::HTTP_2).await;
    let never = line.begin(post("Never", "application/grpc", framed(b"")));
    let mut never = Box::pin(never);
    tokio::select! {
        _ = &mut never => panic!("it answered"),
        _ = lab.says("holding") => {}
    }
    lab.signal("INT");
    lab.says("Asked to end").await;
    lab.signal("INT");
    assert_eq!(lab.ended().await, Some(0));
}

#[tokio::test]
async fn it_does_not_outlive_its_parent() {
    let (_folder, socket, listener) = listening();
    let mut parent = tokio::process::Command::new("sh")
        .args([
            "-c",
            "exec 3<&0; \"$LAB\" <&3 3<&- & exec 3<&- 0</dev/null; wait",
        ])
        .env("LAB", executable())
        .env("LAB_NEEDED", "x")
        .env("LOG_LEVEL", "debug")
        .env("JACKFIELD_LISTEN_FD", "0")
        .stdin(listener)
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stderr.take().unwrap()).lines();
    let ready = async { while !lines.next_line().await.unwrap().unwrap().contains("Ready") {} };
    timeout(LONG, ready).await.unwrap();
    // A call in flight does not hold it either.
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let mut line = Line::over(stream, Version::HTTP_2).await;
    let ticks = line
        .begin(post("Tick", "application/grpc", framed(b"")))
        .await;
    let killed = Instant::now();
    parent.start_kill().unwrap();
    // The descriptors go with the process.
    while let Some(line) = timeout(LONG, lines.next_line()).await.unwrap().unwrap() {
        assert!(!line.contains("Asked to end"), "{line}");
    }
    let took = killed.elapsed();
    eprintln!("gone {took:?} after its parent");
    assert!(took.as_millis() < 2000, "{took:?}");
    drop(ticks);
}
