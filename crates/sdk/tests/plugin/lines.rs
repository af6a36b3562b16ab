//! When a plugin dials again, and when it stops.

use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin::methods::{Event, EventParams, Ping};
use jackfield_plugin::{Host, Plugin, RunError};
use jackfield_rpc::{DialError, Peer};
use jackfield_wire::CloseCause;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::small_host::{SmallHost, soon};

async fn alive(peer: &Peer) {
    assert!(soon(peer.call::<Ping>(&None)).await.unwrap().pong);
}

fn shows_no_token(error: &RunError) -> String {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("secret"), "{text}");
    text
}

/// Answers the next connection with a bare HTTP status.
async fn refuse(host: &SmallHost, status: &str) {
    let mut stream = host.connection().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_supervised_plugin_ends_when_its_host_hangs_up() {
    for cause in [CloseCause::closed(), CloseCause::unavailable("restarting")] {
        let host = SmallHost::new().await;
        let running = host.run(Plugin::new(host.supervised_url()));
        let peer = host.accept().await;
        alive(&peer).await;
        peer.close(cause);
        assert!(soon(running).await.unwrap().is_ok());
        host.end().await;
    }
}

#[tokio::test]
async fn a_supervised_plugin_ends_when_its_host_is_gone() {
    let host = SmallHost::new().await;
    let running = host.run(Plugin::new(host.supervised_url()));
    let stream = host.connection().await;
    let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    // Without a close frame, as when the process was killed.
    drop(socket);
    assert!(soon(running).await.unwrap().is_ok());
    host.end().await;
}

#[tokio::test]
async fn being_turned_away_is_an_error_that_says_what_to_check() {
    for external in [true, false] {
        let host = SmallHost::new().await;
        let url = if external {
            host.external_url()
        } else {
            host.supervised_url()
        };
        let running = host.run(Plugin::new(url));
        let peer = host.accept().await;
        peer.close(CloseCause::rejected("connection rejected"));
        let error = soon(running).await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::Rejected(_)));
        assert!(shows_no_token(&error).contains("Check that it is installed"));
        host.end().await;
    }
}

#[tokio::test]
async fn a_refused_token_is_final_and_not_shown() {
    for (status, external, words) in [
        ("401 Unauthorized", true, "Check the token"),
        ("401 Unauthorized", false, "Check the token"),
        ("404 Not Found", true, "/rpc"),
        ("429 Too Many Requests", true, "too many connections"),
        ("503 Service Unavailable", false, "503"),
    ] {
        let host = SmallHost::new().await;
        let url = if external {
            host.external_url()
        } else {
            host.supervised_url()
        };
        let running = host.run(Plugin::new(url));
        refuse(&host, status).await;
        let error = soon(running).await.unwrap().unwrap_err();
        assert!(
            matches!(
                &error,
                RunError::Dial {
                    source: DialError::Http { .. },
                    ..
                }
            ),
            "{error}"
        );
        let text = shows_no_token(&error);
        assert!(text.contains(words), "{text}");
        host.end().await;
    }
    let error = Plugin::new("http://localhost/?token=sdprt_secret")
        .run_until(std::future::pending())
        .await
        .unwrap_err();
    assert!(shows_no_token(&error).contains("ws://"));
}

#[tokio::test]
async fn a_supervised_plugin_waits_for_its_host_to_listen() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!(
        "ws://{}/rpc?token=sealed-secret",
        socket.local_addr().unwrap()
    );
    let running = Plugin::new(url).run_until(std::future::pending());
    let listening = async {
        // Polled second, so the first dial was refused: the port is taken and nobody listens.
        let host = SmallHost::listening(socket.listen(8).unwrap());
        let peer = host.accept().await;
        alive(&peer).await;
        peer.close(CloseCause::closed());
        host
    };
    let (ended, host) = soon(async { tokio::join!(biased; running, listening) }).await;
    assert!(ended.is_ok());
    host.end().await;
}

