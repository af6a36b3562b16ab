//! How lines end, and what is left of them: nothing.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use futures_util::future::join_all;
use jackfield_rpc::{
    CallError, CallOptions, Duplex, DuplexReceiver, DuplexSender, Heartbeat, Methods, Options,
    Received, WebSocket, memory, open,
};
use jackfield_wire::{CloseCause, CloseKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Tells when it is dropped.
struct Dropped(mpsc::Sender<()>);
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.try_send(()).unwrap();
    }
}

/// A line that is cut at any step ends both sides and every call, whatever was under way.
#[tokio::test(start_paused = true)]
async fn a_line_cut_at_each_step_leaves_nothing() {
    for step in 0..40 {
        let pair = peers(methods(), methods(), &beating());
        if step == 0 {
            pair.cut.cut();
        } else {
            pair.cut.cut_after(step);
        }
        let calls = (0..4).map(|number| {
            let pair = &pair;
            async move {
                for peer in [&pair.one, &pair.two] {
                    for _ in 0..3 {
                        match echo(peer, json!(number)).await {
                            Ok(answer) => assert_eq!(answer, number),
                            Err(CallError::Closed(cause)) => {
                                assert_eq!(cause.kind, CloseKind::Failed);
                            }
                            Err(error) => panic!("step {step}: {error}"),
                        }
                    }
                }
            }
        });
        let hanging = async {
            let hang = pair.one.call_raw("hang", None, CallOptions::default());
            let error = hang.await.unwrap_err();
            assert!(
                matches!(error, CallError::Closed(_)),
                "step {step}: {error}"
            );
        };
        soon(async { tokio::join!(join_all(calls), hanging) }).await;
        for peer in [&pair.one, &pair.two] {
            let cause = soon(peer.closed()).await;
            assert_eq!(cause.kind, CloseKind::Failed, "step {step}");
            soon(peer.finished()).await;
            assert_eq!((peer.open_calls(), peer.inbound_calls()), (0, 0));
            let late = echo(peer, json!(1)).await.unwrap_err();
            assert!(matches!(late, CallError::Closed(c) if c == cause));
        }
        all_gone(&pair.tasks).await;
    }
}