#[tokio::test]
async fn a_supervised_plugin_without_a_host_gives_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!(
        "ws://{}/rpc?token=sealed-secret",
        socket.local_addr().unwrap()
    );
    let started = Instant::now();
    let running = Plugin::new(url).run_until(std::future::pending());
    let error = soon(running).await.unwrap_err();
    assert!(matches!(error, RunError::Dial { .. }));
    assert!(shows_no_token(&error).contains("Check that the host runs"));
    assert!(started.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn an_external_plugin_comes_back_after_whatever_is_not_final() {
    let host = SmallHost::new().await;
    let running = host.run(Plugin::new(host.external_url()));
    let peer = host.accept().await;
    alive(&peer).await;
    peer.close(CloseCause::unavailable("restarting"));
    // Refused for now, then let in, then lost without a word.
    refuse(&host, "503 Service Unavailable").await;
    drop(host.connection().await);
    let peer = host.accept().await;
    alive(&peer).await;
    peer.close(CloseCause::failed("internal error"));
    let peer = host.accept().await;
    alive(&peer).await;
    peer.close(CloseCause::closed());
    assert!(soon(running).await.unwrap().is_ok());
    host.end().await;
}

/// Both existing SDKs forget their delay at each handshake, so a host that lets in and hangs up
/// is dialled four times a second by each plugin.
#[tokio::test]
async fn a_host_that_lets_in_and_hangs_up_is_dialled_ever_more_slowly() {
    let host = SmallHost::new().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let plugin = Plugin::new(host.external_url());
    let running = host.tasks.spawn(plugin.run_until(async {
        let _ = stopped.await;
    }));
    let mut times = Vec::new();
    for _ in 0..4 {
        let peer = host.accept().await;
        times.push(Instant::now());
        peer.close(CloseCause::unavailable("not yet"));
        soon(peer.finished()).await;
    }
    let gaps: Vec<_> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_millis())
        .collect();
    assert!(
        gaps[0] >= 187 && gaps[1] >= 375 && gaps[2] >= 750,
        "{gaps:?}"
    );
    // Asked to stop while it waits, it stops at once.
    let asked = Instant::now();
    stop.send(()).unwrap();
    assert!(soon(running).await.unwrap().is_ok());
    assert!(asked.elapsed() < Duration::from_secs(1));
    host.end().await;
}

#[tokio::test]
async fn asked_to_stop_a_plugin_finishes_what_runs_and_says_farewell() {
    let host = SmallHost::new().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let plugin = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        Plugin::new(host.supervised_url())
            .grace(Duration::from_secs(20))
            .on_event("EventSlow", move |_host: Host, _payload: Value| {
                let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
                async move {
                    begun.notify_one();
                    go_on.notified().await;
                    Ok(())
                }
            })
    };
    let running = host.tasks.spawn(plugin.run_until(async {
        let _ = stopped.await;
    }));
    let peer = host.accept().await;
    let slow = EventParams {
        event: "EventSlow".to_owned(),
        payload: Map::new(),
    };
    let stopping = async {
        begun.notified().await;
        stop.send(()).unwrap();
        // New calls are refused from some moment on; the one that runs is not.
        while peer.call::<Ping>(&None).await.is_ok() {}
        assert!(peer.is_open());
        go_on.notify_one();
    };
    let (answer, ()) = soon(async { tokio::join!(peer.call::<Event>(&slow), stopping) }).await;
    assert!(answer.unwrap().ok);
    assert_eq!(soon(peer.closed()).await, CloseCause::closed());
    assert_eq!(peer.close_code(), Some(1000));
    assert!(soon(running).await.unwrap().is_ok());
    host.end().await;
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_left() {
    let host = SmallHost::new().await;
    let begun = Arc::new(Notify::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let plugin = {
        let begun = Arc::clone(&begun);
        Plugin::new(host.supervised_url())
            .grace(Duration::from_millis(50))
            .on_event("EventStuck", move |_host: Host, _payload: Value| {
                begun.notify_one();
                std::future::pending()
            })
    };
    let running = host.tasks.spawn(plugin.run_until(async {
        let _ = stopped.await;
    }));
    let peer = host.accept().await;
    let stuck = EventParams {
        event: "EventStuck".to_owned(),
        payload: Map::new(),
    };
    let stopping = async {
        begun.notified().await;
        stop.send(()).unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(peer.call::<Event>(&stuck), stopping) }).await;
    assert!(answer.is_err());
    assert_eq!(soon(peer.closed()).await, CloseCause::closed());
    assert!(soon(running).await.unwrap().is_ok());
    host.end().await;
}

#[tokio::test]
async fn a_plugin_that_is_dropped_leaves_no_line() {
    let host = SmallHost::new().await;
    let plugin = Plugin::new(host.supervised_url());
    let handle = plugin.host();
    let peer = {
        let running = plugin.run_until(std::future::pending());
        tokio::select! {
            ended = running => panic!("{ended:?}"),
            peer = async {
                let peer = host.accept().await;
                alive(&peer).await;
                peer
            } => peer,
        }
    };
    assert_eq!(soon(peer.closed()).await, CloseCause::closed());
    drop(handle);
    host.end().await;
}

#[tokio::test]
async fn asked_to_stop_before_there_is_a_line_it_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "ws://{}/rpc?token=sdprt_secret",
        listener.local_addr().unwrap()
    );
    // The host accepts and says nothing.
    let (stop, stopped) = oneshot::channel::<()>();
    let running = Plugin::new(url).run_until(async {
        let _ = stopped.await;
    });
    let stopping = async {
        let connection = listener.accept().await.unwrap();
        stop.send(()).unwrap();
        connection
    };
    let (ended, _) = soon(async { tokio::join!(running, stopping) }).await;
    assert!(ended.is_ok());
}