/// The original had no heartbeat: a half-open line stayed active until TCP gave up.
#[tokio::test(start_paused = true)]
async fn a_half_open_line_is_noticed_at_both_ends() {
    let pair = peers(methods(), methods(), &beating());
    echo(&pair.one, json!(1)).await.unwrap();
    let start = Instant::now();
    pair.cut.half_open();
    let call = pair.one.call_raw("hang", None, CallOptions::default());
    let (error, one, two) = tokio::join!(call, pair.one.closed(), pair.two.closed());
    assert!(matches!(error, Err(CallError::Closed(_))));
    assert_eq!(one, CloseCause::failed("no sign of life for 25 s"));
    assert_eq!(two, one);
    assert_eq!(start.elapsed().as_secs(), 25);
    soon(pair.one.finished()).await;
    assert_eq!(start.elapsed().as_secs(), 25, "no farewell is waited for");
    all_gone(&pair.tasks).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_silent_in_one_direction_is_noticed_by_the_side_that_hears_nothing() {
    for silence_first in [true, false] {
        let pair = peers(methods(), methods(), &beating());
        echo(&pair.one, json!(1)).await.unwrap();
        let start = Instant::now();
        let deaf = if silence_first {
            pair.cut.silence_first();
            &pair.two
        } else {
            pair.cut.silence_second();
            &pair.one
        };
        assert_eq!(deaf.closed().await.reason, "no sign of life for 25 s");
        assert_eq!(start.elapsed().as_secs(), 25);
        // Its close frame still arrives.
        soon(pair.one.closed()).await;
        soon(pair.two.closed()).await;
        all_gone(&pair.tasks).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_where_nothing_is_said_stays_open() {
    let pair = peers(methods(), methods(), &beating());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(pair.one.is_open() && pair.two.is_open());
    echo(&pair.two, json!(1)).await.unwrap();
    pair.one.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

/// Whoever wanted no heartbeat but a hard end, or the other way round, said so with the longest
/// time there is; added to the clock, it was too long for the clock, and the reader died of it.
#[tokio::test(start_paused = true)]
async fn the_longest_time_means_never() {
    for (every, dead_after) in [
        (Duration::MAX, Duration::MAX),
        (Duration::from_secs(10), Duration::MAX),
        (Duration::MAX, Duration::from_secs(25)),
    ] {
        let options = Options {
            heartbeat: Some(Heartbeat { every, dead_after }),
            default_deadline: Duration::MAX,
            close_grace: Duration::MAX,
            ..quiet()
        };
        let pair = peers(methods(), methods(), &options);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(echo(&pair.one, json!(1)).await.unwrap(), 1);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        // Never to ask is to take silence for death.
        let dies = every == Duration::MAX && dead_after != Duration::MAX;
        assert_eq!(pair.one.is_open(), !dies);
        assert!(pair.two.drain(Duration::MAX).await);
        pair.one.close(CloseCause::closed());
        all_gone(&pair.tasks).await;
    }
}

/// A message of one frame leaves no room for a pong; over a slow line it was taken for silence,
/// and the line was closed in the middle of it.
#[tokio::test(start_paused = true)]
async fn a_large_message_over_a_slow_line_is_no_silence() {
    let (mut far, near) = tokio::io::duplex(64 << 10);
    let socket = WebSocket::server(near).await;
    let (peer, tasks) = open_with(socket, methods(), beating());
    let text =
        json!({"id": 1, "method": "double", "params": {"number": 4}, "pad": "x".repeat(9_900)});
    let text = text.to_string();
    // One frame of text, its length in two bytes, masked with zeros.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    for piece in frame.chunks(500) {
        assert!(peer.is_open(), "{:?}", soon(peer.closed()).await);
        far.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(br#""result":8}"#) {
        assert_ne!(soon(far.read_buf(&mut answer)).await.unwrap(), 0);
    }
    // Halves of messages are a sign of life too, but nothing at all is not.
    far.write_all(&frame[..5]).await.unwrap();
    let silent = peer.closed().await;
    assert_eq!(silent.reason, "no sign of life for 25 s");
    all_gone(&tasks).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_heals_in_time_lives() {
    let pair = peers(methods(), methods(), &beating());
    pair.cut.half_open();
    tokio::time::sleep(Duration::from_secs(15)).await;
    pair.cut.heal();
    tokio::time::sleep(Duration::from_secs(60)).await;
    echo(&pair.one, json!(1)).await.unwrap();
    pair.two.close(CloseCause::closed());
    all_gone(&pair.tasks).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_tells_the_living_from_the_dead() {
    let pair = peers(methods(), methods(), &quiet());
    assert!(pair.one.probe(Duration::from_secs(1)).await);
    pair.cut.half_open();
    let start = Instant::now();
    assert!(!pair.one.probe(Duration::from_secs(1)).await);
    assert_eq!(start.elapsed().as_secs(), 1);
    pair.cut.heal();
    assert!(pair.one.probe(Duration::from_secs(1)).await);
    pair.one.close(CloseCause::closed());
    let start = Instant::now();
    assert!(!pair.one.probe(Duration::from_secs(1)).await);
    assert_eq!(start.elapsed().as_secs(), 0);
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn closing_tells_the_cause_to_both_sides_and_ends_every_call_at_once() {
    for cause in [
        CloseCause::closed(),
        CloseCause::rejected("not wanted"),
        CloseCause::unavailable("later"),
        CloseCause::failed("broken"),
    ] {
        let pair = peers(methods(), methods(), &quiet());
        let call = pair.one.call_raw("hang", None, CallOptions::default());
        let closing = async {
            echo(&pair.one, json!(1)).await.unwrap();
            pair.one.close(cause.clone());
            pair.one.close(CloseCause::failed("too late"));
        };
        let (error, ()) = soon(async { tokio::join!(call, closing) }).await;
        assert!(matches!(error, Err(CallError::Closed(c)) if c == cause));
        assert_eq!(soon(pair.one.closed()).await, cause);
        assert_eq!(soon(pair.two.closed()).await, cause);
        assert_eq!(pair.two.close_code(), Some(cause.code()));
        all_gone(&pair.tasks).await;
    }
}

#[tokio::test]
async fn inbound_calls_are_cancelled_with_the_line() {
    let (tell, mut told) = mpsc::channel(2);
    let begun = Arc::new(tokio::sync::Notify::new());
    let watched = {
        let begun = Arc::clone(&begun);
        Methods::new().raw("watched", move |call: jackfield_rpc::Call<()>, _params| {
            let dropped = Dropped(tell.clone());
            let begun = Arc::clone(&begun);
            async move {
                let _dropped = dropped;
                begun.notify_one();
                call.cancelled().cancelled().await;
                pending().await
            }
        })
    };
    let pair = peers(methods(), watched, &quiet());
    let call = pair.one.call_raw("watched", None, CallOptions::default());
    let closing = async {
        begun.notified().await;
        assert_eq!(pair.two.inbound_calls(), 1);
        pair.cut.cut();
    };
    let (error, ()) = soon(async { tokio::join!(call, closing) }).await;
    assert!(error.is_err());
    soon(told.recv()).await.unwrap();
    soon(pair.two.finished()).await;
    assert_eq!(pair.two.inbound_calls(), 0);
    all_gone(&pair.tasks).await;
}

/// What a handler has started elsewhere outlives its answer, and is told of the line's end all the
/// same: calls that were answered were forgotten with their tokens once.
#[tokio::test]
async fn the_token_of_an_answered_call_ends_with_the_line() {
    let (tell, mut told) = mpsc::channel(2);
    let starter = Methods::new().raw("start", move |call: jackfield_rpc::Call<()>, _params| {
        let tell = tell.clone();
        async move {
            tell.try_send((call.cancelled(), call)).unwrap();
            Ok(raw(&json!({})))
        }
    });
    let pair = peers(methods(), starter, &quiet());
    let start = pair.one.call_raw("start", None, CallOptions::default());
    soon(start).await.unwrap();
    let (token, call) = told.recv().await.unwrap();
    while pair.two.inbound_calls() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!token.is_cancelled());
    pair.two.close(CloseCause::closed());
    soon(token.cancelled()).await;
    assert!(call.cancelled().is_cancelled());
    drop(call);
    soon(pair.one.closed()).await;
    all_gone(&pair.tasks).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_line() {
    let tasks = TaskTracker::new();
    let (first, second, _cut) = memory::pair();
    let (keep, mut kept) = mpsc::channel(1);
    // A handler that keeps its peer does not keep the line.
    let keeper = Methods::new().raw("keep", move |call: jackfield_rpc::Call<()>, _params| {
        let keep = keep.clone();
        async move {
            keep.send(call.peer.clone()).await.unwrap();
            Ok(raw(&json!({})))
        }
    });
    let one = open(first, Arc::new(methods()), (), quiet(), &tasks);
    let two = open(second, Arc::new(keeper), (), quiet(), &tasks);
    one.call_raw("keep", None, CallOptions::default())
        .await
        .unwrap();
    let from_call = kept.recv().await.unwrap();
    let clone = two.clone();
    drop(two);
    echo(&clone, json!(1)).await.unwrap();
    assert!(from_call.is_open());
    drop(clone);
    assert_eq!(soon(one.closed()).await, CloseCause::closed());
    assert_eq!(soon(from_call.closed()).await, CloseCause::closed());
    all_gone(&tasks).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_take_the_farewell_is_left_after_the_grace() {
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, methods(), quiet());
    let start = Instant::now();
    peer.close(CloseCause::closed());
    peer.closed().await;
    assert_eq!(start.elapsed().as_millis(), 0);
    peer.finished().await;
    assert_eq!(start.elapsed().as_secs(), 2);
    drop(second);
    all_gone(&tasks).await;
}

/// Garbage is answered, so whoever sends it without end and reads nothing fills a queue.
#[tokio::test(start_paused = true)]
async fn a_flood_of_garbage_that_reads_no_answers_ends_the_line() {
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, methods(), quiet());
    let (mut sender, _receiver) = second.split();
    let flood = async {
        for count in 0..100_000 {
            if sender.send("garbage".into()).await.is_err() {
                return count;
            }
        }
        panic!("all of it was taken")
    };
    let (sent, cause) = tokio::join!(flood, peer.closed());
    assert_eq!(cause, CloseCause::failed("does not read its answers"));
    assert!(sent < 10_000, "{sent} messages were taken");
    all_gone(&tasks).await;
}

#[tokio::test]
async fn a_flood_of_garbage_whose_answers_are_read_is_only_a_nuisance() {
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, methods(), quiet());
    let (mut sender, mut receiver) = second.split();
    let count = 50_000;
    let flood = async {
        for _ in 0..count {
            sender.send("garbage".into()).await.unwrap();
        }
    };
    let answers = async {
        for _ in 0..count {
            let Received::Text(text) = receiver.recv().await.unwrap() else {
                panic!("no answer")
            };
            assert!(text.contains("-32700"));
        }
    };
    soon(async { tokio::join!(flood, answers) }).await;
    assert!(peer.is_open());
    drop((sender, receiver));
    soon(peer.closed()).await;
    all_gone(&tasks).await;
}

/// A panic that is not a handler's, or a runtime that ends: nothing waits for what is gone.
#[tokio::test]
async fn a_line_whose_task_is_lost_ends() {
    struct Poison(bool);
    impl Clone for Poison {
        fn clone(&self) -> Self {
            assert!(!self.0, "on purpose");
            Self(self.0)
        }
    }
    let tasks = TaskTracker::new();
    let (first, second, _cut) = memory::pair();
    let one = open(first, Arc::new(methods()), (), quiet(), &tasks);
    let poisoned = Methods::new().raw("any", async |_call, _params| Ok(raw(&json!({}))));
    let two = open(second, Arc::new(poisoned), Poison(true), quiet(), &tasks);
    let error = one.call_raw("any", None, CallOptions::default());
    assert!(soon(error).await.is_err());
    assert_eq!(soon(two.closed()).await.kind, CloseKind::Failed);
    soon(one.closed()).await;
    all_gone(&tasks).await;
}

#[test]
fn a_line_outlives_its_runtime_only_as_a_closed_one() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let gone = runtime().unwrap();
    let tasks = TaskTracker::new();
    let (first, _second, _cut) = memory::pair();
    let peer = gone.block_on(async { open(first, Arc::new(methods()), (), quiet(), &tasks) });
    drop(gone);
    let answer = runtime().unwrap().block_on(echo(&peer, json!(1)));
    assert!(matches!(answer, Err(CallError::Closed(_))));
    assert!(!peer.is_open());
}

#[tokio::test]
async fn what_was_answered_is_written_before_the_farewell() {
    let options = small(jackfield_rpc::Limits {
        inbound_calls: 300,
        queue: 300,
        ..jackfield_rpc::Limits::default()
    });
    let (first, second, _cut) = memory::pair();
    let (peer, tasks) = open_with(first, methods(), options);
    let (mut sender, mut receiver) = second.split();
    for id in 0..300 {
        let frame = json!({"id": id, "method": "double", "params": {"number": id}});
        sender.send(frame.to_string().into()).await.unwrap();
    }
    // Nobody reads yet, so most answers are still queued here when the line is closed.
    while peer.inbound_calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(peer.drain(Duration::from_secs(10)).await);
    peer.close(CloseCause::closed());
    let mut answered = 0;
    let end = loop {
        match soon(receiver.recv()).await {
            Ok(Received::Text(text)) => answered += usize::from(text.contains("result")),
            Ok(Received::Alive) => {}
            Err(cause) => break cause,
        }
    };
    // The last requests may have come when no more were taken.
    assert!(answered >= 200, "{answered}");
    assert_eq!(end, CloseCause::closed());
    drop((sender, receiver));
    all_gone(&tasks).await;
}
